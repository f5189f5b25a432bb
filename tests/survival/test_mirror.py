"""However a coordinator ends, MLflow holds every trial once and the study's true end, at once or after one sync."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from optim.tracking import Mirror, MLflowSettings, sync
from optim.tracking.turn import Turn
from tests import servers
from tests.studies import ROOT, command, write_study
from tests.survival.mirror_loop import count
from tests.tracking.builders import make_trials, study_info
from tests.tracking.mlflow_side import RESULT, all_runs, assert_exact, open_client
from tests.waiting import alive, mirrors, until

TRIALS = make_trials(40)


def mirror_loop(uri: str, trials: int, kills: int, seed: int, seconds: float) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.survival.mirror_loop", uri, str(trials), str(kills), str(seed), str(seconds)],
        cwd=ROOT, capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_once(found: dict[str, object], trials: int) -> None:
    """Nothing missing, nothing twice, one parent at its end, and no claim but this."""
    counted = {key: found[key] for key in ("parents", "children", "different", "orphans", "running")}
    assert counted == {"parents": ["FINISHED"], "children": trials, "different": trials, "orphans": 0, "running": 0}
    assert found["report"]["missing"] == 0  # type: ignore[index]
    assert found["report"]["error"] == ""  # type: ignore[index]


def test_killed_coordinators_leave_every_trial_once(database: Path) -> None:
    assert_once(mirror_loop(f"sqlite:///{database}", 600, 5, 1, 8.0), 600)


@pytest.mark.real("postgresql")
def test_the_same_on_postgresql(postgres: str) -> None:
    uri = servers.create_database(postgres, "killed", template="mlflow")
    assert_once(mirror_loop(uri, 300, 3, 2, 8.0), 300)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still inside."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_second_writer_waits_for_the_first(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "turns")
    first, second = Turn(settings, "5e1f"), Turn(settings, "5e1f")
    first.take()
    with pytest.raises(Exception, match=f"another process \\(pid {os.getpid()} on .*is writing this study"):
        second.take(0.0)
    another = Turn(settings, "another study")
    another.take(0.0)
    another.release()
    first.release()
    second.take(0.0)
    second.release()
    assert not list(database.parent.glob(".*.mirror"))


def test_two_mirrors_of_one_study_write_every_trial_once(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "killed")
    mirrors = [Mirror(study_info(), settings) for _ in range(2)]
    for mirror in mirrors:
        mirror.finished(TRIALS)
        mirror.conclude(RESULT)
    for mirror in mirrors:
        report = mirror.close(RESULT)
        assert report.complete, report.error
    assert_exact(settings, TRIALS)
    assert count(settings.tracking_uri)["parents"] == ["FINISHED"]


def test_ctrl_c_while_a_mirror_stands_still_ends_the_run(tmp_path: Path) -> None:
    path = write_study(tmp_path, tracking={"enabled": True})
    log = tmp_path / "log"
    with servers.process([sys.executable, "-m", "optim", "run", str(path)], log, cwd=ROOT) as run:
        (mirror,) = until(lambda: mirrors(run.pid), "the mirror did not start")
        os.kill(mirror, signal.SIGSTOP)
        until(lambda: "ready to paste" in log.read_text(), "the verdict did not come")
        os.kill(run.pid, signal.SIGINT)
        code = run.wait(90)
        assert code == 130, log.read_text()
        assert not alive(mirror)
    text = log.read_text()
    assert "24 trials are in the record but not in MLflow yet: python -m optim sync" in text
    assert "Traceback" not in text
    assert command("sync", path).returncode == 0
    assert parent(tmp_path) == ("FINISHED", "finished")


def status_in(database: Path) -> str:
    """The status of the study's run, as fast as can be asked: it runs for a moment only."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        ((status,),) = connection.execute(
            "select status from runs join tags using (run_uuid) where key = 'optim.role' and value = 'study'"
        )
    return str(status)


def parent(folder: Path) -> tuple[str, str]:
    """Status and tag of the study's run."""
    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "ma_crossover_optimization")
    (run,) = [run for run in all_runs(settings) if run.data.tags["optim.role"] == "study"]
    return run.info.status, run.data.tags["status"]


def test_a_reader_that_goes_away_and_a_killed_look_leave_a_finished_study_finished(tmp_path: Path) -> None:
    path = write_study(tmp_path, tracking={"enabled": True})
    assert command("run", path).returncode == 0
    assert parent(tmp_path) == ("FINISHED", "finished")
    run = [sys.executable, "-m", "optim", "run", str(path)]
    with subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()
        assert b"Traceback" not in reader.stderr.read()
    assert parent(tmp_path) == ("FINISHED", "finished")
    settings = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "ma_crossover_optimization")
    with subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL) as killed:
        until(lambda: status_in(tmp_path / "mlflow.db") == "RUNNING", "the mirror never looked", pause=0.001)
        killed.kill()
    until(lambda: parent(tmp_path) == ("FINISHED", "finished"), "the study is not finished any more")
    assert len(all_runs(settings)) == 25


def test_an_exception_in_the_coordinator_is_an_interruption(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "killed")

    def coordinate() -> None:
        with Mirror(study_info(), settings) as mirror:
            mirror.finished(TRIALS[:10])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        coordinate()
    found = count(settings.tracking_uri)
    assert (found["parents"], found["children"]) == (["KILLED"], 10)


def test_the_stall_timeout_counts_from_the_last_sign_of_progress(database: Path) -> None:
    """More trials than could be written within it; all of them are, for there is progress all the time."""
    settings = MLflowSettings(f"sqlite:///{database}", "patient")
    trials = make_trials(3000)
    mirror = Mirror(study_info(), settings, stall_timeout=20.0)
    mirror.finished(trials)
    report = mirror.close(RESULT)
    assert report.complete, report.error
    assert len(all_runs(settings)) == 3001


def test_a_mirror_that_stands_still_is_given_up(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "still")
    mirror = Mirror(study_info(), settings, stall_timeout=1.0)
    (pid,) = mirrors(os.getpid())
    until(lambda: len(all_runs(settings)) == 1, "the study's run never came")
    with stopped(pid):
        mirror.finished(make_trials(20_000))  # more than a pipe holds
        report = mirror.close(RESULT)
    assert report.missing == 20_000
    assert "without progress" in report.error
    assert not alive(pid)


def test_a_run_that_was_deleted_comes_back_under_its_id_and_surplus_parents_go(database: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "killed")
    before = sync(study_info(), settings, TRIALS, RESULT)
    client, runs = open_client(settings), {run.info.run_id for run in all_runs(settings)}
    (child, *_) = [run for run in all_runs(settings) if run.data.tags["optim.role"] == "trial"]
    client.delete_run(child.info.run_id)
    client.delete_run(before.parent_run_id)
    tags = {"optim.study_id": "5e1f", "optim.role": "study"}
    client.create_run(before.experiment_id, tags=tags)
    client.create_run(before.experiment_id, tags=tags)
    report = sync(study_info(), settings, TRIALS, RESULT)
    assert report.complete, report.error
    assert_exact(settings, TRIALS)
    found = count(settings.tracking_uri)
    assert (found["parents"], found["orphans"]) == (["FINISHED"], 0)
    assert child.info.run_id in {run.info.run_id for run in all_runs(settings)} <= runs | {report.parent_run_id}


def test_a_strategy_that_fails_only_on_the_holdout_leaves_a_finished_study(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text(
        "def short(df, params):\n"
        "    if len(df) > 2600:\n"
        "        raise ValueError('too much')\n"
        "    return (df['close'] > df['close'].rolling(params['x']).mean()).astype(float)\n"
    )
    space = {"parameters": {"x": {"type": "int", "low": 2, "high": 30}}}
    path = write_study(
        tmp_path,
        study={"n_trials": 4},
        strategy={"name": "short.py:short", "search_space": space, "fixed": {}, "lookahead_check": False},
        evaluation={"holdout": 0.25, "folds": 2},
        tracking={"enabled": True, "mlflow": {"experiment_name": "ma_crossover_optimization"}},
    )
    done = command("run", path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert parent(tmp_path) == ("FINISHED", "finished")
