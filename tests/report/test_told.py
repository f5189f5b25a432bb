"""`--verbose` tells what is used and what took how long, and leaves the run as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optim.api import Study
from optim.report.told import Told
from optim.report.view import Quiet
from tests.studies import write_study


def test_it_tells_the_phases_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.from_toml(write_study(tmp_path, study={"n_trials": 4}, parallel={"n_jobs": 1}))
    ended = study.run(Told(Quiet()))
    assert ended.summary.best is not None
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert re.fullmatch(r"- optim \S+, Python \S+, optuna \S+, mlflow \S+, .*", lines[0])
    assert f"- record: {tmp_path}/optuna.journal" in lines
    assert "- MLflow: off" in lines
    told = [match[1] for line in lines if (match := re.fullmatch(r"- \d+\.\d\d s: (.*); \d+\.\d\d s in all", line))]
    begun, ended_with = told[:2], told[2:]
    assert begun == ["files, strategy and sampler looked at", "the search"]
    assert ended_with == ["shown", "the verdict", "the rest of the result", "waited for MLflow"]
