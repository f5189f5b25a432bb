"""Each kind of drawing, by matplotlib. Colours are stand-ins for the page's own (optim.report.html.figures)."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report.drawn import date_axis, plain_log
from optim.report.html.values import Axis, Course, Field, Floats, History, Shares, Slices, Trading, Winners

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 880, 340  # pixels
# What matplotlib takes for colours, by the variables of report.css that they become.
COLOURS = {"ink": "#010102", "muted": "#010103", "rule": "#010104", "accent": "#010105", "bench": "#010106",
            "loss": "#010107", "gain": "#010108", "paper": "#010109"}  # fmt: skip
INK, MUTED, RULE, ACCENT, BENCH, LOSS, GAIN, PAPER = COLOURS.values()
_DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}


def _equity(figure: Figure, d: Course) -> None:
    from matplotlib.dates import date2num

    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
    top.plot(d.times, d.held, color=BENCH, linewidth=1.1, label="buying and holding")
    top.plot(d.times, d.account, color=ACCENT, linewidth=1.5, label="the winner")
    if d.log:
        plain_log(top, "y")
    else:
        top.yaxis.set_major_formatter("{x:,.0f}")
    _legend(figure, top)
    narrow = figure.get_figwidth() * 72 <= NARROW
    top.set_title("\n".join(textwrap.wrap(d.title, 44 if narrow else 140)), loc="left", color=MUTED)
    if d.since is not None:
        since = float(date2num(d.since))  # type: ignore[no-untyped-call]
        for axes in (top, bottom):
            axes.axvline(since, color=INK, linewidth=0.9, linestyle="--")
        top.annotate("hold-out", (since, 0), (4, 5), xycoords=top.get_xaxis_transform(),
                     textcoords="offset points", color=INK)  # fmt: skip
    bottom.plot(d.times, 100 * d.held_depth, color=BENCH, linewidth=0.8)
    bottom.fill_between(d.times, 100 * d.depth, 0, color=LOSS, alpha=0.3, linewidth=0)
    bottom.plot(d.times, 100 * d.depth, color=LOSS, linewidth=0.9)
    bottom.yaxis.set_major_formatter("{x:g} %")
    bottom.set_ylim(top=0)
    _dates(bottom)


def _trading(figure: Figure, d: Trading) -> None:
    axes = figure.subplots()
    axes.plot(d.times, d.price, color=BENCH, linewidth=1)
    for (times, prices), marker, colour, name in (
        (d.bought, "^", GAIN, "bought"),
        (d.sold, "v", LOSS, "sold"),
    ):
        axes.plot(times, prices, linestyle="none", marker=marker, markersize=7, color=colour, label=name,
                  markeredgecolor=PAPER, markeredgewidth=0.5)  # fmt: skip
    axes.yaxis.set_major_formatter("{x:,.6g}")
    _legend(figure, axes)
    _dates(axes)


def _winners(figure: Figure, d: Winners) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    bins = int(np.clip(len(d.found) // 4, 8, 30))
    low, high = min(d.found.min(), d.own), max(d.found.max(), d.own)
    span = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts, edges = np.histogram(d.found, bins, span)
    axes.bar(edges[:-1], counts, np.diff(edges) * 0.92, align="edge", color=BENCH, alpha=0.75, linewidth=0)
    axes.axvline(d.own, color=ACCENT, linewidth=2)
    right = d.own < (low + high) / 2
    axes.set_ylim(top=counts.max() * 1.22)
    axes.annotate(f"the study's winner, {d.own:.4g}", (d.own, counts.max() * 1.2), (5 if right else -5, 0),
                  textcoords="offset points", ha="left" if right else "right", va="top", color=ACCENT)  # fmt: skip
    room = 0.03 * (edges[-1] - edges[0])
    axes.set_xlim(edges[0] - room, edges[-1] + room)
    axes.set_xlabel(f"{_short(d.metric)} of the best trial in a shuffled market")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _history(figure: Figure, d: History) -> None:
    axes = figure.subplots()
    axes.plot(d.numbers, d.scores, color=BENCH, markersize=4.8, alpha=0.75, label="complete trials", **_DOTS)
    axes.plot(d.numbers, d.best, color=ACCENT, linewidth=1.5, drawstyle="steps-post", label="best so far")
    if len(d.pruned):
        axes.plot(d.pruned, np.full(len(d.pruned), 0.012), linestyle="none", marker="|", color=MUTED, markersize=5,
                  markeredgewidth=0.7, alpha=0.7, label="pruned", transform=axes.get_xaxis_transform())  # fmt: skip
    if d.winner is not None:
        _ring(axes, *d.winner)
    axes.set_ylim(*_range(d.scores, np.nan if d.winner is None else d.winner[1]))
    axes.set_xlabel("trial")
    axes.set_title(_short(d.metric), loc="left", color=MUTED)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=3, handletextpad=0.4,
                  columnspacing=1.2)  # fmt: skip


def _shares(figure: Figure, d: Shares) -> None:
    axes = figure.subplots()
    places = np.arange(len(d.names))[::-1]
    axes.barh(places, d.shares, 0.62, color=ACCENT, alpha=0.85)
    most = 30 if figure.get_figwidth() * 72 > NARROW else 16
    axes.set_yticks(places, [_short(name, most) for name in d.names])
    axes.tick_params(axis="y", colors=INK)
    for place, share in zip(places, d.shares, strict=True):
        axes.annotate(f"{share:.0%}", (share, place), (4, 0), textcoords="offset points", va="center", color=MUTED)
    axes.set_xlim(0, max(1e-9, *d.shares) * 1.12)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])


def _slices(figure: Figure, d: Slices) -> None:
    columns = _columns(d, figure.get_figwidth() * 72)
    rows = -(-len(d.axes) // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, axis, scores, (near, there) in zip(grid, d.axes, d.scores, d.neighbours, strict=False):
        axes.plot(_spread(axis), scores, color=BENCH, markersize=4.2, alpha=0.6, **_DOTS)
        axes.plot(near, there, linestyle="none", marker="D", markersize=5, color=GAIN, markeredgecolor=PAPER)
        _ring(axes, axis.winner, d.winner)
        axes.set_title(_short(axis.name, 30 if columns != 2 else 20), loc="left")
        _scale(axes, axis, "x")
    for axes in grid[len(d.axes) :]:
        axes.set_visible(False)
    grid[0].set_ylim(*_range(np.concatenate(d.scores), d.winner))


def _field(figure: Figure, d: Field) -> None:
    axes = figure.subplots()
    axes.grid(axis="x")
    ranks = np.argsort(np.argsort(d.scores if d.maximise else -d.scores)) / max(len(d.scores) - 1, 1)
    across, up = _spread(d.across), _spread(d.up)
    for low, high, size, alpha, name in (
        (0.0, 0.5, 4, 0.25, "lower half"),
        (0.5, 0.8, 5, 0.45, "better"),
        (0.8, 0.95, 6, 0.7, "best fifth"),
        (0.95, 2.0, 7.5, 1.0, "best twentieth"),
    ):
        part = (ranks >= low) & (ranks < high)
        axes.plot(across[part], up[part], color=ACCENT, markersize=size, alpha=alpha, label=name, **_DOTS)
    _ring(axes, d.across.winner, d.up.winner)
    _scale(axes, d.across, "x")
    _scale(axes, d.up, "y")
    axes.set_xlabel(_short(d.across.name))
    axes.set_title(_short(d.up.name), loc="left", color=MUTED)
    narrow = figure.get_figwidth() * 72 <= NARROW
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2 if narrow else 4,
                  handletextpad=0.1, columnspacing=1.0)  # fmt: skip


def _legend(figure: Figure, axes: Axes) -> None:
    """Above the drawing, where it covers nothing."""
    shown = axes.get_legend_handles_labels()
    figure.legend(*shown, loc="outside upper left", ncols=2, handletextpad=0.5, columnspacing=1.4)


def _ring(axes: Axes, x: float, y: float) -> None:
    """The winner."""
    axes.plot([x], [y], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6,
              linestyle="none", zorder=5)  # fmt: skip


def _spread(axis: Axis) -> Floats:
    """Places, of choices side by side within their column."""
    if not axis.choices:
        return axis.places
    return axis.places + (np.arange(len(axis.places)) * 0.618034 % 1.0 - 0.5) * 0.5


def _scale(axes: Axes, axis: Axis, which: str) -> None:
    if axis.choices:
        ticks = axes.set_xticks if which == "x" else axes.set_yticks
        step = -(-len(axis.choices) // 8)
        names = [_short(name, 12) for name in axis.choices[::step]]
        ticks(list(range(0, len(axis.choices), step)), names)
        (axes.set_xlim if which == "x" else axes.set_ylim)(-0.6, len(axis.choices) - 0.4)
    elif axis.log:
        plain_log(axes, which)


def _dates(axes: Axes) -> None:
    wide = axes.get_figure().get_figwidth() * 72 > NARROW  # type: ignore[union-attr]
    date_axis(axes, 9 if wide else 5)


def _range(scores: Floats, winner: float) -> tuple[float, float]:
    """Where the scores are, the winner's among them, but for a few that are far from all others."""
    quarter, three = np.quantile(scores, (0.25, 0.75))
    reach = 4.0 * (three - quarter)
    near = scores[(scores >= quarter - reach) & (scores <= three + reach)]
    low, high = np.nanmin([near.min(), winner]), np.nanmax([near.max(), winner])
    room = 0.07 * (high - low) or 0.5
    return float(low - room), float(high + room)


def _short(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _columns(d: Slices, width: float) -> int:
    return min(len(d.axes), 3 if width > NARROW else 1 if len(d.axes) < 3 else 2)


def _slice_height(d: Slices, width: int) -> float:
    return -(-len(d.axes) // _columns(d, width)) * (190.0 if width > NARROW else 165.0)


ARTISTS: dict[type, tuple[Callable[[Figure, Any], None], Callable[[Any, int], float]]] = {
    Course: (_equity, lambda d, width: 400 if width > NARROW else 320),
    Trading: (_trading, lambda d, width: 300 if width > NARROW else 230),
    Winners: (_winners, lambda d, width: 250 if width > NARROW else 210),
    History: (_history, lambda d, width: 290 if width > NARROW else 250),
    Shares: (_shares, lambda d, width: 24.0 + 30 * len(d.names)),
    Slices: (_slices, _slice_height),
    Field: (_field, lambda d, width: 420 if width > NARROW else 330),
}
