"""The figures of a backtest: equity, drawdown, trades, months.

A title says what was traded, when, whether a search has seen it, and with which parameters.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.metrics.catalogue import bracketed
from engine.report.course import Course, course, times_of
from engine.report.drawn import date_axis, grown, plain_log
from engine.report.shown import Backtest
from engine.report.words import settings, subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from engine.report.picture import Picture

INK, LINE, SHADE, GAIN, LOSS = "#22303c", "#1f5fa8", "#9aa7b2", "#2e8b57", "#c0392b"


def equity_figure(result: Backtest) -> Picture:
    """Equity against buying and holding."""
    figure, (axes,) = _figure(result, 1)
    _draw_equity(axes, course(result))
    _note(axes, result)
    return figure


def drawdown_figure(result: Backtest) -> Picture:
    """How far below its peak the account was."""
    figure, (axes,) = _figure(result, 1)
    _draw_drawdown(axes, course(result))
    return figure


def summary_figure(result: Backtest, benchmark: Backtest | None = None, later: Backtest | None = None) -> Picture:
    """Equity above drawdown; benchmark and later as `engine.report.course.course` takes them."""
    found = course(result, benchmark, later)
    figure, (top, bottom) = _figure(result, 2, title=found.title)
    _draw_equity(top, found)
    _note(top, result)
    _draw_drawdown(bottom, found)
    return figure


def accounts_figure(courses: Sequence[Course], title: str) -> Picture:
    """Several accounts, each beside its own market, in a grid."""
    from engine.report.picture import Picture

    columns = min(len(courses), 2 if len(courses) <= 4 else 3)
    rows = -(-len(courses) // columns)
    figure = Picture(5.5 * columns, 1.0 + 2.7 * rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, color=INK)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, one in zip(grid, courses, strict=False):
        _plain(axes)
        _draw_equity(axes, one)
        axes.set_title("\n".join(textwrap.wrap(one.title, 70 // columns + 25)), loc="left", fontsize=9, color=INK)
    for axes in grid[len(courses) :]:
        axes.set_visible(False)
    return figure


def trades_figure(result: Backtest) -> Picture:
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


def monthly_figure(result: Backtest) -> Picture:
    """Return of every calendar month as a heat map, years down; beside it each year's, and that of its market."""
    times, returns = times_of(result), np.asarray(result.returns, np.float64)
    market = np.asarray(result.market, np.float64)
    months, years = grown(returns, times, "M"), grown(returns, times, "Y")
    held = grown(np.r_[market[:1], market[1:] / market[:-1]] - 1.0, times, "Y")
    first, count = min(years), max(years) - min(years) + 1
    grid, totals = np.full((count, 12), np.nan), np.full((count, 2), np.nan)
    for month, value in months.items():
        grid[month // 12 - first, month % 12] = 100 * value
    for column, found in enumerate((years, held)):
        for year, value in found.items():
            totals[year - first, column] = 100 * value
    figure, _ = _figure(result, 0, height=2.0 + 0.26 * max(count, 4))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[12, 2.6])
    _cells(left, grid, ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"))
    _cells(right, totals, ("year", "market"))
    left.set_yticks(range(count), [str(1970 + first + row) for row in range(count)])
    right.set_title("return (%)", loc="right", fontsize=9, color=INK)
    return figure


def _cells(axes: Axes, grid: NDArray[np.float64], names: Sequence[str]) -> None:
    """Numbers on their colours, as far as nine of ten of them reach."""
    from matplotlib.colors import LinearSegmentedColormap

    bound = max(float(np.nanquantile(np.abs(grid), 0.9)), 1e-9)
    colours = LinearSegmentedColormap.from_list("returns", [LOSS, "white", GAIN])
    axes.imshow(grid, cmap=colours, vmin=-bound, vmax=bound, aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for row, column in zip(*np.nonzero(~np.isnan(grid)), strict=True):
        colour = "white" if abs(grid[row, column]) > 0.7 * bound else INK
        axes.text(column, row, f"{grid[row, column]:.1f}", ha="center", va="center", fontsize=7.5, color=colour)


def _figure(result: Backtest, rows: int, height: float | None = None, title: str = "") -> tuple[Picture, list[Axes]]:
    """A figure under its title, with so many axes one below the other. height: in inches."""
    from engine.report.picture import Picture

    figure = Picture(10, 3 + 2 * rows if height is None else height)
    below = textwrap.wrap(settings(result), 130, max_lines=2, placeholder=" ...")
    figure.suptitle("\n".join((title or subject(result), *below)), x=0.01, ha="left", fontsize=10.5, color=INK)
    made: list[Axes] = []
    if rows:
        made += list(figure.subplots(rows, 1, squeeze=False, sharex=True, height_ratios=[2, 1][:rows])[:, 0])
    for one in made:
        _plain(one)
    return figure, made


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6eaed", linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_equity(axes: Axes, found: Course) -> None:
    axes.plot(found.times, found.held, color=SHADE, linewidth=1, label="buy and hold")
    axes.plot(found.times, found.account, color=LINE, linewidth=1.4, label="equity")
    axes.set_ylabel("equity (logarithmic)" if found.log else "equity")
    if found.log:
        plain_log(axes, "y")
    else:
        axes.yaxis.set_major_formatter("{x:,.0f}")
    _mark(axes, found)
    axes.legend(frameon=False, loc="upper left")


def _note(axes: Axes, result: Backtest) -> None:
    axes.axhline(result.account.initial_cash, color=INK, linewidth=0.6, linestyle=":")
    shown = [("Sharpe", "sharpe_ratio", "{:.2f}"), ("CAGR", "cagr", "{:.1%}"), ("drawdown", "max_drawdown", "{:.1%}")]
    texts = [(label, bracketed(name, form.format(result.metrics[name]), result.days)) for label, name, form in shown]
    note = "   ".join(f"{label} {text}" for label, text in texts)
    axes.set_title("   ".join(filter(None, (result.sample, note))), loc="right", fontsize=9, color=INK)


def _draw_drawdown(axes: Axes, found: Course) -> None:
    depth = 100 * found.depth
    axes.fill_between(found.times, depth, 0, color=LOSS, alpha=0.25, linewidth=0)
    axes.plot(found.times, depth, color=LOSS, linewidth=0.9)
    axes.set_ylabel("drawdown (%)")
    axes.set_ylim(top=0)
    _mark(axes, found)


def _mark(axes: Axes, found: Course) -> None:
    """The dates, and where the later bars begin."""
    from matplotlib.dates import date2num

    date_axis(axes, 9)
    if found.since is not None:
        since = float(date2num(found.since))  # type: ignore[no-untyped-call]
        axes.axvline(since, color=INK, linewidth=0.9, linestyle="--", label="hold-out from here")


def _say(figure: Picture, axes: Axes, text: str) -> Picture:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=SHADE, fontsize=14)
    axes.set_axis_off()
    return figure
