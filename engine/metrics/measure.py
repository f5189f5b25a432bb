"""Equity and trades -> metrics. The meaning of each name: engine/metrics/catalogue.py and docs/metrics.md."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import inner, kernel
from engine.compiled.sums import ROOM, squares_around, sum_returns
from engine.metrics import catalogue
from engine.metrics.catalogue import METRICS
from engine.metrics.drawdowns import drawdowns
from engine.metrics.tails import Market, Tail, alpha_beta, compounded, market_of, quantiles
from engine.simulator.orders import ENTRY_BAR, ENTRY_PRICE, EXIT_BAR, EXIT_REASON, OPEN, PNL, SIZE
from engine.simulator.simulate import Simulation

DAYS_PER_YEAR = 365.25
N_METRICS = len(METRICS)
TAIL_METRICS = frozenset(
    {"ulcer_index", "value_at_risk_95", "conditional_value_at_risk_95", "tail_ratio", "alpha", "beta"}
)
NANOSECONDS_PER_DAY = 86_400_000_000_000
bounded = inner(catalogue.bounded)


def as_metrics(values: Array) -> dict[str, float]:
    """Name the metrics of `measure`; what is undefined, or beyond a float, is NaN."""
    return dict(zip(METRICS, values.tolist(), strict=True))


@kernel
def measure(
    timestamp: Integers, price: Array, run: Simulation, initial_cash: float, periods_per_year: float, tails: bool
) -> Array:
    """Metrics in the order of the catalogue, shape (n_metrics,).

    price: of buying and holding, (n_bars,). periods_per_year: bars in a year. tails: False spares
    the TAIL_METRICS and leaves them NaN.
    """
    return measure_against(market_of(price, tails), timestamp, price, run, initial_cash, periods_per_year, tails)


@kernel
def measure_against(
    market: Market,
    timestamp: Integers,
    price: Array,
    run: Simulation,
    initial_cash: float,
    periods_per_year: float,
    tails: bool,
) -> Array:
    """`measure` for a market that is known: market_of(price, tails)."""
    equity = run.equity
    n = len(equity)
    returns, room = np.empty(n), np.empty(ROOM)
    m = moments(equity, initial_cash, returns, room)
    d = drawdowns(equity, initial_cash, tails, room)
    s = trade_sums(run.trades, n)
    deviation = math.sqrt(m.squares / (n - 1))
    yearly = math.sqrt(periods_per_year)
    growth = equity[n - 1] / initial_cash
    cagr = annual_growth(growth, (timestamp[n - 1] - timestamp[0]) / (NANOSECONDS_PER_DAY * DAYS_PER_YEAR))
    low, high, alpha, beta = Tail(math.nan, math.nan), Tail(math.nan, math.nan), math.nan, math.nan
    if tails and math.isfinite(m.total_equity):  # or else returns are no numbers
        low, high = quantiles(returns)
        alpha, beta = alpha_beta(returns, market, periods_per_year, room)
    values = (
        bounded(m.mean * yearly, deviation),
        bounded(m.mean * yearly, math.sqrt(m.down_squares / n)),
        bounded(cagr, -d.deepest),
        growth - 1.0,
        cagr,
        deviation * yearly,
        d.deepest,
        d.longest,
        ratio(d.bars_under, d.n),
        math.sqrt(d.squares / n),
        bounded(m.gains, -m.losses),
        bounded(growth - 1.0, -d.deepest),
        *trade_metrics(s),
        s.exposed / (n * run.n_instruments),
        ratio(run.traded, m.total_equity / n) * periods_per_year / n,
        run.fees,
        run.financing,
        low.edge,
        low.beyond,
        bounded(abs(high.edge), abs(low.edge)),
        price[n - 1] / price[0] - 1.0,
        alpha,
        beta,
    )
    out = np.empty(N_METRICS)
    for i in range(N_METRICS):
        out[i] = values[i] if math.isfinite(values[i]) else math.nan
    return out


@inner
def trade_metrics(s: TradeSums) -> tuple[float, ...]:
    """What the closed trades alone say, in the order of the catalogue."""
    payoff = payoff_of(s.gains, s.wins, s.losses, s.n)
    win_rate = ratio(s.wins, s.n)
    mean_pnl = ratio(s.pnl, s.n)
    deviation = math.sqrt(s.squares / (s.n - 1)) if s.n > 1 else math.nan
    return (
        s.n,
        win_rate,
        bounded(s.gains, -s.losses),
        s.gains,
        s.losses,
        payoff,
        mean_pnl,
        (1.0 + payoff) * win_rate - 1.0,
        win_rate - bounded(1.0 - win_rate, payoff),
        bounded(math.sqrt(s.n) * mean_pnl, deviation),
        ratio(s.returns, s.n),
        s.best,
        s.worst,
        s.most_wins,
        s.most_losses,
        ratio(s.bars, s.n),
    )


@inner
def ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0.0 else math.nan


@inner
def payoff_of(gains: float, wins: float, losses: float, n: float) -> float:
    """Mean winning P&L / |mean losing P&L| of n trades; 0 without a winner, NaN without a trade."""
    if n == 0.0:
        return math.nan
    if wins == 0.0:
        return 0.0
    return bounded(gains / wins, -losses / (n - wins) if wins < n else 0.0)


@inner
def annual_growth(growth: float, years: float) -> float:
    if growth <= 0.0:
        return -1.0
    if years <= 0.0:
        return math.nan
    return compounded(math.log(growth) / years)


class Moments(NamedTuple):
    """Sums over the bar returns."""

    mean: float
    squares: float  # around the mean
    down_squares: float  # of the negative returns, around 0
    gains: float
    losses: float
    total_equity: float


@inner
def moments(equity: Array, initial_cash: float, returns: Array, room: Array) -> Moments:
    """Fill `returns` of shape (n_bars,), the first one from the initial cash, and sum over them; room: (ROOM,)."""
    returns[0] = equity[0] / initial_cash - 1.0
    total, gains, losses, down = sum_returns(equity, returns, room)
    mean = (gains + losses) / len(equity)
    return Moments(mean, squares_around(returns, mean, room), down, gains, losses, total)


class TradeSums(NamedTuple):
    """Sums over the closed trades; `exposed` counts the closes with a position, that of an open trade included."""

    n: float
    wins: float
    gains: float
    losses: float
    pnl: float
    squares: float  # of the P&L around its mean
    returns: float
    best: float
    worst: float
    most_wins: float
    most_losses: float
    bars: float
    exposed: float


@inner
def trade_sums(trades: Array, n_bars: int) -> TradeSums:
    n, wins, run_wins, run_losses, most_wins, most_losses = 0, 0, 0, 0, 0, 0
    gains, losses, returns, bars, exposed = 0.0, 0.0, 0.0, 0.0, 0.0
    best, worst = math.nan, math.nan
    for i in range(len(trades)):
        length = trades[i, EXIT_BAR] - trades[i, ENTRY_BAR]
        if trades[i, EXIT_REASON] == OPEN:
            exposed += n_bars - trades[i, ENTRY_BAR]
            continue
        exposed += length
        n += 1
        bars += length
        pnl = trades[i, PNL]
        gained = pnl / (trades[i, ENTRY_PRICE] * abs(trades[i, SIZE]))
        returns += gained
        best = gained if n == 1 else max(best, gained)
        worst = gained if n == 1 else min(worst, gained)
        if pnl > 0.0:
            wins += 1
            gains += pnl
            run_wins, run_losses = run_wins + 1, 0
        else:
            losses += pnl
            run_wins, run_losses = 0, run_losses + 1
        most_wins = max(most_wins, run_wins)
        most_losses = max(most_losses, run_losses)
    mean = (gains + losses) / max(n, 1)
    squares = 0.0
    for i in range(len(trades)):
        if trades[i, EXIT_REASON] != OPEN:
            squares += (trades[i, PNL] - mean) * (trades[i, PNL] - mean)
    none = math.nan if n == 0 else 0.0
    return TradeSums(
        float(n), float(wins), gains, losses, gains + losses, squares, returns, best, worst,
        most_wins + none, most_losses + none, bars, exposed,
    )  # fmt: skip
