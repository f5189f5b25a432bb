"""A plain strategy on the user's own frame: its index and its columns, not only ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.bars import Bars
from engine.data.load import to_frame
from engine.strategies.base import Strategy
from engine.strategies.levels import Answer

if TYPE_CHECKING:
    import pandas as pd


class OnGiven(Strategy):
    """The strategy, called with rows of the frames that the bars were made of, one an instrument; None: with ours."""

    def __init__(self, strategy: Strategy, frames: Sequence[pd.DataFrame | None], instruments: Sequence[Bars]) -> None:
        super().__init__(strategy.signal, compiled=False)
        self.zone = strategy.zone
        self._parts = list(zip(frames, instruments, strict=True))

    def frame_of(self, bars: Bars) -> pd.DataFrame:
        """The rows of the given frame that are these bars, to be changed at will."""
        frame, whole = self._parts[0]
        if frame is None:
            return super().frame_of(bars)
        first = int(np.searchsorted(whole.timestamp, bars.timestamp[0]))
        return frame.iloc[first : first + len(bars.timestamp)].copy()

    def _answers(self, instruments: tuple[Bars, ...], params: Any) -> list[Answer]:
        """Each instrument's from its own frame."""
        each = [OnGiven(self, [frame], [whole]) for frame, whole in self._parts]
        return [one.alone(bars, params) for one, bars in zip(each, instruments, strict=True)]


def on_given(strategy: Strategy, given: Sequence[Any], instruments: Sequence[Bars]) -> Strategy:
    """The strategy on the frames that were given; itself where it is compiled, or no frame of pandas has the times."""
    if type(strategy) is not Strategy or strategy.compiled:
        return strategy
    frames = [_own(one, bars) for one, bars in zip(given, instruments, strict=True)]
    return strategy if all(frame is None for frame in frames) else OnGiven(strategy, frames, instruments)


def _own(given: Any, bars: Bars) -> pd.DataFrame | None:
    """The given rows that are bars, in their order, with our columns beside; None if the index has not the times."""
    import pandas as pd

    if (
        not isinstance(given, pd.DataFrame)
        or not isinstance(given.index, pd.DatetimeIndex)
        or given.columns.nlevels > 1
    ):
        return None
    index = given.index.tz_localize("UTC") if given.index.tz is None else given.index
    rows = pd.Index(index.tz_convert("UTC").as_unit("ns").asi8).get_indexer(pd.Index(bars.timestamp))
    if (rows < 0).any():  # the times are those of a column
        return None
    own = given.iloc[rows]
    ours = to_frame(bars).set_index(own.index)
    return own.assign(**{str(name): ours[name] for name in ours})
