"""The figures of a backtest: equity, drawdown, trades, months."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.report.shown import Backtest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, LINE, SHADE, GAIN, LOSS = "#22303c", "#1f5fa8", "#9aa7b2", "#2e8b57", "#c0392b"


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
