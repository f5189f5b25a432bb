"""Every metric by name: what it means, which direction is better, what it is over several cells. Imports nothing heavy.

A metric that says nothing about a run (no trades, no variance) is NaN, never infinite. A ratio whose denominator is
empty for a good reason (no losing trade, no losing bar, no drawdown) is RATIO_LIMIT, and no ratio is beyond it: a
better run never ranks below a worse one.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

RATIO_LIMIT = 1000.0
SHORT_DAYS = 90  # of fewer, what stands for a year means little
IN_BRACKETS = f"In brackets: fewer than {SHORT_DAYS} days made into a year; says nothing about a year."
# What a metric is over several cells. mean: aggregated as [evaluation] aggregate says, the mean by default. sum: a
# count or an amount. lowest, highest: an extreme stays one. pooled: from all cells' trades together.
OverCells = Literal["mean", "sum", "lowest", "highest", "pooled"]


class Metric(NamedTuple):
    """One metric of a backtest."""

    name: str
    direction: Literal["maximize", "minimize"]
    over_cells: OverCells
    annualised: bool  # stands for a year: says little about a window much shorter than one
    description: str


_ANNUALISED = {"sharpe_ratio", "sortino_ratio", "calmar_ratio", "cagr", "annual_volatility", "turnover", "alpha"}
_SHARES = {  # read as per cent
    "total_return", "cagr", "annual_volatility", "max_drawdown", "ulcer_index", "win_rate", "avg_trade_return",
    "best_trade", "worst_trade", "exposure", "value_at_risk_95", "conditional_value_at_risk_95", "buy_and_hold_return",
    "alpha",
}  # fmt: skip
_COUNTS = {"n_trades", "max_drawdown_bars", "max_consecutive_wins", "max_consecutive_losses"}  # whole
_ROWS: tuple[tuple[str, str, OverCells, str], ...] = (
    ("sharpe_ratio", "max", "mean", "mean / standard deviation (ddof 1) of the bar returns, times sqrt(bars a year)"),
    ("sortino_ratio", "max", "mean", "mean return / sqrt(mean(min(r, 0)^2)), times sqrt(bars a year)"),
    ("calmar_ratio", "max", "mean", "cagr / |max_drawdown|"),
    ("total_return", "max", "mean", "final equity / initial cash - 1"),
    ("cagr", "max", "mean", "compound annual growth on calendar days of 365.25"),
    ("annual_volatility", "min", "mean", "standard deviation (ddof 1) of the bar returns, times sqrt(bars a year)"),
    ("max_drawdown", "max", "lowest", "largest fall from a peak of the equity, initial cash included; negative"),
    ("max_drawdown_bars", "min", "highest", "most bars in a row below an earlier peak"),
    ("avg_drawdown_bars", "min", "mean", "mean number of bars per drawdown"),
    ("ulcer_index", "min", "mean", "root of the mean squared drawdown"),
    ("omega_ratio", "max", "mean", "sum of positive bar returns / |sum of negative ones|"),
    ("recovery_factor", "max", "mean", "total_return / |max_drawdown|"),
    ("n_trades", "max", "sum", "closed trades"),
    ("win_rate", "max", "pooled", "share of closed trades with net P&L above 0"),
    ("profit_factor", "max", "pooled", "gross_profit / |gross_loss|"),
    ("gross_profit", "max", "sum", "sum of the net P&L of winning trades, in money"),
    ("gross_loss", "max", "sum", "sum of the net P&L of losing trades, in money; negative"),
    ("payoff_ratio", "max", "pooled", "mean winning P&L / |mean losing P&L|; 0 without a winner"),
    ("expectancy", "max", "pooled", "mean net P&L of a closed trade, in money"),
    ("expectancy_ratio", "max", "pooled", "(1 + payoff_ratio) * win_rate - 1"),
    ("kelly", "max", "pooled", "win_rate - (1 - win_rate) / payoff_ratio"),
    ("sqn", "max", "mean", "sqrt(n_trades) * mean / standard deviation (ddof 1) of the net P&L of closed trades"),
    ("avg_trade_return", "max", "pooled", "mean net P&L / entry value of closed trades"),
    ("best_trade", "max", "highest", "largest net P&L / entry value of a closed trade"),
    ("worst_trade", "max", "lowest", "smallest net P&L / entry value of a closed trade"),
    ("max_consecutive_wins", "max", "highest", "most closed trades in a row with net P&L above 0"),
    ("max_consecutive_losses", "min", "highest", "most closed trades in a row with net P&L at or below 0"),
    ("avg_holding_bars", "min", "pooled", "mean bars from entry to exit of closed trades"),
    ("exposure", "max", "mean", "share of closes at which a position is held"),
    ("turnover", "min", "mean", "traded value / mean equity, per year"),
    ("fees_paid", "min", "sum", "fees, in money"),
    ("financing_paid", "min", "sum", "borrowing and funding less dividends, in money"),
    ("value_at_risk_95", "max", "mean", "5 % quantile of the bar returns, interpolated"),
    ("conditional_value_at_risk_95", "max", "mean", "mean of the worst 5 % of the bar returns"),
    ("tail_ratio", "max", "mean", "|95 % quantile| / |5 % quantile| of the bar returns"),
    ("buy_and_hold_return", "max", "mean", "last close / first close - 1"),
    ("alpha", "max", "mean", "annualised mean return beyond beta times that of buying and holding"),
    ("beta", "min", "mean", "covariance with / variance of the returns of buying and holding"),
)
METRICS: dict[str, Metric] = {
    name: Metric(name, "maximize" if direction == "max" else "minimize", over_cells, name in _ANNUALISED, description)
    for name, direction, over_cells, description in _ROWS
}


def bracketed(name: str, text: str, days: float) -> str:
    """A metric's text for a reader of a window of so many days: in brackets where too few were made into a year."""
    return f"({text})" if days < SHORT_DAYS and name in METRICS and METRICS[name].annualised else text


def metric_text(name: str, value: float | None, days: float) -> str:
    """A metric for a person: shares in per cent, counts whole, a dash where it is undefined.

    days: of the window it is of, the shortest of several; in brackets where they are too few for what is annualised.
    """
    if value is None or math.isnan(value):
        return "–"
    whole, large = name in _COUNTS, abs(value) >= 1000
    text = f"{value:.2%}" if name in _SHARES else f"{value:,.{0 if whole else 2 if large else 4}f}"
    return bracketed(name, text, days)


def bounded(gain: float, risk: float) -> float:
    """gain / risk, within +-RATIO_LIMIT, which it is where there is no risk; NaN where there is neither, or one is NaN.

    risk: not negative. engine.metrics.measure compiles it.
    """
    if math.isnan(gain) or math.isnan(risk) or (gain == 0.0 and risk == 0.0):
        return math.nan
    if risk * RATIO_LIMIT <= abs(gain):
        return math.copysign(RATIO_LIMIT, gain)
    return gain / risk
