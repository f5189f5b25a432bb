"""The stretches in which a bar is gone through: the finer bars inside it, or the bar as a whole where it has none."""

from __future__ import annotations

import numpy as np

from engine.compiled.arrays import Array
from engine.compiled.jit import inner
from engine.data.bars import Bars


@inner
def n_pieces(t: int, detail: Array) -> int:
    """In how many pieces bar t is gone through: at least one."""
    found, most = 1, detail.shape[1]
    while found < most and not np.isnan(detail[t, found, 0]):
        found += 1
    return found


@inner
def prices_of(t: int, piece: int, bars: Bars, detail: Array) -> tuple[float, float, float]:
    """Open, high and low of a piece of bar t."""
    if detail.shape[1] > 0 and not np.isnan(detail[t, piece, 0]):
        return detail[t, piece, 0], detail[t, piece, 1], detail[t, piece, 2]
    return bars.open[t], bars.high[t], bars.low[t]
