"""Every metric by name: what it means, which direction is better. Imports nothing heavy.

A metric that is undefined for a run (no trades, no losing bar, no variance) is NaN, never 0 and never infinite.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One metric of a backtest."""

    name: str
    direction: Literal["maximize", "minimize"]
    total: bool  # a count or an amount: summed over cells, not averaged
    description: str


_ROWS: tuple[tuple[str, str, bool, str], ...] = (
    (
        "sharpe_ratio",
        "max",
        False,
        "mean / standard deviation (ddof 1) of the bar returns, times sqrt(bars a year)",
    ),
    ("sortino_ratio", "max", False, "mean return / sqrt(mean(min(r, 0)^2)), times sqrt(periods_per_year)"),
    ("calmar_ratio", "max", False, "cagr / |max_drawdown|"),
    ("total_return", "max", False, "final equity / initial cash - 1"),
    ("cagr", "max", False, "compound annual growth on calendar days of 365.25"),
    ("annual_volatility", "min", False, "standard deviation (ddof 1) of the bar returns, times sqrt(periods_per_year)"),
    ("max_drawdown", "max", False, "largest fall from a peak of the equity, initial cash included; negative"),
    ("max_drawdown_bars", "min", False, "most bars in a row below an earlier peak"),
    ("avg_drawdown_bars", "min", False, "mean number of bars per drawdown"),
    ("ulcer_index", "min", False, "root of the mean squared drawdown"),
    ("omega_ratio", "max", False, "sum of positive bar returns / |sum of negative ones|"),
    ("recovery_factor", "max", False, "total_return / |max_drawdown|"),
    ("n_trades", "max", True, "closed trades"),
    ("win_rate", "max", False, "share of closed trades with net P&L above 0"),
    ("profit_factor", "max", False, "sum of winning P&L / |sum of losing P&L|"),
    ("payoff_ratio", "max", False, "mean winning P&L / |mean losing P&L|"),
    ("expectancy", "max", False, "mean net P&L of a closed trade, in money"),
    ("expectancy_ratio", "max", False, "(1 + payoff_ratio) * win_rate - 1"),
    ("kelly", "max", False, "win_rate - (1 - win_rate) / payoff_ratio"),
    ("sqn", "max", False, "sqrt(n_trades) * mean / standard deviation (ddof 1) of the net P&L of closed trades"),
    ("avg_trade_return", "max", False, "mean net P&L / entry value of closed trades"),
    ("best_trade", "max", False, "largest net P&L / entry value of a closed trade"),
    ("worst_trade", "max", False, "smallest net P&L / entry value of a closed trade"),
    ("max_consecutive_wins", "max", False, "most closed trades in a row with net P&L above 0"),
    ("max_consecutive_losses", "min", False, "most closed trades in a row with net P&L at or below 0"),
    ("avg_holding_bars", "min", False, "mean bars from entry to exit of closed trades"),
    ("exposure", "max", False, "share of closes at which a position is held"),
    ("turnover", "min", False, "traded value / mean equity, per year"),
    ("fees_paid", "min", True, "fees, in money"),
    ("financing_paid", "min", True, "borrowing and funding, in money"),
    ("value_at_risk_95", "max", False, "5 % quantile of the bar returns, interpolated"),
    ("conditional_value_at_risk_95", "max", False, "mean of the worst 5 % of the bar returns"),
    ("tail_ratio", "max", False, "|95 % quantile| / |5 % quantile| of the bar returns"),
    ("buy_and_hold_return", "max", False, "last close / first close - 1"),
    ("alpha", "max", False, "annualised mean return beyond beta times that of buying and holding"),
    ("beta", "min", False, "covariance with / variance of the returns of buying and holding"),
)
METRICS: dict[str, Metric] = {
    name: Metric(name, "maximize" if direction == "max" else "minimize", total, description)
    for name, direction, total, description in _ROWS
}
