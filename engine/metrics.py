"""Equity and trades -> metrics. Conventions and the meaning of each name: engine/catalogue.py and docs/metrics.md."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.arrays import Array
from engine.bars import Bars
from engine.catalogue import METRICS
from engine.jit import kernel
from engine.simulate import ENTRY_BAR, ENTRY_PRICE, EXIT_BAR, EXIT_REASON, OPEN, PNL, SIZE, Run

DAYS_PER_YEAR = 365.25
NANOSECONDS_PER_DAY = 86_400_000_000_000


def metrics_of(bars: Bars, run: Run, initial_cash: float, periods_per_year: float) -> dict[str, float]:
    """Every metric of engine.catalogue.METRICS; what is undefined, or beyond a float, is NaN."""
    return dict(zip(METRICS, measure(bars, run, initial_cash, periods_per_year).tolist(), strict=True))


@kernel
def measure(bars: Bars, run: Run, initial_cash: float, periods_per_year: float) -> Array:
    """Metrics in the order of the catalogue, shape (n_metrics,). periods_per_year: bars in a year."""
    timestamp, close, equity = bars.timestamp, bars.close, run.equity
    n = len(equity)
    returns = np.empty(n)
    m = _moments(equity, initial_cash, returns)
    d = _drawdowns(equity, initial_cash)
    s = _trade_sums(run.trades, n)
    deviation = math.sqrt(m.squares / (n - 1))
    yearly = math.sqrt(periods_per_year)
    mean_equity = m.total_equity / n
    growth = equity[n - 1] / initial_cash
    cagr = _cagr(growth, (timestamp[n - 1] - timestamp[0]) / (NANOSECONDS_PER_DAY * DAYS_PER_YEAR))
    payoff = _ratio(_ratio(s.gains, s.wins), _ratio(-s.losses, s.n - s.wins))
    win_rate = _ratio(s.wins, s.n)
    worst, best = _quantiles(returns)
    alpha, beta = _alpha_beta(returns, close, periods_per_year)
    trade_deviation = math.sqrt(s.squares / (s.n - 1)) if s.n > 1 else math.nan
    mean_pnl = _ratio(s.pnl, s.n)
    out = np.array(
        (
            _ratio(m.mean, deviation) * yearly,
            _ratio(m.mean, math.sqrt(m.down_squares / n)) * yearly,
            _ratio(cagr, -d.deepest),
            growth - 1.0,
            cagr,
            deviation * yearly,
            d.deepest,
            float(d.longest),
            _ratio(d.bars_under, d.n),
            math.sqrt(d.squares / n),
            _ratio(m.gains, -m.losses),
            _ratio(growth - 1.0, -d.deepest),
            float(s.n),
            win_rate,
            _ratio(s.gains, -s.losses),
            payoff,
            mean_pnl,
            (1.0 + payoff) * win_rate - 1.0,
            win_rate - _ratio(1.0 - win_rate, payoff),
            math.sqrt(s.n) * _ratio(mean_pnl, trade_deviation),
            _ratio(s.returns, s.n),
            s.best,
            s.worst,
            s.most_wins,
            s.most_losses,
            _ratio(s.bars, s.n),
            s.exposed / n,
            _ratio(run.traded, mean_equity) * periods_per_year / n,
            run.fees,
            worst.edge,
            worst.beyond,
            _ratio(abs(best.edge), abs(worst.edge)),
            close[n - 1] / close[0] - 1.0,
            alpha,
            beta,
        )
    )
    for i in range(len(out)):
        if not math.isfinite(out[i]):
            out[i] = math.nan
    return out


@kernel
def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator != 0.0 else math.nan


@kernel
def _cagr(growth: float, years: float) -> float:
    if growth <= 0.0:
        return -1.0
    if years <= 0.0:
        return math.nan
    exponent = math.log(growth) / years
    return math.exp(exponent) - 1.0 if exponent < 700.0 else math.nan


class Moments(NamedTuple):
    """Sums over the bar returns."""

    mean: float
    squares: float  # around the mean
    down_squares: float  # of the negative returns, around 0
    gains: float
    losses: float
    total_equity: float


@kernel
def _moments(equity: Array, initial_cash: float, returns: Array) -> Moments:
    """Fill `returns` of shape (n_bars,), the first one from the initial cash, and sum over them."""
    before = initial_cash
    gains, losses, down, total = 0.0, 0.0, 0.0, 0.0
    for t in range(len(equity)):
        r = equity[t] / before - 1.0 if before > 0.0 else 0.0
        before = equity[t]
        total += before
        returns[t] = r
        if r > 0.0:
            gains += r
        else:
            losses += r
            down += r * r
    mean = (gains + losses) / len(equity)
    squares = 0.0
    for t in range(len(equity)):
        squares += (returns[t] - mean) * (returns[t] - mean)
    return Moments(mean, squares, down, gains, losses, total)


class Drawdowns(NamedTuple):
    """Falls below the running peak of the equity."""

    deepest: float
    squares: float
    longest: int
    n: int
    bars_under: int


@kernel
def _drawdowns(equity: Array, initial_cash: float) -> Drawdowns:
    peak, deepest, squares = initial_cash, 0.0, 0.0
    length, longest, count, under = 0, 0, 0, 0
    for t in range(len(equity)):
        if equity[t] >= peak:
            peak = equity[t]
            length = 0
            continue
        if length == 0:
            count += 1
        length += 1
        under += 1
        longest = max(longest, length)
        depth = equity[t] / peak - 1.0
        deepest = min(deepest, depth)
        squares += depth * depth
    return Drawdowns(deepest, squares, longest, count, under)


class TradeSums(NamedTuple):
    """Sums over the closed trades; `exposed` counts the closes with a position, that of an open trade included."""

    n: int
    wins: int
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


@kernel
def _trade_sums(trades: Array, n_bars: int) -> TradeSums:
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
        n, wins, gains, losses, gains + losses, squares, returns, best, worst,
        most_wins + none, most_losses + none, bars, exposed,
    )  # fmt: skip


class Tail(NamedTuple):
    """A quantile of the returns, and the mean of what lies at or beyond it."""

    edge: float
    beyond: float


@kernel
def _quantiles(returns: Array) -> tuple[Tail, Tail]:
    """The 5 % and the 95 % quantile with linear interpolation (numpy's default). Reorders `returns`."""
    values = returns.copy()
    n = len(values)
    position = 0.05 * (n - 1)
    k = int(position)
    _select(values, 0, n - 1, k)
    total = 0.0
    for i in range(k + 1):
        total += values[i]
    above = values[k]
    if k + 1 < n:
        above = values[k + 1]
        for i in range(k + 2, n):
            above = min(above, values[i])
    low = Tail(values[k] + (above - values[k]) * (position - k), total / (k + 1))
    position = 0.95 * (n - 1)
    k = int(position)
    _select(values, 0, n - 1, k)
    above, total = values[k], 0.0
    if k + 1 < n:
        above = values[k + 1]
        for i in range(k + 2, n):
            above = min(above, values[i])
    return low, Tail(values[k] + (above - values[k]) * (position - k), total)


@kernel
def _select(values: Array, left: int, right: int, k: int) -> None:
    """Hoare's quickselect: afterwards values[:k] <= values[k] <= values[k + 1:]."""
    while left < right:
        pivot = values[(left + right) // 2]
        i, j = left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            right = j
        elif k >= i:
            left = i
        else:
            return


@kernel
def _alpha_beta(returns: Array, close: Array, periods_per_year: float) -> tuple[float, float]:
    """Regression on the close-to-close returns of the instrument, from the second bar on (empyrical's convention)."""
    n = len(close) - 1
    mean_market, mean_own = 0.0, 0.0
    for t in range(1, n + 1):
        mean_market += close[t] / close[t - 1] - 1.0
        mean_own += returns[t]
    mean_market /= n
    mean_own /= n
    covariance, variance = 0.0, 0.0
    for t in range(1, n + 1):
        market = close[t] / close[t - 1] - 1.0 - mean_market
        covariance += market * (returns[t] - mean_own)
        variance += market * market
    if variance == 0.0:
        return math.nan, math.nan
    beta = covariance / variance
    daily = 1.0 + mean_own - beta * mean_market
    return math.exp(math.log(daily) * periods_per_year) - 1.0 if daily > 0.0 else math.nan, beta
