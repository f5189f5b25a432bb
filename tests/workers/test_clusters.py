"""Dask and Ray: real clusters of separate processes, the same trials as in this process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from optim.cli.parser import main
from optim.workers.cluster import DaskCalls, SharedValue
from tests import servers
from tests.studies import ROOT, essence, load, run_here, write_study
from tests.survival.test_coordinator import gated_study, pids, recorded
from tests.survival.test_workers import ALWAYS, HANGS, ONCE, run_mine
from tests.waiting import alive, until

TPE = {"n_trials": 12, "sampler": {"name": "TPESampler", "n_startup_trials": 4}}
NO_MLFLOW = """
import sys

def mine(df, params):
    found = [name for name in ("optuna", "mlflow") if name in sys.modules]
    if found:
        raise ValueError(f"a worker has imported {found}")
    return (df["close"] > df["close"].rolling(params["fast_window"]).mean()).astype(float)
"""
# Without a token: a Ray cluster that a study starts for itself would leave one in ~/.ray, and later heads ask for it.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, in processes of their own, which gives a task up with its worker."""
    folder = tmp_path_factory.mktemp("dask")
    port = servers.free_port()
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-dashboard"]
    worker += ["--local-directory", str(folder)]
    environment = {**ENVIRONMENT, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with ExitStack() as stack:
        for number, line in enumerate([command, worker, worker]):
            stack.enter_context(servers.process(line, folder / f"log{number}", env=environment, cwd=folder))
        log = folder / "log0"
        until(lambda: log.read_text().count("Register worker") >= 2, "the workers did not register")
        yield address


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray head of two cores, in processes of its own."""
    program = str(Path(sys.executable).with_name("ray"))
    port = servers.free_port()
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    options = ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=80000000", "--disable-usage-stats"]
    folder = tmp_path_factory.mktemp("ray")
    line = [program, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}", *options]
    log = folder / "log"
    with servers.process(line, log, env={**ENVIRONMENT, **quiet}, cwd=folder):
        until(lambda: "Ray runtime started" in log.read_text(), "Ray did not start")
        yield f"127.0.0.1:{port}"


@pytest.mark.real("dask")
def test_dask_workers_give_the_same_trials(dask: str, tmp_path: Path) -> None:
    same_trials("dask", dask, tmp_path)


@pytest.mark.real("ray")
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_workers_give_the_same_trials(ray: str, tmp_path: Path) -> None:
    same_trials("ray", ray, tmp_path)


def same_trials(backend: str, address: str, tmp_path: Path) -> None:
    results = []
    for parallel in ({"backend": "sequential"}, {"backend": backend, "address": address}):
        folder = tmp_path / parallel["backend"]
        folder.mkdir()
        (folder / "mine.py").write_text(
            NO_MLFLOW if parallel["backend"] == backend else NO_MLFLOW.replace("if found", "if 0")
        )
        path = write_study(folder, study=TPE, strategy={"name": "mine.py:mine", "fixed": {}}, parallel=parallel)
        results.append(essence(run_here(path)[1]))
    assert results[0] == results[1]
    assert not any("error" in row[5] for row in results[1])


class Fragile:
    """A shared object; while the file `trap` is there, the next worker that receives it dies of that."""

    def __init__(self, trap: Path):
        self.trap, self.home = trap, os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.trap.exists() and os.getpid() != self.home and "scheduler" not in sys.argv:
            self.trap.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


def home_of(shared: SharedValue) -> int:
    return int(shared.get().home)


@pytest.mark.real("dask")
def test_a_shared_object_that_dask_gave_up_is_sent_again(dask: str, tmp_path: Path) -> None:
    from distributed import Client, KilledWorker

    with Client(dask, set_as_default=False) as client:
        calls = DaskCalls(client, SharedValue(Fragile(tmp_path / "trap")))
        assert calls.submit(home_of).result(60) == os.getpid()
        (tmp_path / "trap").touch()
        for pid in client.run(os.getpid).values():  # whoever has it is gone, and the next one dies receiving it
            os.kill(pid, signal.SIGKILL)
        # Or Dask gave it to one of the two when it had noticed the end of the other only
        until(
            lambda: not (tmp_path / "trap").exists() or calls._sent.status == "error", "no worker received the object"
        )
        with suppress(KilledWorker):  # the one call that finds out
            calls.submit(home_of).result(60)
        assert calls.submit(home_of).result(60) == os.getpid()


class Unsendable:
    """A result that takes its worker down when it is asked for."""

    def __reduce__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def value_of(shared: SharedValue) -> int:
    return int(shared.get())


def lost_on_its_way(_: SharedValue, done: Path) -> Unsendable:
    if done.exists():  # done again, because its result is gone
        os.kill(os.getpid(), signal.SIGKILL)
    done.touch()
    return Unsendable()


@pytest.mark.real("dask")
def test_a_result_that_dask_loses_and_cannot_make_again_is_told_of(dask: str, tmp_path: Path) -> None:
    from distributed import Client, KilledWorker

    with Client(dask, set_as_default=False) as client:
        calls = DaskCalls(client, SharedValue(7))
        with pytest.raises(KilledWorker):
            calls.submit(lost_on_its_way, tmp_path / "done").result(60)
        assert calls.submit(value_of).result(60) == 7


CLUSTERS = [pytest.param(name, marks=pytest.mark.real(name)) for name in ("dask", "ray")]


@pytest.mark.parametrize("backend", CLUSTERS)
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.parametrize(("strategy", "failed"), [(ONCE, []), (ALWAYS, [3])], ids=["once", "always"])
def test_a_clusters_worker_that_dies_is_replaced_and_its_trial_repeated(
    backend: str, strategy: str, failed: list[int], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address = request.getfixturevalue(backend)
    trials = run_mine(tmp_path, strategy, backend=backend, address=address)
    assert [t.params["x"] for t in trials if t.state == TrialState.FAIL] == failed
    assert all("its worker died 3 times" in t.user_attrs["error"] for t in trials if t.state == TrialState.FAIL)
    (tmp_path / "peaceful").mkdir()
    (tmp_path / "peaceful" / "died").touch()
    expected = essence(run_mine(tmp_path / "peaceful", ONCE, backend="sequential"))
    assert [row for row in essence(trials) if row[3]["x"] not in failed] == [
        row for row in expected if row[3]["x"] not in failed
    ]


@pytest.mark.parametrize("backend", CLUSTERS)
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_trial_that_hangs_in_a_cluster_ends_with_its_worker_and_fails_alone(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address = request.getfixturevalue(backend)
    trials = run_mine(tmp_path, HANGS, backend=backend, address=address, trial_timeout=5)
    failed = [(t.params["x"], t.user_attrs["error"]) for t in trials if t.state == TrialState.FAIL]
    assert failed == [(3, "cell 0: the trial took longer than trial_timeout = 5 s")]


@pytest.mark.parametrize("backend", CLUSTERS)
def test_an_interrupted_study_leaves_its_cluster_at_once_and_keeps_what_has_ended(backend: str, tmp_path: Path) -> None:
    path = gated_study(tmp_path, backend, 8 if backend == "dask" else 4)  # Ray gives a whole round of trials at once
    log = tmp_path / "log"
    with servers.process([sys.executable, "-m", "optim", "run", str(path)], log, cwd=ROOT, env=ENVIRONMENT) as run:
        journal = tmp_path / "optuna.journal"
        until(lambda: journal.exists() and len(recorded(tmp_path)) >= 4, "no trial came into the record")
        until(lambda: (tmp_path / "waiting").exists(), "no trial reached the gate")
        os.killpg(run.pid, signal.SIGINT)
        code = run.wait(60)  # the gate stays closed: who waits for the trials that run would wait for ever
        until(lambda: not any(map(alive, pids(tmp_path))), "a worker outlived its coordinator")
    assert code == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    assert [t.params["x"] for t in load(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.real("dask")
def test_a_scheduler_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"tcp://127.0.0.1:{servers.free_port()}"
    path = write_study(tmp_path, parallel={"backend": "dask", "address": address})
    assert main(["run", str(path)]) == 2
    assert f"[parallel] address = '{address}': no Dask scheduler answers" in capsys.readouterr().err
