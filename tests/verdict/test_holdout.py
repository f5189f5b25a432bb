"""The sealed hold-out: nothing of it is seen before it is opened, and every opening is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.errors import SpecError
from optim.verdict.ledger import OPENING, read_ledger
from tests.studies import IBM, write_study

TPE = {"sampler": {"name": "TPESampler", "n_startup_trials": 5}, "n_trials": 20}
HOLDOUT = {"holdout": 0.2}
LINES = IBM.read_text().splitlines()
FIRST = len(LINES) - round(0.2 * (len(LINES) - 1))  # the first line of the hold-out; the header is line 0


def turned(line: str) -> str:
    """The same day at other prices: the reciprocal, so that highs and lows change places."""
    date, open_, high, low, close, *rest = line.split(",")
    return ",".join([date, *(repr(1000.0 / float(price)) for price in (open_, low, high, close)), *rest])


def study_on(folder: Path, lines: list[str]) -> Path:
    folder.mkdir()
    (folder / "bars.csv").write_text("\n".join(lines) + "\n")
    tracking = {"enabled": True, "mlflow": {"experiment_name": "e"}}
    validation = {"null": {"markets": 19}}
    return write_study(
        folder, study=TPE, data={"path": "bars.csv"}, evaluation=HOLDOUT, tracking=tracking, validation=validation
    )


VERBS = (
    ["check"], ["run", "-q"], ["show"], ["backtest"], ["backtest", "--json"], ["validate", "-q"],
    ["validate", "--json", "-q"], ["list"], ["replay"], ["sync"],
)  # fmt: skip


def outputs(path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, str]]:
    """Everything that any command shows or writes, without the times and identities that no two runs share."""
    for verb, *flags in VERBS:
        assert main([verb, str(path), *flags]) in (0, 1)
        out, err = capsys.readouterr()
        told = re.sub(r"\d+ shortened histories", "", out + err)  # as many as there is time for
        yield verb, re.sub(r"((trial|study) +(about )?[\d.]+ (ms|s)|power ).*", "", told)
    assert main(["export", str(path), "-o", str(path.parent / "table.csv")]) == 0
    capsys.readouterr()
    table = pd.read_csv(path.parent / "table.csv")
    yield "export", table.drop(columns=[name for name in table if re.search("datetime|duration", name)]).to_csv()
    record = (path.parent / "optuna.journal").read_text().splitlines()
    for line in sorted(record, key=lambda line: '"optim:ledger"' in line):  # entered when the first trials have ended
        line = re.sub(r'"(datetime_\w+|optim:id|time|worker_id|optim:owner)": ?("[^"]*"|\d+)', "", line)
        if "optim:null" in line:  # written from time to time, with what had come in
            continue
        yield "record", re.sub(r"\d{4}-\d\d-\d\dT[\d:]+\+00:00", "", line)
    yield from tracked(path.parent)


def tracked(folder: Path) -> Iterator[tuple[str, str]]:
    """What MLflow shows: of every run its parameters, metrics and files, and its tags."""
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name == "e"]
    for run in sorted(
        client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL), key=lambda r: r.info.run_name
    ):
        yield run.info.run_name, json.dumps([run.data.params, run.data.metrics], sort_keys=True)
        tags = {k: v for k, v in run.data.tags.items() if not re.search("run|Run|study_id|git|user|note", k)}
        yield run.info.run_name, json.dumps(tags, sort_keys=True)
        yield (
            run.info.run_name,
            str([(i.dataset.name, i.dataset.digest, i.dataset.profile) for i in run.inputs.dataset_inputs]),
        )
        files = [
            f.path
            for part in ("", "plots", "reports", "holdout")
            for f in client.list_artifacts(run.info.run_id, part or None)
        ]
        yield run.info.run_name, str(files)


def test_changed_hold_out_bars_change_no_byte_of_any_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = study_on(tmp_path / "one", LINES)
    two = study_on(tmp_path / "two", LINES[:FIRST] + [turned(line) for line in LINES[FIRST:]])
    pairs = zip(list(outputs(one, capsys)), list(outputs(two, capsys)), strict=True)
    for mine, (what, theirs) in pairs:
        assert mine == (what, theirs.replace(str(tmp_path / "two"), str(tmp_path / "one")).replace("two/", "one/"))
    seen = []
    for path in (one, two):
        path.write_text(path.read_text().replace("enabled = true", "enabled = false"))  # MLflow has been looked at
        assert main(["holdout", str(path)]) == 0
        seen.append(capsys.readouterr().out)
    assert seen[0] != seen[1]  # the test can see it once it is open


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study.from_toml(write_study(tmp_path, study=TPE, evaluation=HOLDOUT, validation={"null": {"markets": 19}}))
    study.run()
    return study


def test_it_is_opened_once_and_written_down(study: Study) -> None:
    from engine.evaluate import evaluate

    first = study.open_holdout()
    best, plan = study.best, study.recorded()[0]
    assert best is not None
    task = plan.task(best.params, plan.holdouts)
    own = evaluate(plan.strategy, task.params, task.account, plan.job.instruments, plan.holdouts[0], 252.0)
    assert first["metrics"]["total_return"] == own.metrics["total_return"]
    assert (first["trial"], first["opened"]["blind"], first["first"]) == (best.number, True, "")
    assert len(first["windows"]) == 200
    better = sum(window <= first["opened"]["value"] for window in first["windows"])
    assert first["opened"]["rank"] == better / 200
    again = study.open_holdout()
    assert not again["opened"]["blind"]
    assert f"study 's', trial {best.number}, " in again["first"]
    openings = [line for line in read_ledger(study.recorded()[1]).lines if line.kind == OPENING]
    assert [line.note["trial"] for line in openings] == [best.number] * 2
    assert study.verdict is not None
    assert study.verdict["holdout"]["blind"]  # it was, when it was opened


def test_another_study_on_the_same_bars_finds_it_open(study: Study) -> None:
    study.open_holdout()
    other = Study.from_toml(study.spec.path, name="other", seed=99)
    other.run()
    assert not other.open_holdout()["opened"]["blind"]


def test_opening_for_nothing_is_refused(tmp_path: Path) -> None:
    study = Study.from_toml(write_study(tmp_path, study=TPE, evaluation={"holdout": 0.0}))
    study.run()
    with pytest.raises(SpecError, match="holdout = 0: there is no hold-out to open"):
        study.open_holdout()
    assert all(line.kind != OPENING for line in read_ledger(study.recorded()[1]).lines)
