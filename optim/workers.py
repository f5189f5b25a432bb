"""Where trials are evaluated: in this process, in threads, or in worker processes by joblib.

A worker sees a job (strategy, bars) once and then small tasks (parameters, account rules, cells). It imports the
engine, never Optuna or MLflow. None of this changes a result: a task is a pure function, and results come back in the
order of the tasks.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from engine.account import Account
from engine.bars import Bars
from engine.cells import Cell
from engine.evaluate import Outcome, evaluate
from engine.strategy import load_strategy

_INLINE_SECONDS = (
    0.02  # a call of joblib.Parallel takes 10 ms however little it does: less work than two of those stays here
)
_TRIES = 3  # a worker may die (out of memory, killed): the task is pure, so it is tried again


class Job(NamedTuple):
    """What all tasks of a study share."""

    strategy: str  # reference, loadable in any process
    folder: str  # what a relative reference is relative to
    instruments: tuple[Bars, ...]
    periods_per_year: float


class Task(NamedTuple):
    """One candidate on some cells."""

    params: Mapping[str, Any]
    account: Account
    cells: tuple[Cell, ...]


class Result(NamedTuple):
    """The outcomes of a task, one a cell, and when it ran (seconds since the epoch)."""

    outcomes: tuple[Outcome, ...]
    started: float
    ended: float


def run_task(job: Job, task: Task) -> Result:
    """Evaluate one candidate; the cells after a failed one are left out."""
    started = time.time()
    strategy = load_strategy(job.strategy, Path(job.folder))
    outcomes: list[Outcome] = []
    for cell in task.cells:
        outcomes.append(evaluate(strategy, task.params, task.account, job.instruments, cell, job.periods_per_year))
        if outcomes[-1].error:
            break
    return Result(tuple(outcomes), started, time.time())


class Pool:
    """Runs tasks of one job on `n_jobs` workers. Close it, or use it as a context manager."""

    def __init__(self, job: Job, *, n_jobs: int, backend: str, timeout: float | None = None):
        self._job = job
        self.n_jobs = n_jobs if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + n_jobs)
        self.backend, self.reason = _choose(job, backend, self.n_jobs, timeout)
        self._timeout = timeout
        self._seconds_per_cell = 0.0  # moving average; 0 = not known yet
        self._folder: Path | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the job on disk; joblib ends its idle workers by itself."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        """The result of every task, in order."""
        results: list[Result] = []
        if self._seconds_per_cell == 0.0 and tasks and self._timeout is None:
            results.append(self._measured(tasks[0]))  # the first call compiles, and tells what a cell costs
        rest = tasks[len(results) :]
        if self._stays_here(rest):
            return results + [self._measured(task) for task in rest]
        return results + self._parallel(rest)

    def _measured(self, task: Task) -> Result:
        return self._learn(run_task(self._job, task))

    def _learn(self, result: Result) -> Result:
        cost = (result.ended - result.started) / max(len(result.outcomes), 1)
        known = self._seconds_per_cell
        self._seconds_per_cell = min(cost, 1.0) if known == 0.0 else 0.8 * known + 0.2 * cost
        return result

    def _stays_here(self, tasks: Sequence[Task]) -> bool:
        if self.backend == "sequential" or not tasks:
            return True
        if self._timeout is not None:
            return False
        return self._seconds_per_cell * sum(len(task.cells) for task in tasks) < _INLINE_SECONDS

    def _parallel(self, tasks: Sequence[Task]) -> list[Result]:
        for _ in range(_TRIES - 1):
            try:
                return [self._learn(result) for result in self._submit(tasks)]
            except joblib.externals.loky.process_executor.TerminatedWorkerError:
                continue
            except TimeoutError:
                break
        return [self._alone(task) for task in tasks]

    def _alone(self, task: Task) -> Result:
        """One task by itself, so that one that kills or hangs its worker fails alone."""
        started = time.time()
        try:
            return self._submit([task])[0]
        except joblib.externals.loky.process_executor.TerminatedWorkerError:
            reason = "the worker process died (out of memory, or killed)"
        except TimeoutError:
            reason = f"the trial took longer than trial_timeout = {self._timeout:g} s"
        return Result((Outcome({}, reason),), started, time.time())

    def _submit(self, tasks: Sequence[Task]) -> list[Result]:
        share = -(-len(tasks) // self.n_jobs) if self._seconds_per_cell < 0.05 else 1
        chunks = [tuple(tasks[i : i + share]) for i in range(0, len(tasks), share)]
        parallel = joblib.Parallel(n_jobs=self.n_jobs, backend=self.backend, timeout=self._timeout, batch_size=1)
        if self.backend == "threading":
            done = parallel(joblib.delayed(_run_chunk)(self._job, chunk) for chunk in chunks)
        else:
            done = parallel(joblib.delayed(_run_remote)(self._on_disk(), chunk) for chunk in chunks)
        return [result for results in done for result in results]

    def _on_disk(self) -> str:
        """The job in a file, written once: every worker maps the same bars instead of receiving a copy per task."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="optim-"))
            joblib.dump(tuple(self._job), self._folder / "job.joblib")
        return str(self._folder / "job.joblib")


def _choose(job: Job, backend: str, n_jobs: int, timeout: float | None) -> tuple[str, str]:
    """The backend that is used, and why."""
    if backend == "sequential" or (n_jobs == 1 and timeout is None):
        return "sequential", "one worker"
    if backend != "auto":
        return backend, "as asked for"
    if timeout is not None:
        return "loky", "trial_timeout needs worker processes: a thread cannot be stopped"
    if load_strategy(job.strategy, Path(job.folder)).compiled:
        return "threading", "the strategy is compiled and releases the interpreter lock"
    return "loky", "the strategy is plain Python, which only worker processes run in parallel"


def _run_chunk(job: Job, tasks: Sequence[Task]) -> list[Result]:
    return [run_task(job, task) for task in tasks]


def _run_remote(path: str, tasks: Sequence[Task]) -> list[Result]:
    return _run_chunk(_load_job(path), tasks)


@functools.lru_cache(maxsize=2)
def _load_job(path: str) -> Job:
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    strategy, folder, instruments, periods_per_year = joblib.load(path, mmap_mode="r")
    frozen = tuple(Bars(*(_read_only(column) for column in bars)) for bars in instruments)
    return Job(strategy, folder, frozen, periods_per_year)


def _read_only(column: np.ndarray) -> np.ndarray:
    view = np.asarray(column)
    view.flags.writeable = False
    return view
