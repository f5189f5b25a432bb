"""What a backtest leaves on disk: plots, a text report, JSON summaries, the trades."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from engine.simulator.account import Account

INK, LINE, SHADE, GAIN, LOSS = "#22303c", "#1f5fa8", "#9aa7b2", "#2e8b57", "#c0392b"
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
_SHARES = (
    "total_return", "cagr", "buy_and_hold_return", "alpha", "best_trade", "worst_trade", "annual_volatility",
    "max_drawdown", "ulcer_index", "value_at_risk_95", "conditional_value_at_risk_95", "win_rate", "avg_trade_return",
    "exposure",
)  # fmt: skip


class Backtest(Protocol):
    """What a report is made of; engine.backtest.BacktestResult is one."""

    @property
    def strategy(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def account(self) -> Account: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def equity(self) -> pd.Series[float]: ...
    @property
    def market(self) -> pd.Series[float]: ...
    @property
    def trades(self) -> pd.DataFrame: ...
    @property
    def returns(self) -> pd.Series[float]: ...
    @property
    def drawdown(self) -> pd.Series[float]: ...


def save(result: Backtest, folder: Path) -> list[Path]:
    """Write every file of a backtest below `folder`; returns their paths."""
    plots: dict[str, Callable[[Backtest], Figure]] = {
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
        draw(result).savefig(written[-1], dpi=120)
    texts = {
        "reports/backtest_report.txt": text_report(result),
        "reports/trades_summary.json": _json(trades_summary(result)),
        "reports/risk_metrics.json": _json(result.metrics),
        "config/config_snapshot.json": _json(result.config),
    }
    for name, text in texts.items():
        written.append(folder / name)
        written[-1].write_text(text, encoding="utf-8")
    written.append(folder / "reports" / "trades.csv.gz")
    result.trades.to_csv(written[-1], index=False)
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
        lines += [f"{name:<30}{_shown(name, result.metrics[name]):>14}" for name in names]
    reasons = result.trades["exit_reason"].value_counts()
    lines += ["", "Exits", "-----", *(f"{reason:<30}{count:>14}" for reason, count in reasons.items())]
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


def equity_figure(result: Backtest) -> Figure:
    """Equity against buying and holding."""
    figure, (axes,) = _figure(result, 1)
    _draw_equity(axes, result)
    return figure


def drawdown_figure(result: Backtest) -> Figure:
    """How far below its peak the account was."""
    figure, (axes,) = _figure(result, 1)
    _draw_drawdown(axes, result)
    return figure


def summary_figure(result: Backtest) -> Figure:
    """Equity above drawdown."""
    figure, (top, bottom) = _figure(result, 2)
    _draw_equity(top, result)
    _draw_drawdown(bottom, result)
    return figure


def trades_figure(result: Backtest) -> Figure:
    """Histogram of the returns of the closed trades."""
    figure, (axes,) = _figure(result, 1)
    closed = result.trades[result.trades["exit_reason"] != "open"]["return"].to_numpy(float) * 100
    if len(closed) == 0:
        return _say(figure, axes, "no closed trades")
    width = max(float(np.ptp(closed)), 1e-6) / min(max(len(closed) // 3, 12), 60)
    edges = width * np.arange(math.floor(closed.min() / width), math.floor(closed.max() / width) + 2)
    counts, _ = np.histogram(closed, edges)
    colours = [GAIN if left >= 0 else LOSS for left in edges[:-1]]
    axes.bar(edges[:-1], counts, width, align="edge", color=colours, edgecolor="white", linewidth=0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axvline(closed.mean(), color=LINE, linestyle="--", linewidth=1.2, label=f"mean {closed.mean():.2f} %")
    axes.set(xlabel="net return of a trade (%)", ylabel="trades")
    axes.legend(frameon=False)
    return figure


def monthly_figure(result: Backtest) -> Figure:
    """Return of every calendar month as a heat map, years down."""
    from matplotlib.colors import LinearSegmentedColormap

    figure, (axes,) = _figure(result, 1)
    months = _times(result).astype("datetime64[M]").astype(int)
    first = int(months[0]) // 12
    years = list(range(1970 + first, 1971 + int(months[-1]) // 12))
    grid = np.full((len(years), 12), np.nan)
    returns = result.returns.to_numpy()
    for month in np.unique(months):
        grid[month // 12 - first, month % 12] = 100 * (np.prod(1 + returns[months == month]) - 1)
    bound = max(float(np.nanmax(np.abs(grid))), 1e-9)
    axes.grid(visible=False)
    axes.imshow(
        grid,
        cmap=LinearSegmentedColormap.from_list("returns", [LOSS, "white", GAIN]),
        vmin=-bound,
        vmax=bound,
        aspect="auto",
    )
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    axes.set_xticks(range(12), names)
    step = max(1, len(years) // 25 + (len(years) % 25 > 0))
    axes.set_yticks(range(0, len(years), step), [str(year) for year in years[::step]])
    axes.tick_params(length=0)
    axes.set_title("return per month (%)", loc="right", fontsize=9, color=SHADE)
    if len(years) <= 30:
        for row, column in zip(*np.nonzero(~np.isnan(grid)), strict=True):
            colour = "white" if abs(grid[row, column]) > 0.7 * bound else INK
            axes.text(column, row, f"{grid[row, column]:.1f}", ha="center", va="center", fontsize=7, color=colour)
    return figure


def _figure(result: Backtest, rows: int) -> tuple[Figure, list[Axes]]:
    """A Figure of its own, drawn by Agg: pyplot would keep it and ask for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3 + 2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, squeeze=False, sharex=True, height_ratios=[2, 1][:rows])[:, 0]
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="#e6eaed", linewidth=0.8)
        one.set_axisbelow(True)
    params = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in result.params.items()
    )
    title = "  ".join(filter(None, (result.instrument, result.strategy, params)))
    axes[0].set_title(title, loc="left", fontsize=11, color=INK)
    return figure, list(axes)


def _draw_equity(axes: Axes, result: Backtest) -> None:
    time = _times(result)
    cash = result.account.initial_cash
    axes.plot(time, cash * result.market.to_numpy(), color=SHADE, linewidth=1, label="buy and hold")
    axes.plot(time, result.equity.to_numpy(), color=LINE, linewidth=1.4, label="equity")
    axes.axhline(cash, color=INK, linewidth=0.6, linestyle=":")
    axes.set_ylabel("equity")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, loc="upper left")
    shown = [("Sharpe", "sharpe_ratio", "{:.2f}"), ("CAGR", "cagr", "{:.1%}"), ("drawdown", "max_drawdown", "{:.1%}")]
    note = "   ".join(f"{label} {form.format(result.metrics[name])}" for label, name, form in shown)
    axes.set_title(note, loc="right", fontsize=9, color=INK)


def _draw_drawdown(axes: Axes, result: Backtest) -> None:
    time, depth = _times(result), 100 * result.drawdown.to_numpy()
    axes.fill_between(time, depth, 0, color=LOSS, alpha=0.25, linewidth=0)
    axes.plot(time, depth, color=LOSS, linewidth=0.9)
    axes.set_ylabel("drawdown (%)")
    axes.set_ylim(top=0)


def _times(result: Backtest) -> NDArray[np.datetime64]:
    import pandas as pd

    return pd.DatetimeIndex(result.equity.index).tz_convert(None).to_numpy()


def _say(figure: Figure, axes: Axes, text: str) -> Figure:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=SHADE, fontsize=14)
    axes.set_axis_off()
    return figure


def _shown(name: str, value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.2%}" if name in _SHARES else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _json(content: Any) -> str:
    """JSON without NaN, which is no JSON: undefined is null."""
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in content.items()}
    return json.dumps(clean, indent=2, default=str) + "\n"
