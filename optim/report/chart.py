"""A series in one line of block characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_MARKS = "▁▂▃▄▅▆▇█"
WIDTH = 72


def line_of(values: ArrayLike, width: int = WIDTH) -> str:
    """A series of shape (n,) as `width` characters, from its lowest to its highest value."""
    series = np.asarray(values, dtype=np.float64)
    points = np.interp(np.linspace(0, len(series) - 1, width), np.arange(len(series)), series)
    low, high = float(points.min()), float(points.max())
    steps = np.minimum((points - low) / (high - low or 1.0) * len(_MARKS), len(_MARKS) - 1).astype(int)
    return "".join(_MARKS[step] for step in steps)
