"""Rolling indicators beside TA-Lib's and pandas', on the same 5,000 closes, in turns.

TA-Lib's and pandas' deviations are of running sums, which leave a rest where prices stand still; ours sums outwards
from one value of each block and subtracts nothing (engine/compiled/windows.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import talib

from benchmarks.engine_sweep import daily_bars, in_turns
from benchmarks.table import Line
from engine import highest, sma, std, wma

WINDOWS = (20, 100)
NAMES = {"sma": "mean", "wma": "weighted mean", "std": "standard deviation", "highest": "highest value"}
OURS: dict[str, Any] = {"sma": sma, "wma": wma, "std": std, "highest": highest}
TALIBS = {"sma": talib.SMA, "wma": talib.WMA, "std": talib.STDDEV, "highest": talib.MAX}
LINES = tuple(
    Line(f"{what} of the last {window} of 5,000 closes", "us", f"{name}/{window}/ours", peer, f"{name}/{window}/{key}")
    for window in WINDOWS
    for name, what in NAMES.items()
    for peer, key in (("TA-Lib", "talib"), *((("pandas", "pandas"),) if name != "wma" else ()))
)


def main(repeats: int = 51) -> dict[str, Any]:
    """Microseconds a call, the median of each."""
    close = np.array(daily_bars(5_000).close)
    figures: dict[str, Any] = {name: {} for name in NAMES}
    for name in NAMES:
        for window in WINDOWS:
            seconds = in_turns(works(name, close, window), repeats)
            figures[name][window] = {by: 1e6 * value for by, value in seconds.items()}
    return figures


def works(name: str, close: Any, window: int) -> dict[str, Callable[[], Any]]:
    """The same by each; a difference beyond rounding fails the benchmark."""
    series, theirs = pd.Series(close), TALIBS[name]
    kernel = OURS[name].kernel  # whose results are not shared, but computed every time
    found: dict[str, Callable[[], Any]] = {
        "ours": lambda: kernel(close, window),
        "talib": lambda: theirs(close, window),
    }
    rolled = {
        "sma": lambda: series.rolling(window).mean(),
        "std": lambda: series.rolling(window).std(ddof=0),
        "highest": lambda: series.rolling(window).max(),
    }
    if name in rolled:
        found["pandas"] = rolled[name]
    for work in found.values():
        np.testing.assert_allclose(work(), found["ours"](), rtol=1e-7)
    return found
