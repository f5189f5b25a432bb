"""sweep: one row of metrics per row of parameters, on all cores."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.backtest import StrategyLike, as_strategy
from engine.compiled.arrays import Array, Booleans
from engine.compiled.memory import keep_freed_memory
from engine.compiled.shared import Shared
from engine.compiled.turns import Turns
from engine.data.bars import Bars, detail_of, is_bars, plain_bars
from engine.data.calendar import union
from engine.data.cells import Cell
from engine.data.clock import periods_per_year_of
from engine.data.income import income_of
from engine.data.load import load_bars
from engine.errors import EngineError, ParameterError
from engine.evaluate import measure_cell, score_answer, score_rows
from engine.metrics.catalogue import METRICS
from engine.metrics.measure import N_METRICS, TAIL_METRICS
from engine.simulator.account import SEARCHABLE, Account, make_account
from engine.simulator.rules import pack_rules
from engine.simulator.sizing import volatility_scale
from engine.strategies.base import Strategy
from engine.strategies.given import on_given
from engine.strategies.levels import Answer
from engine.strategies.raised import reason

if TYPE_CHECKING:
    import pandas as pd

CHUNK_BARS = 1_000_000  # bars simulated between two reports of progress: some hundredths of a second
GROUP_BARS = 100_000  # bars scored in one call: their targets stay in the processor's cache
Progress = Callable[[int, int | None], None]  # rows done, rows in all if known
Part = tuple[list[Mapping[str, Any]], Array, list[str]]  # rows, their metrics (n_rows, n_metrics), their errors


class Work(NamedTuple):
    """What all rows share."""

    strategy: Strategy
    account: Account
    instruments: tuple[Bars, ...]
    cell: Cell
    periods_per_year: float
    tails: bool
    shared: Shared
    turns: Turns


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
    iterable of mappings, consumed as it goes; a column named like an account rule sets that rule. metrics: names from
    METRICS, all by default; without value_at_risk_95, conditional_value_at_risk_95, tail_ratio,
    ulcer_index, alpha and beta a row costs less than half. periods_per_year: bars in a year; inferred from the bars
    when None (engine.data.clock). n_jobs: threads, -1 for all cores; a plain Python strategy
    holds the interpreter and gains nothing. progress: True for a line on stderr, or a function of (rows done, rows in
    all or None).

    A row that fails has NaN metrics and its reason in `error`. Raises ParameterError on an unknown metric or rule.
    """
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
    rows: Iterator[Mapping[str, Any]] = iter(_records(params_table))
    chunk = min(max(1, CHUNK_BARS // (cell.stop * len(instruments))), 256)
    report = _line_on_stderr() if progress is True else progress or None
    done: list[Part] = []
    n_done = 0
    for part in _in_order(work, rows, chunk, n_jobs if n_jobs > 0 else os.cpu_count() or 1):
        done.append(part)
        n_done += len(part[0])
        if report is not None:
            report(n_done, total)
    return _table(params_table, names, done)


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


def _records(table: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(table, "iloc"):
        names = list(table.columns)
        columns = [table.iloc[:, i].tolist() for i in range(len(names))]
        return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    rows: Iterable[Mapping[str, Any]] = table
    return rows


def _in_order(work: Work, rows: Iterator[Mapping[str, Any]], chunk: int, n_jobs: int) -> Iterator[Part]:
    """Chunks of results in the order of the rows; a few chunks are under way at a time, whatever the table's length."""
    chunks = iter(lambda: list(islice(rows, chunk)), [])
    if n_jobs == 1:
        for part in chunks:
            yield part, *_run_chunk(work, part)
        return
    with ThreadPoolExecutor(n_jobs) as pool:
        pending: deque[tuple[list[Mapping[str, Any]], Future[tuple[Array, list[str]]]]] = deque()
        for part in chunks:
            pending.append((part, pool.submit(_run_chunk, work, part)))
            if len(pending) > 3 * n_jobs:
                first, future = pending.popleft()
                yield first, *future.result()
        while pending:
            first, future = pending.popleft()
            yield first, *future.result()


def _run_chunk(work: Work, rows: list[Mapping[str, Any]]) -> tuple[Array, list[str]]:
    values, errors = np.full((len(rows), N_METRICS), np.nan), [""] * len(rows)
    size = GROUP_BARS // work.cell.stop if work.cell.instrument >= 0 else 0
    if size > 1:
        room = np.empty((min(size, len(rows)), work.cell.stop))
        for start in range(0, len(rows), size):
            _run_group(work, rows[start : start + size], room, values[start : start + size], errors, start)
        return values, errors
    for i, row in enumerate(rows):
        try:
            account, params = _split(work.account, row)
            given = (work.strategy, params, account, work.instruments, work.cell, work.periods_per_year)
            with work.shared:
                values[i] = measure_cell(*given, tails=work.tails)
        except Exception as error:  # noqa: BLE001 - a user's strategy may raise anything; the row fails, the sweep goes on
            errors[i] = reason(work.strategy, error)
    return values, errors


def _run_group(
    work: Work, rows: list[Mapping[str, Any]], room: Array, values: Array, errors: list[str], first: int
) -> None:
    """Compute the targets of short rows one by one, into `room`, and score them in one call.

    Fills `values`, shape (n_rows, n_metrics), and errors[first:]; room: (n_rows or more, n_bars).
    """
    strategy, bars = work.strategy, work.instruments[0]
    ready: list[int] = []
    packed: list[Array] = []
    scales: list[Array] = []
    moving: list[tuple[int, Account, Answer]] = []  # their levels move: each is simulated by itself
    with work.turns.signals(), work.shared:
        for i, row in enumerate(rows):
            try:
                account, params = _split(work.account, row)
                answer = strategy.answer(bars, strategy.bind(params))
                if answer.moving.size:
                    moving.append((i, account, answer._replace(target=answer.target.copy())))  # it may be used again
                    continue
                room[len(ready)] = answer.target
                scales.append(volatility_scale(bars.close, account, work.periods_per_year))
                packed.append(pack_rules(account))
                ready.append(i)
            except Exception as error:  # noqa: BLE001 - as above
                errors[first + i] = reason(strategy, error)
    with work.turns.simulating():
        for i, account, answer in moving:
            try:
                values[i] = _alone(work, account, answer)
            except Exception as error:  # noqa: BLE001 - as above
                errors[first + i] = reason(strategy, error)
        scored, usable = _scored(work, room[: len(ready)], scales, packed)
    for at, i in enumerate(ready):
        if usable[at]:
            values[i] = scored[at]
            continue
        try:
            strategy.refuse_unusable(room[at])
        except EngineError as error:
            errors[first + i] = str(error)


def _scored(work: Work, targets: Array, scales: list[Array], packed: list[Array]) -> tuple[Array, Booleans]:
    """What `score_rows` says of these rows; there may be none."""
    if not packed:
        return np.empty((0, N_METRICS)), np.empty(0, np.bool_)
    bars, rules = work.instruments[0], np.array(packed)
    rules.flags.writeable = False  # as pack_rules has it: kernels are compiled for one of the two
    given = (detail_of(bars), income_of(bars), _stacked(scales), rules, work.periods_per_year, work.tails)
    return score_rows(plain_bars(bars), targets, *given)


def _alone(work: Work, account: Account, answer: Answer) -> Array:
    """The metrics of a row whose levels move."""
    work.strategy.refuse_unusable(answer.target)
    return score_answer(work.instruments[0], 0, answer, account, work.periods_per_year, work.tails)


def _stacked(scales: list[Array]) -> Array:
    """Scales of shape (n_bars,), or empty for 1, as one array of shape (k, n_bars), or (k, 0) if all are empty."""
    width = max(map(len, scales))
    return np.array([scale if len(scale) == width else np.ones(width) for scale in scales])


def _split(account: Account, row: Mapping[str, Any]) -> tuple[Account, Mapping[str, Any]]:
    """The account with the rules that the row sets, and the rest: the strategy's parameters."""
    if _RULES.isdisjoint(row):
        return account, row
    rules = {name: value.item() if hasattr(value, "item") else value for name, value in row.items() if name in _RULES}
    return make_account({**account._asdict(), **rules}), {k: v for k, v in row.items() if k not in _RULES}


_RULES = frozenset(SEARCHABLE)


def _line_on_stderr() -> Progress:
    start = time.monotonic()

    def show(done: int, total: int | None) -> None:
        seconds = time.monotonic() - start
        of = f"/{total}, {seconds / done * (total - done):.0f} s left" if total else ""
        end = "\n" if done == total else ""
        print(f"\r{done}{of} ({done / max(seconds, 1e-9):.0f} rows/s)   ", end=end, file=sys.stderr, flush=True)  # noqa: T201

    return show
