"""What every drawing of an account shares: which points of a long curve are kept, and when an axis is logarithmic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]
_LONG_YEARS, _STEEP = 5.0, 4.0  # from here on an account is drawn on a logarithmic axis


def thinned(*columns: Floats, most: int = 1_500) -> NDArray[np.int64]:
    """Places that keep the shape of columns of one length: first, last, highest and lowest of equal pieces."""
    length = len(columns[0])
    pieces = most // (2 * len(columns))
    if length <= most:
        return np.arange(length)
    kept = {0, length - 1}
    for piece in np.array_split(np.arange(length), pieces):
        for column in columns:
            part = column[piece]
            kept |= {int(piece[np.argmin(part)]), int(piece[np.argmax(part)])}
    return np.array(sorted(kept))


def wants_log(times: Times, *columns: Floats) -> bool:
    """Whether equal growth should look equal: over more than 5 years, or where the highest is 4 times the lowest.

    Never where a curve touches 0.
    """
    low, high = min(column.min() for column in columns), max(column.max() for column in columns)
    years = float((times[-1] - times[0]) / np.timedelta64(1, "D")) / 365.25
    return bool(low > 0 and (years > _LONG_YEARS or high / low > _STEEP))


def plain_log(axes: Axes, which: str) -> None:
    """A logarithmic axis, "x" or "y", with numbers as one writes them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    marks = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if high / low < 12 else (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    axis.set_major_locator(LogLocator(subs=marks, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def date_axis(axes: Axes, most: int) -> None:
    """Days where there are few, years where there are many, each said once; so many marks at the most."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=most)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)


def grown(returns: Floats, times: Times, unit: str) -> dict[int, float]:
    """What simple returns of bars amount to in each calendar unit, "M" or "Y", by its number since 1970; in UTC."""
    periods = times.astype(f"datetime64[{unit}]").astype(int)
    return {int(one): float(np.prod(1.0 + returns[periods == one]) - 1.0) for one in np.unique(periods)}
