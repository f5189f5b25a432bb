"""Workers that die, hang or run out of memory: their trials are repeated or fail alone, and they are replaced."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from engine.data.cells import Cell
from engine.data.load import load_bars
from engine.simulator.account import Account
from engine.strategies.raised import without_place
from optim.workers import joblib_private
from optim.workers.executors import Processes
from optim.workers.pool import Pool
from optim.workers.tasks import Job, Task, run_task
from tests.studies import IBM, ROOT, essence, run_here, write_study
from tests.survival.test_coordinator import TPE, pids
from tests.waiting import alive, until

HEAD = """
import os
import resource
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

def signal_of(df, params):
    return (df["close"] > df["close"].rolling(params["x"]).mean()).astype(float)

"""
ONCE = """
def mine(df, params):
    if params["x"] == 3 and not (HERE / "died").exists():
        (HERE / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return signal_of(df, params)
"""
ALWAYS = """
def mine(df, params):
    if params["x"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return signal_of(df, params)
"""
GREEDY = """
def mine(df, params):
    if params["x"] == 3:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
        try:
            bytearray(2**30)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return signal_of(df, params)
"""
HANGS = """
def mine(df, params):
    if params["x"] == 3:
        (HERE / f"pid-{os.getpid()}").touch()
        end = time.monotonic() + 300
        while time.monotonic() < end:
            pass
    return signal_of(df, params)
"""
SLOW = """
def slow(df, params):
    (HERE / f"pid-{os.getpid()}").touch()
    time.sleep(0.02)
    return signal_of(df, params)
"""
INTROSPECTIVE = """
def mine(df, params):
    found = [name for name in ("optuna", "mlflow", "rich", "matplotlib") if name in sys.modules]
    raise ValueError(f"{os.getpid()} {found} {os.environ['OMP_NUM_THREADS']} {signal.getsignal(signal.SIGINT)!r}")
"""


@pytest.fixture(params=[("",), ()], ids=["private", "public"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any version of joblib its insides are used; with none they are."""
    monkeypatch.setattr(joblib_private, "KNOWN", request.param)


def workers() -> set[int]:
    """The process ids of this process' workers."""
    return {int(str(child.pid)) for child in multiprocessing.active_children()}


def run_mine(folder: Path, strategy: str, **parallel: Any) -> list[FrozenTrial]:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(HEAD + strategy)
    space = {"parameters": {"x": {"type": "int", "low": 2, "high": 9}}}
    path = write_study(
        folder,
        study={"enqueue": [{"x": x} for x in range(2, 10)], "pruner": {"name": "NopPruner"}, "n_trials": 8, **TPE},
        strategy={"name": "mine.py:mine", "search_space": space, "fixed": {}},
        parallel={"backend": "loky", "n_jobs": 2, **parallel},
    )
    return run_here(path)[1]


@pytest.fixture(scope="module")
def peaceful(tmp_path_factory: pytest.TempPathFactory) -> list[FrozenTrial]:
    folder = tmp_path_factory.mktemp("peaceful")
    (folder / "died").touch()
    return run_mine(folder, ONCE, backend="sequential")


def test_a_worker_killed_in_mid_trial_changes_nothing(tmp_path: Path, peaceful: list[FrozenTrial]) -> None:
    assert essence(run_mine(tmp_path, ONCE)) == essence(peaceful)
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize(
    ("strategy", "reason"), [(ALWAYS, "its worker died 3 times"), (GREEDY, "mine raised MemoryError")]
)
def test_a_trial_that_takes_its_worker_down_fails_alone(
    strategy: str, reason: str, tmp_path: Path, peaceful: list[FrozenTrial]
) -> None:
    trials = run_mine(tmp_path, strategy)
    assert [t.state == TrialState.FAIL for t in trials] == [t.params["x"] == 3 for t in trials]
    assert reason in trials[1].user_attrs["error"]
    others = [i for i in range(8) if i != 1]
    assert [essence(trials)[i] for i in others] == [essence(peaceful)[i] for i in others]


def test_a_cheap_plain_strategy_stays_out_of_the_coordinators_process(tmp_path: Path) -> None:
    trials = run_mine(tmp_path, ALWAYS.replace("== 3", "== 9"), batch_size=1)  # the last, when the others were cheap
    assert [t.state for t in trials].count(TrialState.FAIL) == 1
    assert "its worker died 3 times" in trials[-1].user_attrs["error"]


def test_a_worker_is_given_its_next_call_in_advance_but_none_behind_a_dangerous_one() -> None:
    processes = Processes(2, depth=2)
    try:
        assert (processes.free, processes.idle) == (4, 2)
        first = [processes.submit(os.getpid) for _ in range(3)]
        assert (processes.free, processes.idle) == (1, 0)
        assert len({future.result() for future in first}) == 2
        for future in first:
            processes.release(future)
        dangerous = processes.submit(os.getpid)
        processes.fill(dangerous)
        assert (processes.free, processes.idle) == (2, 1)
        others = [processes.submit(os.getpid) for _ in range(2)]
        assert processes.free == 0
        assert dangerous.result() not in {future.result() for future in others}
    finally:
        processes.close()


def test_a_trial_that_hangs_is_ended_with_its_worker(tmp_path: Path, peaceful: list[FrozenTrial]) -> None:
    trials = run_mine(tmp_path, HANGS, trial_timeout=5)
    assert trials[1].user_attrs["error"] == "cell 0: the trial took longer than trial_timeout = 5 s"
    assert [t.state for t in trials].count(TrialState.FAIL) == 1
    assert essence(trials)[2:] == essence(peaceful)[2:]
    assert pids(tmp_path)
    assert not any(map(alive, pids(tmp_path)))


LIMITED = """
import sys, threading
from pathlib import Path
from engine.data.cells import Cell
from engine.data.load import load_bars
from engine.simulator.account import Account
from optim.workers.tasks import Job, Task, run_all
from tests.waiting import until
folder = Path(sys.argv[1])
job = Job("mine.py:mine", str(folder), (load_bars(sys.argv[2]),), 252.0)
def run(x, seconds):
    run_all(job, [(Task({"x": x}, Account(), (Cell(0, 0, 3000),)), seconds)])
run(4, 500.0)
threading.Thread(target=run, args=(3, 2.0), daemon=True).start()
until(lambda: list(folder.glob("pid-*")), "the first trial did not begin")
run(4, 500.0)  # another thread's, longer limit must not replace the first one's
print("told", flush=True)
run(3, 500.0)
"""


def test_every_thread_of_a_process_has_its_own_trial_limit(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HEAD + HANGS)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(IBM)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "told\n"), done.stderr


STARTED = """
import sys
import joblib
from engine.data.cells import Cell
from engine.data.load import load_bars
from engine.simulator.account import Account
from optim.workers.cluster import SharedValue
from optim.workers.tasks import Job, Task, run_from_disk, run_shared
where, folder, bars = sys.argv[1:]
job = Job("mine.py:mine", folder, (load_bars(bars),), 252.0)
work = [(Task({"x": 4}, Account(), (Cell(0, 0, 3000),)), 1.0)]
if where == "cluster":
    (result,) = run_shared(SharedValue(job), work)
else:
    joblib.dump(tuple(job), f"{folder}/job.joblib")
    (result,) = run_from_disk(f"{folder}/job.joblib", work)
print(result.outcomes[0].error or "done")
"""


@pytest.mark.parametrize("where", ["cluster", "here"])
def test_the_start_of_a_worker_is_none_of_a_trials_time(where: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        f"{HEAD}time.sleep(2)\n\ndef mine(df, params):\n    return signal_of(df, params)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", STARTED, where, str(tmp_path), str(IBM)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.usefixtures("ways")
def test_workers_know_neither_optuna_nor_mlflow_and_have_one_thread_and_no_ctrl_c(tmp_path: Path) -> None:
    errors = {
        without_place(trial.user_attrs["error"]).partition("ValueError: ")[2]
        for trial in run_mine(tmp_path, INTROSPECTIVE)
    }
    threads = str(max(1, (os.cpu_count() or 1) // 2))
    for error in errors:
        pid, _, rest = error.partition(" ")
        assert int(pid) != os.getpid()
        assert rest == f"[] {threads} <Handlers.SIG_IGN: 1>"


def test_bars_reach_a_worker_once_as_a_memory_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = load_bars(IBM)
    job = Job("ma_crossover", str(tmp_path), (bars,), 252.0)
    tasks = [Task({"fast_window": 5, "slow_window": slow}, Account(), (Cell(0, 0, 3000),)) for slow in range(20, 60)]
    sent: list[Any] = []
    submit = Processes.submit

    def seen(self: Processes, function: Any, *arguments: Any) -> Any:
        sent.append(arguments)
        return submit(self, function, *arguments)

    monkeypatch.setattr(Processes, "submit", seen)
    monkeypatch.setattr("optim.workers.pace.INLINE_SECONDS", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Pool(job, n_jobs=2, backend="loky") as pool:
        results = pool.run(tasks)
        (folder,) = tmp_path.glob("optim-*")
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in workers()]
        assert len(maps) == 2
        assert all(str(folder) in table for table in maps)
    assert max(len(pickle.dumps(arguments)) for arguments in sent) < bars.close.nbytes / 4
    assert [r.outcomes for r in results] == [run_task(job, task).outcomes for task in tasks]
    assert not folder.exists()


def disturbed(job: Job, tasks: list[Task], disturb: Callable[[int], None]) -> list[Any]:
    """The outcomes of the tasks; `disturb` is told again and again how many have come in so far."""
    results: dict[int, Any] = {}
    with Pool(job, n_jobs=2, backend="loky") as pool:
        for number, task in enumerate(tasks):
            pool.submit(number, task)

        def ended() -> bool:
            results.update({number: result.outcomes for number, result in pool.collect()})
            disturb(len(results))
            return len(results) == len(tasks)

        until(ended, "tasks are missing", 120)
    return [results[number] for number in range(len(tasks))]


def test_a_killer_of_workers_makes_no_trial_fail(tmp_path: Path) -> None:
    """Whichever worker is hit, and however often: no trial is at fault. A worker that has begun is let alone."""
    (tmp_path / "slow.py").write_text(HEAD + SLOW)
    job = Job("slow.py:slow", str(tmp_path), (load_bars(IBM),), 252.0)
    tasks = [Task({"x": x}, Account(), (Cell(0, 0, 3000),)) for x in range(5, 17)]
    killed: set[int] = set()

    def disturb(_: int) -> None:
        starting = workers() - killed - set(pids(tmp_path))
        if starting and len(killed) < 12:
            pid = starting.pop()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    assert disturbed(job, tasks, disturb) == [run_task(job, task).outcomes for task in tasks]
    assert len(killed) == 12


@pytest.mark.usefixtures("ways")
def test_killing_idle_and_busy_workers_at_any_time_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job("ma_crossover", str(tmp_path), (load_bars(IBM),), 252.0)
    tasks = [Task({"fast_window": 5, "slow_window": slow}, Account(), (Cell(0, 0, 3000),)) for slow in range(20, 120)]
    monkeypatch.setattr("optim.workers.pace.INLINE_SECONDS", 0.0)
    killed: list[int] = []

    def disturb(done: int) -> None:
        there = sorted(workers() - set(killed))
        if len(killed) < 3 and there and done > 20 * len(killed):
            killed.append(there[len(killed) % len(there)])
            os.kill(killed[-1], signal.SIGKILL)

    assert disturbed(job, tasks, disturb) == [run_task(job, task).outcomes for task in tasks]
    assert len(killed) == 3
