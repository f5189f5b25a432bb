"""A mirror's process that is there before its study: it ends with whoever started it, and with a study refused."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from optim import Study
from optim.errors import SpecError
from optim.tracking.early import early_mirror
from optim.tracking.mirror import early_process, start_process
from optim.tracking.settings import MLflowSettings
from tests.studies import write_study


def test_one_that_is_told_of_no_study_ends_when_the_pipe_is_closed(tmp_path: Path) -> None:
    process = start_process(MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db"))
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b""
    process.stdout.close()
    assert not list(tmp_path.iterdir())


def test_leaving_the_block_ends_it(tmp_path: Path) -> None:
    with early_process(MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db")) as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_a_study_that_is_refused_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracking = {"enabled": True, "mlflow": {"tracking_uri": uri}}
    path = write_study(tmp_path, study={"objective": "sharp"}, tracking=tracking)
    before, files = psutil.Process().children(recursive=True), sorted(tmp_path.iterdir())
    with pytest.raises(SpecError, match="did you mean 'sharpe_ratio'"):
        Study.from_toml(path).run()
    assert psutil.Process().children(recursive=True) == before
    assert sorted(tmp_path.iterdir()) == files


def test_what_is_wrong_with_the_uri_is_told_where_all_else_is(tmp_path: Path) -> None:
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "${NO_SUCH_VARIABLE_HERE}"}}
    study = Study.from_toml(write_study(tmp_path, tracking=tracking))
    with early_mirror(study.spec) as process:
        assert process is None
    with pytest.raises(SpecError, match="NO_SUCH_VARIABLE_HERE"):
        study.run()
