"""sweep: one row of metrics per row of parameters, on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.backtest import StrategyLike, as_strategy
from engine.compiled.arrays import Array
from engine.compiled.memory import keep_freed_memory
from engine.compiled.shared import Shared
from engine.compiled.turns import Turns
from engine.data.bars import Bars, is_bars
from engine.data.calendar import union
from engine.data.cells import Cell
from engine.data.clock import periods_per_year_of
from engine.data.load import load_bars
from engine.errors import ParameterError
from engine.groups import Work, backtest_rows
from engine.metrics.catalogue import METRICS
from engine.metrics.measure import TAIL_METRICS
from engine.simulator.account import make_account
from engine.strategies.given import on_given
from engine.strategies.many import Sets

if TYPE_CHECKING:
    import pandas as pd

CHUNK_BARS = 1_000_000  # bars simulated between two reports of progress: some hundredths of a second
Progress = Callable[[int, int | None], None]  # rows done, rows in all if known
Rows = Sequence[Mapping[str, Any]]
Part = tuple[Rows, Array, list[str]]  # rows, their metrics (n_rows, n_metrics), their errors


def sweep(
    bars: Bars | pd.DataFrame | Sequence[Bars],
    strategy: StrategyLike,
    params_table: pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    metrics: Sequence[str] | None = None,
    periods_per_year: float | None = None,
    n_jobs: int = -1,
    progress: bool | Progress = False,
    **account: Any,
) -> pd.DataFrame:
    """Backtest every row of a parameter table; returns the table with a column per metric and, if any failed, `error`.

    bars: one instrument, or several for a portfolio, on the union of their times. params_table: a DataFrame, or any
    iterable of mappings, consumed as it goes; a column named like an account rule sets that rule, whatever `account`
    says. What is returned counts its rows from 0. metrics: names from
    METRICS, all by default; without value_at_risk_95, conditional_value_at_risk_95, tail_ratio,
    ulcer_index, alpha and beta a row costs a quarter less. periods_per_year: bars in a year; inferred from the bars
    when None (engine.data.clock). n_jobs: threads, -1 for all cores; a plain Python strategy
    holds the interpreter and gains nothing. progress: True for a line on stderr, or a function of (rows done, rows in
    all or None).

    A row that fails has NaN metrics and its reason in `error`. Raises ParameterError on an unknown metric or rule, a
    row that is no mapping, or n_jobs that is none.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer) or n_jobs == 0:
        raise ParameterError(f"n_jobs = {n_jobs!r} must be a whole number: of threads, or -1 for all cores")
    names = list(METRICS) if metrics is None else list(metrics)
    if unknown := [name for name in names if name not in METRICS]:
        raise ParameterError(f"unknown metric {', '.join(unknown)}; there are {', '.join(METRICS)}")
    several = isinstance(bars, (list, tuple)) and not is_bars(bars)
    given: list[Any] = list(bars) if several else [bars]
    instruments = tuple(one if is_bars(one) else load_bars(one) for one in given)
    asked = on_given(as_strategy(strategy), given, instruments)
    instruments = union(instruments)
    cell = Cell(-1 if several else 0, 0, len(instruments[0].close))
    tails = not TAIL_METRICS.isdisjoint(names)
    rate = periods_per_year_of(instruments[0].timestamp, periods_per_year)
    work = Work(asked, make_account(account), instruments, cell, rate, tails, _shared(instruments), Turns())
    keep_freed_memory()
    total = len(params_table) if isinstance(params_table, Sized) else None
    n_threads = n_jobs if n_jobs > 0 else os.cpu_count() or 1
    chunk = _evenly(total, min(max(1, CHUNK_BARS // (cell.stop * len(instruments))), 256), n_threads)
    report = _line_on_stderr() if progress is True else progress or None
    done: list[Part] = []
    n_done = 0
    for part in _in_order(work, _chunks(params_table, chunk), n_threads):
        done.append(part)
        n_done += len(part[0])
        if report is not None:
            report(n_done, total)
    return _table(params_table, names, done)


def _evenly(total: int | None, chunk: int, n_threads: int) -> int:
    """How many rows go to a thread at a time, `chunk` at the most: so that all threads end together."""
    if not total:
        return chunk
    rounds = -(-total // (chunk * n_threads))
    return -(-total // (rounds * n_threads))


def _shared(instruments: Iterable[Bars]) -> Shared:
    """Indicators of the columns of all instruments."""
    return Shared(column for bars in instruments for column in bars)


def _table(given: Any, names: list[str], done: list[Part]) -> pd.DataFrame:
    """The rows as they were given, with a column per metric and, if any failed, `error`."""
    import pandas as pd

    columns = [list(METRICS).index(name) for name in names]
    values = np.concatenate([part[1][:, columns] for part in done]) if done else np.empty((0, len(names)))
    if isinstance(given, pd.DataFrame):
        table = given.reset_index(drop=True)
    else:
        table = pd.DataFrame([row for part in done for row in part[0]])
    table = pd.concat([table, pd.DataFrame(values, columns=names)], axis=1)
    errors = [error for part in done for error in part[2]]
    if any(errors):
        table["error"] = errors
    return table


def _chunks(table: Any, size: int) -> Iterator[Rows]:
    """The rows of the table, so many at a time."""
    if hasattr(table, "iloc"):
        sets = Sets({name: table.iloc[:, i].tolist() for i, name in enumerate(table.columns)}, len(table))
        return (sets[start : start + size] for start in range(0, len(sets), size))
    if isinstance(table, Mapping):
        raise ParameterError("params_table is one mapping: give a DataFrame of its columns, or a list of rows")
    rows = iter(table)
    return iter(lambda: [_row(one) for one in islice(rows, size)], [])


def _row(one: Any) -> Mapping[str, Any]:
    if not isinstance(one, Mapping):
        raise ParameterError(f"a row of params_table is {one!r:.80}: give a mapping of parameters for each")
    return one


def _in_order(work: Work, chunks: Iterator[Rows], n_jobs: int) -> Iterator[Part]:
    """Chunks of results in the order of the rows; a few chunks are under way at a time, whatever the table's length."""
    if n_jobs == 1:
        for part in chunks:
            yield part, *backtest_rows(work, part)
        return
    with ThreadPoolExecutor(n_jobs) as pool:
        pending: deque[tuple[Rows, Future[tuple[Array, list[str]]]]] = deque()
        for part in chunks:
            pending.append((part, pool.submit(backtest_rows, work, part)))
            if len(pending) > 3 * n_jobs:
                first, future = pending.popleft()
                yield first, *future.result()
        while pending:
            first, future = pending.popleft()
            yield first, *future.result()


def _line_on_stderr() -> Progress:
    start = time.monotonic()

    def show(done: int, total: int | None) -> None:
        seconds = time.monotonic() - start
        of = f"/{total}, {seconds / done * (total - done):.0f} s left" if total else ""
        end = "\n" if done == total else ""
        print(f"\r{done}{of} ({done / max(seconds, 1e-9):.0f} rows/s)   ", end=end, file=sys.stderr, flush=True)  # noqa: T201

    return show
