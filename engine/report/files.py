"""Every file of a backtest: its figures, a text report, JSON summaries, the trades and the fills."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.metrics.catalogue import IN_BRACKETS, SHORT_DAYS, metric_text
from engine.report.figures import drawdown_figure, equity_figure, monthly_figure, trades_figure
from engine.report.shown import Backtest

if TYPE_CHECKING:
    from engine.report.picture import Picture

SECTIONS = {
    "Return": ("total_return", "cagr", "buy_and_hold_return", "alpha", "beta", "best_trade", "worst_trade"),
    "Risk": (
        "annual_volatility", "max_drawdown", "max_drawdown_bars", "avg_drawdown_bars", "ulcer_index",
        "value_at_risk_95", "conditional_value_at_risk_95", "tail_ratio",
    ),
    "Risk-adjusted": ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "recovery_factor"),
    "Trades": (
        "n_trades", "win_rate", "profit_factor", "gross_profit", "gross_loss", "payoff_ratio", "expectancy",
        "expectancy_ratio", "kelly", "sqn", "avg_trade_return", "avg_holding_bars", "max_consecutive_wins",
        "max_consecutive_losses",
    ),
    "Activity": ("exposure", "turnover", "fees_paid", "financing_paid"),
}  # fmt: skip


def save(result: Backtest, folder: Path) -> list[Path]:
    """Write every file of a backtest below `folder`; returns their paths."""
    plots: dict[str, Callable[[Backtest], Picture]] = {
        "equity_curve": equity_figure,
        "drawdown": drawdown_figure,
        "trades_distribution": trades_figure,
        "monthly_returns": monthly_figure,
    }
    for name in ("plots", "reports", "config"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in plots.items():
        written.append(folder / "plots" / f"{name}.png")
        draw(result).write(written[-1], dpi=120)
    texts = {
        "reports/backtest_report.txt": text_report(result),
        "reports/trades_summary.json": _json(trades_summary(result)),
        "reports/risk_metrics.json": _json(result.metrics),
        "config/config_snapshot.json": _json(result.config),
    }
    for name, text in texts.items():
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8")
    for name, table in {"trades": result.trades, "fills": result.fills}.items():
        written.append(folder / "reports" / f"{name}.csv.gz")
        table.to_csv(written[-1], index=False, compression={"method": "gzip", "mtime": 0})  # equal tables, equal files
    return written


def text_report(result: Backtest) -> str:
    """The metrics, in sections, as plain text."""
    params = ", ".join(f"{name} = {value}" for name, value in result.params.items())
    rules = ", ".join(
        f"{name} = {value}"
        for name, value in result.account._asdict().items()
        if value != type(result.account)._field_defaults[name] or name == "initial_cash"
    )
    lines = [
        " ".join(filter(None, (result.instrument, result.strategy, f" ({params})"))),
        f"{result.equity.index[0]:%Y-%m-%d} to {result.equity.index[-1]:%Y-%m-%d}, {len(result.equity)} bars",
        f"account: {rules}",
    ]
    for title, names in SECTIONS.items():
        lines += ["", title, "-" * len(title)]
        lines += [f"{name:<30}{metric_text(name, result.metrics[name], result.days):>14}" for name in names]
    reasons = result.trades["exit_reason"].value_counts()
    lines += ["", "Exits", "-----", *(f"{reason:<30}{count:>14}" for reason, count in reasons.items())]
    lines += ["", IN_BRACKETS] if result.days < SHORT_DAYS else []
    return "\n".join(lines) + "\n"


def trades_summary(result: Backtest) -> dict[str, Any]:
    """Counts, sums and extremes of the closed trades, by exit reason."""
    trades = result.trades
    by_reason = {
        str(reason): {"n": len(part), "pnl": float(part["pnl"].sum()), "mean_return": float(part["return"].mean())}
        for reason, part in trades.groupby("exit_reason")
    }
    closed = trades[trades["exit_reason"] != "open"]
    return {
        "n_trades": len(closed),
        "n_open": len(trades) - len(closed),
        "pnl": float(closed["pnl"].sum()),
        "fees": float(closed["fees"].sum()),
        "win_rate": result.metrics["win_rate"],
        "best_pnl": float(closed["pnl"].max()) if len(closed) else None,
        "worst_pnl": float(closed["pnl"].min()) if len(closed) else None,
        "mean_bars_held": float(closed["bars_held"].mean()) if len(closed) else None,
        "by_exit_reason": by_reason,
    }


def _json(content: Any) -> str:
    """JSON without NaN, which is no JSON: undefined is null."""
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in content.items()}
    return json.dumps(clean, indent=2, default=str) + "\n"
