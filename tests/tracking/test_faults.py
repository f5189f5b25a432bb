"""Whatever happens to MLflow, the study goes on, says what is missing, and sync brings MLflow to exactly the record."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optim.tracking import Mirror, MLflowSettings, sync
from tests import servers
from tests.tracking.builders import make_trials, study_info
from tests.tracking.mlflow_side import RESULT, all_runs, assert_exact, children, open_client, snapshot
from tests.tracking.proxy import DROP, FAIL, FAIL_AFTERWARDS, PASS, faulty
from tests.waiting import mirrors, until

TRIALS = make_trials(40)


def ended(settings: MLflowSettings) -> int:
    """How many trials MLflow shows as ended so far."""
    return sum("optim.trial" in run.data.tags and run.info.status != "RUNNING" for run in all_runs(settings))


def check_sync(settings: MLflowSettings) -> None:
    """sync brings MLflow to the record; a second one changes nothing."""
    report = sync(study_info(), settings, TRIALS, RESULT)
    assert report.complete, report.error
    assert_exact(settings, TRIALS)
    before = snapshot(settings)
    assert sync(study_info(), settings, TRIALS, RESULT) == report
    assert snapshot(settings) == before
    assert [run.info.run_id for run in all_runs(settings) if run.data.tags["optim.role"] == "study"] == [
        report.parent_run_id
    ]


def test_server_down_at_the_start_and_all_the_time(server: str) -> None:
    port = servers.free_port()
    settings = MLflowSettings(f"http://127.0.0.1:{port}", "down")
    mirror = Mirror(study_info(), settings)
    mirror.finished(TRIALS)
    report = mirror.close(RESULT)
    assert report.missing == len(TRIALS)
    assert f"127.0.0.1:{port}" in report.error
    with faulty(server, port):
        check_sync(settings)


def test_server_that_comes_back_while_the_study_runs(server: str) -> None:
    with faulty(server) as proxy:
        settings = MLflowSettings(proxy.url, "back")
        proxy.fault = lambda path, count: DROP
        mirror = Mirror(study_info(), settings)
        mirror.finished(TRIALS[:20])
        until(lambda: mirror.problem, "the failure was never told")
        proxy.fault = lambda path, count: PASS
        until(lambda: not mirror.problem, "the mirror never recovered")
        mirror.finished(TRIALS[20:])
        assert mirror.close(RESULT).complete
        assert_exact(settings, TRIALS)


def test_server_killed_in_the_middle(tmp_path: Path, empty_database: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    port = servers.free_port()
    settings = MLflowSettings(f"http://127.0.0.1:{port}", "killed")
    mirror = Mirror(study_info(), settings)
    files = ("--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "files"))
    with servers.mlflow_server(tmp_path, *files, port=port):
        mirror.finished(TRIALS[:20])
        until(lambda: ended(settings), "nothing was projected")
    mirror.finished(TRIALS[20:])
    report = mirror.close(RESULT)
    assert report.missing >= 20
    assert "127.0.0.1" in report.error
    check_sync(MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "killed"))


def test_errors_500_before_and_after_the_work_was_done(server: str) -> None:
    """A creation that answers 500 although it worked must not become two children."""
    with faulty(server) as proxy:
        settings = MLflowSettings(proxy.url, "errors")
        proxy.fault = lambda path, count: FAIL_AFTERWARDS if count % 23 == 0 else FAIL if count % 31 == 0 else PASS
        mirror = Mirror(study_info(), settings)
        mirror.finished(TRIALS)
        mirror.close(RESULT)
        proxy.fault = lambda path, count: PASS
        check_sync(settings)


def test_a_server_that_does_not_answer_holds_nothing_up(server: str) -> None:
    with faulty(server) as proxy:
        settings = MLflowSettings(proxy.url, "stuck")
        proxy.gate.clear()
        mirror = Mirror(study_info(), settings, stall_timeout=1.0)
        mirror.finished(TRIALS)  # returns although every request hangs
        assert proxy.waiting.wait(60)
        report = mirror.close(RESULT)  # returns too
        assert report.missing == len(TRIALS)
        assert "not up to date after 1 seconds" in report.error
        proxy.gate.set()
        check_sync(settings)


def test_a_server_that_takes_five_seconds_a_call_slows_nothing(server: str) -> None:
    with faulty(server) as proxy:
        settings = MLflowSettings(proxy.url, "slow")
        proxy.delay = 5.0
        mirror = Mirror(study_info(), settings, stall_timeout=1.0)
        mirror.finished(TRIALS)
        assert not proxy.answered.is_set()  # the study has told everything before the first call has come back
        assert proxy.answered.wait(60)
        report = mirror.close(RESULT)
        assert report.missing == len(TRIALS)
        assert "not up to date after 1 seconds" in report.error
        proxy.delay = 0.0
        check_sync(settings)


def test_mirror_killed_with_a_child_half_written(server: str) -> None:
    with faulty(server) as proxy:
        settings = MLflowSettings(proxy.url, "half")
        mirror = Mirror(study_info(), settings)
        until(lambda: all_runs(settings), "the parent run never came")
        begun: list[str] = []  # children; the parent's own parameters may still be on their way

        def hold_metrics(path: str, count: int) -> str:
            if path.endswith("runs/create"):
                begun.append(path)
            if path.endswith("log-batch") and begun:
                proxy.gate.clear()
            return PASS

        proxy.fault = hold_metrics
        mirror.finished(TRIALS)
        assert proxy.waiting.wait(60)
        (pid,) = mirrors(os.getpid())
        os.kill(pid, signal.SIGKILL)
        proxy.fault = lambda path, count: DROP
        proxy.gate.set()
        report = mirror.close(RESULT)
        assert report.missing == len(TRIALS)
        assert "signal 9" in report.error
        half = children(MLflowSettings(server, "half"))
        assert {run.info.status for run in half.values()} == {"RUNNING"}
        check_sync(MLflowSettings(server, "half"))
        assert {number: run.info.run_id for number, run in half.items()}.items() <= {
            number: run.info.run_id for number, run in children(MLflowSettings(server, "half")).items()
        }.items()


def test_study_killed_between_record_and_mirror(database: Path) -> None:
    """kill -9 of the study itself: its mirror ends by itself, the study shows as interrupted, sync adds the rest."""
    settings = MLflowSettings(f"sqlite:///{database}", "killed")
    code = f"""
        from optim.tracking import Mirror, MLflowSettings
        from tests.tracking.builders import make_trials, study_info
        import sys
        mirror = Mirror(study_info(), MLflowSettings(*{tuple(settings)!r}))
        mirror.finished(make_trials(10))
        sys.stdin.read()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdin=subprocess.PIPE) as study:
        until(lambda: ended(settings) == 10, "not all trials came into MLflow")
        study.kill()
    client = open_client(settings)

    def interrupted() -> bool | None:
        parents = [run for run in all_runs(settings) if run.data.tags["optim.role"] == "study"]
        return parents[0].info.status == "KILLED" or None

    until(interrupted, "the mirror did not notice that the study was gone")
    assert len(children(settings)) == 10
    assert client.get_experiment_by_name("killed") is not None
    check_sync(settings)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What is started inside cannot make a file larger than this: a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_full(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "full")
    with file_size_limit(os.path.getsize(database) + 24 * 1024):
        mirror = Mirror(study_info(), settings)
    mirror.finished(TRIALS)
    report = mirror.close(RESULT)
    assert report.missing == len(TRIALS)
    assert "disk" in report.error
    check_sync(settings)


@contextmanager
def locked(database: Path) -> Iterator[None]:
    lock = sqlite3.connect(database, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        lock.close()


def test_database_locked_by_another_process(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "locked")
    with locked(database):
        mirror = Mirror(study_info(), settings, stall_timeout=10.0)
        mirror.finished(TRIALS)
        report = mirror.close(RESULT)
    assert report.missing == len(TRIALS)
    assert report.error
    check_sync(settings)


def test_database_locked_for_a_while(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "locked")
    with locked(database):
        mirror = Mirror(study_info(), settings)
        mirror.finished(TRIALS)
        until(lambda: mirror.problem, "the lock was never told")
    report = mirror.close(RESULT)
    assert report.complete, report.error
    assert_exact(settings, TRIALS)


def test_sync_rebuilds_into_an_empty_mlflow(tmp_path: Path) -> None:
    check_sync(MLflowSettings(f"sqlite:///{tmp_path}/new/mlflow.db", "rebuilt"))


@pytest.mark.parametrize("how", ["sqlite", "http"])
def test_two_studies_opened_at_the_same_moment(tmp_path: Path, server: str, how: str) -> None:
    """A fresh database initialised by two processes at once."""
    uri = f"sqlite:///{tmp_path}/fresh.db" if how == "sqlite" else server
    settings = MLflowSettings(uri, "together")
    infos = [study_info(study_id=name, name=name) for name in ("one", "two")]
    mirrors = [Mirror(info, settings) for info in infos]
    for mirror in mirrors:
        mirror.finished(TRIALS)
    for mirror in mirrors:
        report = mirror.close(RESULT)
        assert report.complete, report.error
    assert len(all_runs(settings)) == 2 * (1 + len(TRIALS))
