"""Draws docs/images/fills/*.svg, what the engine does in a few bars: `python docs/draw_fills.py`.

Every arrow is a fill of a real backtest; docs/howto/fills.md says in words what is seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from engine import BacktestEngine, BacktestResult

HERE = Path(__file__).parent
FOLDER = HERE / "images" / "fills"
UP, DOWN, LINE = "#2a7f62", "#b5483a", "#5b6b7b"


class Example(NamedTuple):
    """A few bars, what is wanted after each, and the account's rules."""

    bars: tuple[tuple[float, float, float, float], ...]  # open, high, low, close
    target: tuple[float, ...]
    rules: dict[str, Any]
    level: float | None = None  # a price to draw a line at

    def frame(self) -> pd.DataFrame:
        """The bars, a day each."""
        frame = pd.DataFrame(self.bars, columns=["open", "high", "low", "close"])
        return frame.set_index(pd.date_range("2024-01-01", periods=len(frame), name="date"))

    def run(self) -> BacktestResult:
        """The backtest that is drawn."""
        engine = BacktestEngine(initial_cash=10_000, **self.rules)
        return engine.run_realistic(self.frame(), lambda df, params: np.array(self.target), {})


_QUIET = ((100, 102, 99, 101), (102, 104, 101, 103), (103, 105, 102, 104), (104, 106, 103, 105))
EXAMPLES = {
    "next_open": Example((*_QUIET, (105, 107, 104, 106)), (0, 1, 1, 0, 0), {}),
    "close": Example((*_QUIET, (105, 107, 104, 106)), (0, 1, 1, 0, 0), {"trade_on": "close"}),
    "stop_inside": Example((*_QUIET[:3], (103, 104, 95, 97), (97, 99, 96, 98)), (1,) * 5, {"stop_pct": 0.04}, 97.92),
    "stop_gap": Example((*_QUIET[:3], (95, 97, 94, 96), (96, 98, 95, 97)), (1,) * 5, {"stop_pct": 0.04}, 97.92),
    "both_worst": Example(
        (*_QUIET[:2], (103, 111, 96, 104), (104, 106, 103, 105)),
        (1, 1, 1, 1),
        {"stop_pct": 0.04, "take_profit_pct": 0.06},
    ),
    "both_best": Example(
        (*_QUIET[:2], (103, 111, 96, 104), (104, 106, 103, 105)),
        (1, 1, 1, 1),
        {"stop_pct": 0.04, "take_profit_pct": 0.06, "intrabar": "best"},
    ),
}  # fmt: skip


def draw(example: Example, path: Path) -> None:
    """Candles, the target below, an arrow for each fill."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    frame, fills = example.frame(), example.run().fills
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    FigureCanvasSVG(figure)
    prices, wanted = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    for t, (open_, high, low, close) in enumerate(example.bars):
        colour = UP if close >= open_ else DOWN
        prices.vlines(t, low, high, color=colour, linewidth=1.2)
        prices.bar(t, abs(close - open_), bottom=min(open_, close), width=0.5, color=colour)
    if example.level is not None:
        prices.axhline(example.level, color=LINE, linestyle="--", linewidth=0.8)
        prices.annotate("stop", (len(frame) - 0.55, example.level), color=LINE, fontsize=8, va="bottom", ha="right")
    for _, fill in fills.iterrows():
        t, buys = frame.index.get_loc(fill["time"].tz_localize(None)), fill["size"] > 0
        side = 0.5 if example.rules.get("trade_on") == "close" else -0.5
        text = f"{'buy' if buys else 'sell'} {fill['price']:g}\n{fill['reason'].replace('_', ' ')}"
        height = frame["low"].iloc[t] - 4.5 if buys else frame["high"].iloc[t] + 1.5
        arrow = {"arrowstyle": "->", "color": "black", "shrinkB": 0}
        prices.annotate(
            text, (t + side / 2, fill["price"]), (t + side, height), fontsize=8, ha="center", arrowprops=arrow
        )
    prices.margins(x=0.08, y=0.3)
    wanted.step(range(len(frame)), example.target, where="post", color=LINE)
    wanted.set(ylabel="target", ylim=(-0.2, 1.3), yticks=(0, 1), xticks=range(len(frame)), xlabel="bar")
    for axes in (prices, wanted):
        axes.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "optim"}):
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, one in EXAMPLES.items():
        draw(one, FOLDER / f"{name}.svg")
