"""optim new: what it writes works as it stands, and nothing is written over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import load_bars, load_strategy
from engine.strategies.base import builtin_names
from optim.cli.new import scaffold
from optim.cli.parser import main
from optim.problem.plan import feasible_point, make_plan
from optim.spec.study import load_spec
from tests.studies import ROOT


def test_check_run_and_pytest_work_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["new", str(folder)]) == 0
    written = capsys.readouterr().out.splitlines()[:-1]
    assert {Path(line) for line in written} == {path for path in folder.rglob("*") if path.is_file()}
    assert main(["check", str(folder / "study.toml")]) == 0
    assert main(["run", str(folder / "study.toml"), "-n", "8"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("name", builtin_names())
def test_each_strategy_is_the_built_in_one(name: str, tmp_path: Path) -> None:
    """The same targets, of the file that was written and of the engine's own."""
    assert main(["new", str(tmp_path / "new"), "--strategy", name]) == 0
    plan = make_plan(load_spec(tmp_path / "new" / "study.toml"))
    bars = tuple(load_bars(path) for path in sorted((tmp_path / "new" / "data").iterdir(), key=lambda p: len(p.name)))
    own, built_in = plan.strategy, load_strategy(name)
    assert own.reference == f"{(tmp_path / 'new' / name).resolve()}.py:{name}"
    point = feasible_point(plan)
    if built_in.joint:
        found, expected = (one.weights(bars, one.bind(point)) for one in (own, built_in))
    else:
        found, expected = (one.target(bars[0], one.bind(point)) for one in (own, built_in))
    assert np.any(expected != 0)
    np.testing.assert_array_equal(found, expected)


def test_what_is_written_is_in_the_projects_style(tmp_path: Path) -> None:
    for name in builtin_names():
        for file, text in scaffold('it\'s "mine"', name).items():
            if file.endswith(".py"):
                (tmp_path / file).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "E,F,I", "--line-length", "120", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ma_crossover.toml").write_text("mine")
    assert main(["new", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ma_crossover.toml"]
    assert (tmp_path / "ma_crossover.toml").read_text() == "mine"


def test_an_unknown_strategy_gets_a_suggestion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "x"), "--strategy", "ma_cross"]) == 2
    assert "did you mean 'ma_crossover'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
