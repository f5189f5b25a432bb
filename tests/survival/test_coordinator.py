"""A coordinator that is killed, interrupted or out of disk: nothing finished is lost, and the study goes on exactly."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from optim.cli.parser import main
from optim.errors import RecordError
from optim.problem.plan import make_plan
from optim.record.guard import sole_writer
from optim.record.locks import owner
from optim.record.record import open_record
from optim.spec.study import load_spec
from tests import servers
from tests.studies import ROOT, essence, load, run_here, write_study
from tests.waiting import alive, until

TPE = {"sampler": {"name": "TPESampler"}}
GATED = """
import os
import time
from pathlib import Path

HERE = Path(__file__).parent

def gated(df, params):
    (HERE / f"pid-{os.getpid()}").touch()
    end = time.monotonic() + 300
    while params["x"] > 4 and not (HERE / "gate").exists():
        (HERE / "waiting").touch()
        assert time.monotonic() < end, "the gate was never opened"
    return (df["close"] > df["close"].rolling(params["x"]).mean()).astype(float)
"""


def kill_loop(folder: Path, storage: str, kills: int, seed: int = 1) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.survival.kill_loop", str(folder), storage, str(kills), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts


def test_a_hundred_killed_coordinators_lose_and_repeat_nothing(tmp_path: Path) -> None:
    counts = kill_loop(tmp_path, "optuna.journal", 100)
    assert counts["kills"] >= 100
    assert counts["in the middle"] >= 10


def test_the_same_on_sqlite(tmp_path: Path) -> None:
    assert kill_loop(tmp_path, "sqlite:///optuna.db", 2)["kills"] >= 2


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(servers.postgres_cluster, marks=pytest.mark.real("postgresql"), id="postgresql"),
        pytest.param(servers.mariadb_server, marks=pytest.mark.real("mariadb"), id="mariadb"),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database server; its URI without a database."""
    with request.param() as uri:
        yield uri


def test_the_same_on_a_database_server(server: str, tmp_path: Path) -> None:
    assert kill_loop(tmp_path, servers.create_database(server, "kills"), 3)["kills"] >= 3


def test_a_second_coordinator_on_a_database_server_is_refused_by_name(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = servers.create_database(server, "guard")
    with sole_writer(uri, "s") as guard:
        record = open_record(uri, "s", ["maximize"], {"a": 1}, {}, ["sharpe_ratio"])
        record.claim(owner(), guard)
        path = write_study(tmp_path, study={"storage": uri, "n_trials": 4})
        said = refusal(capsys, "run", path)
        assert f"study 's' is being run by {owner()}" in said
        assert servers.PASSWORD not in said
        with sole_writer(uri, "another study"):
            pass
        servers.end_sessions(uri)
        with pytest.raises(RecordError, match="guards study 's' was lost"):
            record.append([])
    with sole_writer(uri, "s"):  # free again
        pass


def gated_study(folder: Path, backend: str = "loky", batch_size: int = 8) -> Path:
    (folder / "gated.py").write_text(GATED)
    space = {"parameters": {"x": {"type": "int", "low": 1, "high": 8}}}
    return write_study(
        folder,
        study={"enqueue": [{"x": x} for x in range(1, 9)], "pruner": {"name": "NopPruner"}, "n_trials": 8, **TPE},
        strategy={"name": "gated.py:gated", "search_space": space, "fixed": {}, "lookahead_check": False},
        evaluation={"folds": 1},
        # with a limit, tasks travel one by one
        parallel={"backend": backend, "n_jobs": 2, "trial_timeout": 600, "batch_size": batch_size},
    )


def pids(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


@pytest.mark.parametrize("how", ["SIGINT to the group", "SIGTERM", "SIGKILL"])
def test_an_ended_coordinator_keeps_finished_trials_and_leaves_no_worker(how: str, tmp_path: Path) -> None:
    path = gated_study(tmp_path)
    log = tmp_path / "log"
    with servers.process([sys.executable, "-m", "optim", "run", str(path)], log, cwd=ROOT) as run:
        journal = tmp_path / "optuna.journal"
        until(lambda: journal.exists() and len(recorded(tmp_path)) >= 4, "no trial came into the record")
        until(lambda: len(pids(tmp_path)) == 2, "the workers did not start")
        assert all(map(alive, pids(tmp_path)))
        if "group" in how:
            os.killpg(run.pid, signal.SIGINT)
        else:
            os.kill(run.pid, getattr(signal, how))
        code = run.wait(60)
        until(lambda: not any(map(alive, pids(tmp_path))), "a worker outlived its coordinator")
    assert code == (-signal.SIGKILL if how == "SIGKILL" else 130), log.read_text()
    assert "Traceback" not in log.read_text()
    assert [t.params["x"] for t in load(tmp_path)] == [1, 2, 3, 4]
    (tmp_path / "gate").touch()
    assert [t.params["x"] for t in run_here(path)[1]] == list(range(1, 9))


def recorded(folder: Path) -> list[object]:
    try:
        return list(load(folder))
    except KeyError:
        return []


def test_a_full_disk_is_one_sentence_and_the_study_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    (tmp_path / "whole").mkdir()
    _, whole = run_here(write_study(tmp_path / "whole"))
    size = (tmp_path / "whole" / "optuna.journal").stat().st_size
    done = subprocess.run(
        [sys.executable, "-m", "optim", "run", str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "cannot be written (OSError: [Errno 27] File too large)" in done.stderr
    assert "run the same command to resume" in done.stderr
    assert "Traceback" not in done.stderr
    before = load(tmp_path)
    assert 0 < len(before) < len(whole)
    with sole_writer(str(tmp_path / "optuna.journal"), "s"):
        run_here(path)
    assert essence(load(tmp_path)) == essence(whole)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What a command says that is to be refused."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("here is no folder")
    said = refusal(capsys, "run", write_study(tmp_path, study={"storage": "file/optuna.journal"}))
    assert "is a file, no folder" in said
    assert "choose another folder" in said


@pytest.mark.parametrize("storage", ["optuna.journal", "sqlite:///optuna.db"])
def test_a_second_coordinator_is_refused_by_name(
    storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path, study={"storage": storage})
    with sole_writer(make_plan(load_spec(path)).storage, "s"):
        assert f"study 's' is being run by {owner()}; wait for it or stop it" in refusal(capsys, "run", path)


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"storage": "locked/optuna.journal"})
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, optuna, sqlalchemy\nfrom optim.record.guard import sole_writer\n"
        "from optim.errors import RecordError\n"
        "if os.geteuid() == 0:\n    os.setgid(65534)\n    os.setuid(65534)\n"  # root is not bound by permissions
        f"try:\n    sole_writer({str(locked / 'optuna.journal')!r}, 's').__enter__()\n"
        "except RecordError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "cannot be written: Permission denied; choose another folder" in done.stdout, done.stderr
    assert path.exists()


def test_an_edited_study_file_and_other_data_are_refused_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = (ROOT / "studies" / "data" / "ibm_1d.csv").read_text().splitlines(keepends=True)
    (tmp_path / "bars.csv").write_text("".join(bars))
    data = {"path": "bars.csv"}
    run_here(write_study(tmp_path, data=data))
    edited = write_study(tmp_path, data=data, backtest={"fee_bps": 12.0})
    said = refusal(capsys, "run", edited)
    assert "fee_bps was 10.0, is 12.0" in said
    assert "--new-name" in said
    assert main(["run", str(edited), "--new-name", "t", "--n-trials", "3"]) == 0
    (tmp_path / "bars.csv").write_text("".join(bars[:-1]))
    assert "[data] bars of file 1 has changed" in refusal(capsys, "run", write_study(tmp_path, data=data))
