"""One trial on one cell, as a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Booleans, Sides
from engine.compiled.jit import kernel
from engine.data.bars import Bars, detail_of, plain_bars, slice_bars
from engine.data.cells import Cell
from engine.data.income import income_of
from engine.errors import ParameterError
from engine.metrics.measure import N_METRICS, as_metrics, measure, measure_against
from engine.metrics.tails import Market, market_of
from engine.simulator.account import Account
from engine.simulator.fills import no_fills, room_for_fills
from engine.simulator.moving import BREAK_AT, LIMIT_AT, n_rungs
from engine.simulator.panel import equal_parts, make_panel
from engine.simulator.portfolio import simulate_portfolio
from engine.simulator.rules import pack_each, pack_rules, unpack_rules
from engine.simulator.simulate import Simulation, by_turns, simulate_levels, simulate_wishes
from engine.simulator.sizing import volatility_scale
from engine.simulator.wishes import Wishes, note_turns, wishes_of
from engine.strategies.base import Strategy, first_unusable
from engine.strategies.levels import Answer
from engine.strategies.raised import reason


class Outcome(NamedTuple):
    """Metrics by name, finite or NaN; or none and one sentence that says what went wrong."""

    metrics: dict[str, float]
    error: str


def evaluate(
    strategy: Strategy,
    params: Mapping[str, Any],
    account: Account,
    instruments: tuple[Bars, ...],
    cell: Cell,
    periods_per_year: float,
    *,
    tails: bool = True,
    each: tuple[Account, ...] = (),
) -> Outcome:
    """Backtest one cell from fresh capital; reads its arguments only, writes nothing, never raises.

    The signal is computed on bars[start - warm-up : stop], the simulation sees bars[start:stop]. tails: False leaves
    the metrics of engine/metrics/tails.py NaN. each: the account as every instrument of a portfolio has it (pack_each).
    """
    try:
        values = measure_cell(strategy, params, account, instruments, cell, periods_per_year, tails=tails, each=each)
        return Outcome(as_metrics(values), "")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's strategy may raise anything; the trial fails, the study goes on
        return Outcome({}, reason(strategy, error))


def measure_cell(
    strategy: Strategy,
    params: Mapping[str, Any],
    account: Account,
    instruments: tuple[Bars, ...],
    cell: Cell,
    periods_per_year: float,
    *,
    tails: bool = True,
    each: tuple[Account, ...] = (),
) -> Array:
    """The metrics of one cell in the order of the catalogue; `tails`: see engine.metrics.measure.measure.

    Raises EngineError, and whatever the strategy raises.
    """
    bound = strategy.bind(params)
    warm = warmup_start(strategy.warmup_bars(bound), account, cell.start)
    first = cell.start - warm
    if cell.instrument >= 0:
        seen = slice_bars(instruments[cell.instrument], warm, cell.stop)
        answer = strategy.answer(seen, bound)
        values = score_answer(seen, first, answer, account, periods_per_year, tails)
        if len(values) == 0:
            strategy.refuse_unusable(answer.target)
        return values
    together = tuple(slice_bars(bars, warm, cell.stop) for bars in instruments)
    answer = strategy.answer_all(together, bound)
    run, price = run_portfolio(together, first, answer, account, periods_per_year, each)
    return measure(together[0].timestamp[first:], price, run, float(account.initial_cash), periods_per_year, tails)


def score_answer(
    seen: Bars, first: int, answer: Answer, account: Account, periods_per_year: float, tails: bool
) -> Array:
    """The metrics of bars[first:] under what the strategy answered on all; empty where its target is unusable."""
    target, moving = answer
    scale = volatility_scale(seen.close, account, periods_per_year)
    given = (scale, pack_rules(account), periods_per_year, tails)
    check_levels(account, moving)
    return score_levels(plain_bars(seen), first, target, moving, detail_of(seen, first), income_of(seen, first), *given)


def equity_of(
    strategy: Strategy,
    params: Mapping[str, Any],
    account: Account,
    instruments: tuple[Bars, ...],
    cell: Cell,
    periods_per_year: float,
    each: tuple[Account, ...] = (),
) -> Array:
    """The equity `measure_cell` measures, at the close of each bar of the cell, (n_bars,). Raises as it does."""
    bound = strategy.bind(params)
    warm = warmup_start(strategy.warmup_bars(bound), account, cell.start)
    first = cell.start - warm
    if cell.instrument < 0:
        together = tuple(slice_bars(bars, warm, cell.stop) for bars in instruments)
        answer = strategy.answer_all(together, bound)
        return run_portfolio(together, first, answer, account, periods_per_year, each)[0].equity
    seen = slice_bars(instruments[cell.instrument], warm, cell.stop)
    return run_single(seen, first, strategy, bound, account, periods_per_year).equity


def run_single(
    bars: Bars,
    first: int,
    strategy: Strategy,
    bound: Any,
    account: Account,
    periods_per_year: float,
    *,
    fills: bool = False,
) -> Simulation:
    """Simulate bars[first:] of one instrument; those before only warm the signal up. Raises StrategyError.

    fills: whether they are written down too.
    """
    target, moving = strategy.answer(bars, bound)
    strategy.refuse_unusable(target)
    check_levels(account, moving)
    scale = volatility_scale(bars.close, account, periods_per_year)
    traded = plain_bars(slice_bars(bars, first, len(bars.close)))
    room = room_for_fills(len(traded.close), n_rungs=n_rungs(moving)) if fills else no_fills()
    given = (detail_of(bars, first), income_of(bars, first), scale[first:], pack_rules(account), room)
    return simulate_levels(traded, target[first:], np.ascontiguousarray(moving[:, first:]), *given)


def check_levels(account: Account, moving: Array) -> None:
    """ParameterError where the account cannot work the levels."""
    if moving.size and account.trade_on == "close" and not np.isnan(moving[[LIMIT_AT, BREAK_AT]]).all():
        raise ParameterError("account rule trade_on = 'close' knows no entry orders: they are filled inside a bar")


def warmup_start(warmup_bars: int, account: Account, start: int) -> int:
    """The first bar that signal and sizing need to see for a cell that begins at bar `start`."""
    if account.volatility_target > 0:
        warmup_bars = max(warmup_bars, account.volatility_window)
    return max(start - warmup_bars, 0)


def run_portfolio(
    instruments: tuple[Bars, ...],
    first: int,
    answer: Answer,
    account: Account,
    periods_per_year: float,
    each: Sequence[Account] = (),
    *,
    fills: bool = False,
) -> tuple[Simulation, Array]:
    """Simulate bars[first:] of all instruments with shared cash; also the price of holding all in equal parts.

    answer: weights (n_bars, k) and levels, the warm-up included. each: the account as every instrument has it, empty
    where all are alike. fills: whether they are written down too.
    """
    panel = make_panel([slice_bars(bars, first, len(bars.close)) for bars in instruments])
    targets, moving = np.ascontiguousarray(answer.target[first:].T), np.ascontiguousarray(answer.moving[:, :, first:])
    scales = np.stack([volatility_scale(bars.close, account, periods_per_year)[first:] for bars in instruments])
    room = room_for_fills(panel.close.size, n_rungs=n_rungs(moving[0])) if fills else no_fills()
    run = simulate_portfolio(panel, targets, moving, scales, pack_each(account, each, len(instruments)), room)
    return run, equal_parts(panel.close)


@kernel
def score_levels(
    bars: Bars,
    first: int,
    target: Array,
    moving: Array,
    detail: Array | None,
    income: Array | None,
    scale: Array,
    packed: Array,
    periods_per_year: float,
    tails: bool,
) -> Array:
    """Simulate and measure bars[first:] in one step; the warm-up is in target, moving and scale, not in the others.

    target and scale: (n_bars,). moving: (N_MOVING, n_bars), or (0, 0) for none. detail: of bars[first:], from
    detail_of. income: likewise, from income_of. packed: from pack_rules. Empty when first_unusable finds a bar.
    """
    if first_unusable(target[:first]) >= 0:
        return np.empty(0)
    traded = Bars(
        bars.timestamp[first:],
        bars.open[first:],
        bars.high[first:],
        bars.low[first:],
        bars.close[first:],
        bars.volume[first:],
    )
    levels = np.ascontiguousarray(moving[:, first:])
    market = market_of(traded.close, tails)
    wishes = wishes_of(target[first:])
    return _score(traded, wishes, levels, detail, income, scale[first:], packed, periods_per_year, tails, market)


@kernel
def _score(
    bars: Bars,
    wishes: Wishes,
    moving: Array,
    detail: Array | None,
    income: Array | None,
    scale: Array,
    packed: Array,
    periods_per_year: float,
    tails: bool,
    market: Market,
) -> Array:
    """`score_levels` of all bars, whose market is known."""
    run = simulate_wishes(bars, wishes, moving, detail, income, scale, packed, no_fills())
    if len(run.equity) == 0:
        return np.empty(0)
    initial_cash = unpack_rules(packed).initial_cash
    return measure_against(market, bars.timestamp, bars.close, run, initial_cash, periods_per_year, tails)


@kernel
def score_rows(
    bars: Bars,
    targets: Array | Sides,
    detail: Array | None,
    income: Array | None,
    scales: Array,
    packed: Array,
    periods_per_year: float,
    tails: bool,
) -> tuple[Array, Booleans]:
    """`score_levels` without levels, for every row of targets (k, n_bars), scales (k, n_bars) or (k, 0), and
    packed (k, n_rules).

    One call for many backtests: threads need not hand the interpreter lock to each other after every one. Returns the
    metrics, shape (k, n_metrics), NaN where there are none, and which rows have them, shape (k,).
    """
    values, usable = np.full((len(targets), N_METRICS), np.nan), np.zeros(len(targets), np.bool_)
    none, market, n = np.empty((0, 0)), market_of(bars.close, tails), targets.shape[1]
    target, turns, wished = np.empty(n), np.empty(n, np.int64), np.empty(n)
    for i in range(len(targets)):
        n_turns = note_turns(targets[i], turns, wished)
        if not by_turns(unpack_rules(packed[i]), none, detail, income):
            for t in range(n):
                target[t] = targets[i, t]
        wishes = Wishes(target, turns, wished[: n_turns + 1])
        row = _score(bars, wishes, none, detail, income, scales[i], packed[i], periods_per_year, tails, market)
        if len(row) > 0:
            values[i] = row
            usable[i] = True
    return values, usable
