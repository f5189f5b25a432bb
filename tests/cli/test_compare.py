"""optim compare: what differs, and each study's own result beside the other's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.report.compared import as_object, flat, settings_rows
from tests.studies import write_study


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two finished studies; not to be written to."""
    paths = []
    changes = {"one": {}, "other": {"backtest": {"fee_bps": 20.0}, "study": {"seed": 4, "name": "t"}}}
    for name, change in changes.items():
        folder = tmp_path_factory.mktemp(name)
        paths.append(write_study(folder, **change))
        Study.from_toml(paths[-1]).run()
    return paths[0], paths[1]


def test_what_differs_and_what_came_of_each(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, two), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"] == {"study.seed": [3, 4], "backtest.fee_bps": [10.0, 20.0]}
    for path, part in zip(two, told["studies"], strict=True):
        main(["show", str(path), "--json"])
        shown = json.loads(capsys.readouterr().out)
        assert part["study"] == shown["study"]
        assert {"number": part["best"], "values": part["values"], "params": part["params"]} == shown["best"]
        assert part["metrics"] == {name: shown["metrics"][name] for name in ("in_sample", "searched")}
        assert part["counts"] == shown["counts"]
        assert part["verdict"] is None


def test_the_tables_have_a_column_a_study(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *map(str, two)]) == 0
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in out.splitlines() if line[:1] in "│"]
    assert ["study.seed", "3", "4"] in rows
    assert ["backtest.fee_bps", "10", "20"] in rows
    winners = [Study.from_toml(path).best for path in two]
    assert all(winners)
    assert ["winner", *(f"trial {winner.number}" for winner in winners if winner)] in rows
    assert "not of the same question" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_parameter_that_one_study_alone_searches_is_one_row() -> None:
    fast = {"name": "fast", "type": "int", "low": 5, "high": 50, "step": 1, "log": False, "choices": [], "when": None}
    kind = {**fast, "name": "kind", "type": "categorical", "low": 0, "high": 0, "choices": ["sma", "ema"]}
    parts: list[dict[str, Any]] = [
        {"search_space": {"fast": fast, "both": {**fast, "name": "both"}}},
        {"search_space": {"kind": kind, "both": {**fast, "name": "both", "low": 7}}},
    ]
    told = as_object(*({"settings": dict(flat(part, ""))} for part in parts))
    assert list(settings_rows(told["settings"])) == [
        ("search_space.fast", "5 to 50", "–"),
        ("search_space.both.low", "5", "7"),
        ("search_space.kind", "–", "sma, ema"),
    ]


def test_a_verdict_stands_beside_the_other(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(two[1].parent, tmp_path / "judged")
    judged = tmp_path / "judged" / "study.toml"
    study = Study.from_toml(judged, validation={"quick": 0, "null": {"markets": 19}})
    verdict = study.validate()
    assert verdict is not None
    assert main(["compare", str(two[0]), str(judged), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [part["verdict"] for part in told["studies"]] == [None, verdict["level"]]


def test_a_study_beside_itself_has_the_same_settings(
    two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(two[0]), str(two[0])]) == 0
    out = capsys.readouterr().out
    assert out.startswith("The settings are the same.\n")
    assert "not of the same question" not in out


def test_a_study_that_was_never_run_is_one_sentence(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(two[0]), str(write_study(tmp_path))]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "run it first" in err) == ("", 1, True)


def test_no_variable_of_either_file_is_sent(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGPASSWORD", "x")
    other = write_study(tmp_path, study={"storage": "postgresql://me@nowhere.invalid/x"})
    assert main(["compare", str(two[0]), str(other), "--no-env"]) == 2
    assert "PGPASSWORD from the environment, which --no-env forbids" in capsys.readouterr().err
