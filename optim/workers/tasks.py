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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import joblib
import numpy as np

from engine.compiled.memory import keep_freed_memory
from engine.compiled.shared import Shared
from engine.data.bars import Bars, as_arrays, slice_bars
from engine.data.cells import Cell
from engine.data.clock import day_ends
from engine.errors import EngineError
from engine.evaluate import Outcome, equity_of, evaluate
from engine.simulator.account import CONTRACT, Account
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.delay import Delayed
from engine.strategies.raised import reason
from engine.strategies.source import changed_file
from optim.errors import CodeChangedError
from optim.workers.stressed import worst_outcome

if TYPE_CHECKING:
    from engine.report.result import BacktestResult


class Job(NamedTuple):
    """What all tasks of a study share."""

    strategy: str  # reference, loadable in any process
    folder: str  # what a relative reference is relative to
    instruments: tuple[Bars, ...]
    periods_per_year: float
    code: tuple[
        tuple[str, str], ...
    ] = ()  # own files the strategy was made of, and their hashes (engine.strategies.source)
    zone: str = "UTC"  # of the frames that a plain strategy is called with


class Task(NamedTuple):
    """One candidate on some cells."""

    params: Mapping[str, Any]
    account: Account
    cells: tuple[Cell, ...]
    keep: bool = False  # the backtests themselves are wanted, with equity and trades
    strategy: str = ""  # another one than the job's, by its reference
    tails: bool = True  # False: the metrics of engine/metrics/tails.py are not wanted
    delay: int = 0  # bars by which every decision comes later
    curve: bool = False  # the equity at the end of each day is wanted, and no metrics
    worst_by: tuple[str, str] | None = None  # a metric and its direction: each cell as in the worst of three conditions
    each: tuple[Account, ...] = ()  # the account as every instrument has it; empty where all are alike

    def account_of(self, cell: Cell) -> Account:
        """The account of a cell. Cells beyond the instruments are of copies of them."""
        if not self.each or cell.instrument < 0:
            return self.account
        return self.each[cell.instrument % len(self.each)]

    def under(self, terms: Callable[[Account], Account]) -> Task:
        """The same under other terms, which every account is brought to."""
        return self._replace(account=terms(self.account), each=tuple(map(terms, self.each)))


class Result(NamedTuple):
    """The outcomes of a task, one a cell, and when and where it ran (seconds since the epoch; a thread's id)."""

    outcomes: tuple[Outcome, ...]
    started: float
    ended: float
    worker: int = 0
    backtests: tuple[BacktestResult, ...] = ()  # one a cell, where the task wants them
    curves: tuple[np.ndarray, ...] = ()  # likewise: the equity at the end of each day (engine.data.clock.day_ends)


def run_task(job: Job, task: Task) -> Result:
    """Evaluate one candidate; the cells after a failed one are left out."""
    started = time.time()
    try:
        strategy = known_strategy(task.strategy or job.strategy, job.folder, job.code, job.zone)
    except EngineError as error:  # it could be loaded where the study was checked, not here
        return Result((Outcome({}, str(error)),), started, time.time(), threading.get_native_id())
    strategy = Delayed(strategy, task.delay) if task.delay else strategy
    outcomes: list[Outcome] = []
    kept: list[BacktestResult] = []
    curves: list[np.ndarray] = []
    for cell in task.cells:
        if task.curve:
            outcomes.append(_curve(job, task, strategy, cell, curves))
        elif task.keep:
            outcomes.append(_backtest(job, task, strategy, cell, kept))
        else:
            outcomes.append(_outcome(job, task, strategy, cell))
        if outcomes[-1].error:
            break
    return Result(tuple(outcomes), started, time.time(), threading.get_native_id(), tuple(kept), tuple(curves))


def _outcome(job: Job, task: Task, strategy: Strategy, cell: Cell) -> Outcome:
    """The metrics of one cell, under the worst conditions where the task asks for them."""

    def run(terms: Callable[[Account], Account] | None, delay: int) -> Outcome:
        used = Delayed(strategy, delay) if delay else strategy
        now = task.under(terms) if terms else task
        given = (used, task.params, now.account_of(cell), job.instruments, cell, job.periods_per_year)
        return evaluate(*given, tails=task.tails, each=now.each)

    return run(None, 0) if task.worst_by is None else worst_outcome(run, *task.worst_by)


@functools.lru_cache(maxsize=64)
def known_strategy(reference: str, folder: str, code: tuple[tuple[str, str], ...], zone: str) -> Strategy:
    """The strategy as it was when the study began: a process that has loaded it keeps it, whatever is edited since.

    Raises CodeChangedError when it was edited before it could be loaded here.
    """
    if file := changed_file(dict(code)):
        raise CodeChangedError(
            f"{file} was edited while the study ran; every trial that has ended is safe: undo the edit and run the "
            "same command to resume, or give [study] another name (--new-name NAME)"
        )
    return load_strategy(reference, Path(folder)).in_zone(zone)


def _backtest(job: Job, task: Task, strategy: Strategy, cell: Cell, kept: list[BacktestResult]) -> Outcome:
    """What `evaluate` gives for a cell, and its backtest appended to `kept`."""
    from engine.backtest import BacktestEngine

    bars = job.instruments if cell.instrument < 0 else job.instruments[cell.instrument : cell.instrument + 1]
    seen = [slice_bars(one, 0, cell.stop) for one in bars]
    contracts = [{name: getattr(one, name) for name in CONTRACT} for one in task.each if cell.instrument < 0]
    rules = task.account_of(cell)._asdict()
    engine = BacktestEngine(periods_per_year=job.periods_per_year, contracts=contracts, **rules)
    try:
        kept.append(
            engine.run_realistic(seen if cell.instrument < 0 else seen[0], strategy, task.params, start=cell.start)
        )
    except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything
        return Outcome({}, reason(strategy, error))
    return Outcome(kept[-1].metrics, "")


def _curve(job: Job, task: Task, strategy: Strategy, cell: Cell, curves: list[np.ndarray]) -> Outcome:
    """The cell's daily equity appended to `curves`."""
    times = job.instruments[max(cell.instrument, 0)].timestamp[cell.start : cell.stop]
    try:
        given = (strategy, task.params, task.account_of(cell), job.instruments, cell, job.periods_per_year)
        equity = equity_of(*given, task.each)
    except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything
        return Outcome({}, reason(strategy, error))
    curves.append(equity[day_ends(times)])
    return Outcome({}, "")


class Sent(Protocol):
    """Gives the job in a worker of a cluster."""

    def get(self) -> Job: ...


def run_all(job: Job, work: Sequence[tuple[Task, float | None]], shared: Shared | None = None) -> list[Result]:
    """Tasks with their time limits (seconds), one after another; a task that passes its limit ends the process.

    shared: what indicators said in earlier tasks of the job.
    """
    results = []
    with shared or contextlib.nullcontext():
        for task, limit in work:
            if limit is None:
                results.append(run_task(job, task))
                continue
            with _limited(limit):
                results.append(run_task(job, task))
    return results


def shared_indicators(job: Job) -> Shared:
    """What indicators of the job's bars say is computed once, for as long as this is kept."""
    return Shared(column for bars in job.instruments for column in bars)


_ends: dict[object, float] = {}  # when the tasks that run in this process must have ended (a Dask worker has threads)
_alarm = threading.Lock()  # of the one clock a process has


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End the process unless the block ends within `seconds`."""
    token = object()
    with _alarm:
        _ends[token] = time.monotonic() + seconds
        _set_alarm()
    try:
        yield
    finally:
        with _alarm:
            del _ends[token]
            _set_alarm()


def _set_alarm() -> None:
    """For the task that must end first. A thread outside the interpreter ends the process: no strategy can hang so hard
    that this fails."""
    faulthandler.cancel_dump_traceback_later()
    if _ends:
        left = min(_ends.values()) - time.monotonic()
        faulthandler.dump_traceback_later(max(left, 0.001), exit=True, file=_nowhere())


@functools.cache
def _nowhere() -> IO[str]:
    return open(os.devnull, "w")


def run_from_disk(path: str, work: Sequence[tuple[Task, float | None]], sign: str = "") -> list[Result]:
    """In a worker process of this machine: the job is mapped from the file at `path`.

    The file `sign`, if one is named, is made when the work begins: a worker that dies before was not killed by it.
    """
    keep_freed_memory()
    job, shared = _load_job(path)
    if sign:
        Path(sign).touch()
    return run_all(job, work, shared)


def run_shared(sent: Sent, work: Sequence[tuple[Task, float | None]]) -> list[Result]:
    """In a worker of a cluster."""
    keep_freed_memory()
    job = read_only(sent.get())
    if (known := (job.strategy, job.folder, job.code)) not in _warm:
        _warm_up(job)
        _warm.add(known)
    return run_all(job, work)


_warm: set[tuple[object, ...]] = set()  # the code that this process has run once


@functools.lru_cache(maxsize=2)
def _load_job(path: str) -> tuple[Job, Shared]:
    job = read_only(Job(*joblib.load(path, mmap_mode="r")))
    _warm_up(job)
    return job, shared_indicators(job)


def _warm_up(job: Job) -> None:
    """Import and load all that a first task would: it is not to count as the task's own time."""
    with contextlib.suppress(EngineError):  # a strategy that cannot be loaded fails in its task, with the reason
        strategy = load_strategy(job.strategy, Path(job.folder))
        bars = slice_bars(job.instruments[0], 0, min(50, len(job.instruments[0].close)))
        idle = Strategy(_idle, compiled=strategy.compiled)
        evaluate(idle, {}, Account(), (bars,), Cell(0, 0, len(bars.close)), job.periods_per_year)


def _idle(bars: Any, params: Any) -> np.ndarray:
    return np.zeros(len(bars.close))


def read_only(job: Job) -> Job:
    """Freeze the bars: kernels are compiled for read-only arrays. Memory maps become plain arrays over the map."""
    instruments = tuple(as_arrays(bars) for bars in job.instruments)
    for bars in instruments:
        for column in bars:
            column.flags.writeable = False
    return job._replace(instruments=instruments)
