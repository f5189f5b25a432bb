"""A trial's work as it travels: the job all tasks share, the task, its result, and the functions a worker runs.

A worker imports this and the engine, never Optuna or MLflow.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import joblib
import numpy as np

from engine.account import Account
from engine.bars import Bars, slice_bars
from engine.cells import Cell
from engine.errors import EngineError
from engine.evaluate import Outcome, evaluate
from engine.memory import keep_freed_memory
from engine.strategy import Strategy, load_strategy


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
    """The outcomes of a task, one a cell, and when and where it ran (seconds since the epoch; a thread's id)."""

    outcomes: tuple[Outcome, ...]
    started: float
    ended: float
    worker: int = 0


def run_task(job: Job, task: Task) -> Result:
    """Evaluate one candidate; the cells after a failed one are left out."""
    started = time.time()
    keep_freed_memory()
    strategy = load_strategy(job.strategy, Path(job.folder))
    outcomes: list[Outcome] = []
    for cell in task.cells:
        outcomes.append(evaluate(strategy, task.params, task.account, job.instruments, cell, job.periods_per_year))
        if outcomes[-1].error:
            break
    return Result(tuple(outcomes), started, time.time(), threading.get_native_id())


class Shared(Protocol):
    """Gives the job in a worker of a cluster."""

    def get(self) -> Job: ...


def run_all(job: Job, work: Sequence[tuple[Task, float | None]]) -> list[Result]:
    """Tasks with their time limits (seconds), one after another; a task that passes its limit ends the process."""
    results = []
    for task, limit in work:
        if limit is None:
            results.append(run_task(job, task))
            continue
        with open(os.devnull, "w") as nowhere:
            # A thread outside the interpreter ends the process: no strategy can hang so hard that this fails.
            faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
            try:
                results.append(run_task(job, task))
            finally:
                faulthandler.cancel_dump_traceback_later()
    return results


def run_from_disk(path: str, work: Sequence[tuple[Task, float | None]]) -> list[Result]:
    """In a worker process of this machine: the job is mapped from the file at `path`."""
    return run_all(_load_job(path), work)


def run_shared(shared: Shared, work: Sequence[tuple[Task, float | None]]) -> list[Result]:
    """In a worker of a cluster."""
    return run_all(_read_only(shared.get()), work)


@functools.lru_cache(maxsize=2)
def _load_job(path: str) -> Job:
    job = _read_only(Job(*joblib.load(path, mmap_mode="r")))
    _warm_up(job)
    return job


def _warm_up(job: Job) -> None:
    """Import and load all that a first task would: it is not to count as the task's own time."""
    with contextlib.suppress(EngineError):  # a strategy that cannot be loaded fails in its task, with the reason
        strategy = load_strategy(job.strategy, Path(job.folder))
        bars = slice_bars(job.instruments[0], 0, min(50, len(job.instruments[0].close)))
        idle = Strategy(_idle, compiled=strategy.compiled)
        evaluate(idle, {}, Account(), (bars,), Cell(0, 0, len(bars.close)), job.periods_per_year)


def _idle(bars: Any, params: Any) -> np.ndarray:
    return np.zeros(len(bars.close))


def _read_only(job: Job) -> Job:
    """Freeze the bars: kernels are compiled for read-only arrays. Memory maps become plain arrays over the map."""
    instruments = tuple(Bars._make(np.asarray(column) for column in bars) for bars in job.instruments)
    for bars in instruments:
        for column in bars:
            column.flags.writeable = False
    return job._replace(instruments=instruments)
