"""What every statistic takes: a matrix of returns, rows periods, columns trials, checked once and never shifted.

A name stays with its column from here to the result. A flat column stays in its place: it has no Sharpe ratio, so it
is no evidence and never a winner.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optim.errors import StatisticsError, counted, shown

Floats = NDArray[np.float64]

MIN_ROWS = 30  # periods; under that no statistic here has any power
LARGEST = 1e100  # a return, so that squares and their sums fit a float
FLAT = 1e-12  # variance / mean square; a smaller share is rounding, not risk (a Sharpe ratio of a million a period)


class Returns(NamedTuple):
    """Checked returns: `values` float64[T, N] per period, one of `names` for each column."""

    values: Floats
    names: tuple[Hashable, ...]


def checked(returns: Any, names: Sequence[Hashable] | None = None) -> Returns:
    """The matrix of returns and the names of its columns.

    Args:
        returns: T x N, rows periods in time order, columns trials; an array, or a DataFrame whose columns are named.
        names: one for each column of an array, by default 0 ... N - 1.

    Raises:
        StatisticsError: not numbers, not two-dimensional, missing or infinite values, fewer than 30 rows, names that
            repeat or do not fit, dates as columns, rows that are not in time order, or a shape that looks transposed.
    """
    named = hasattr(returns, "columns")
    if named and names is not None:
        raise StatisticsError("a DataFrame names its columns itself: leave names out, or pass its values")
    if named and _is_dates(returns.columns):
        raise StatisticsError(
            "the columns of returns are dates: rows must be periods and columns trials, pass returns.T"
        )
    dated = _in_time_order(returns)
    names = list(returns.columns) if named else names
    values = _numbers(returns)
    if values.ndim != 2:
        raise StatisticsError(f"returns must be a matrix, rows periods and columns trials, not of shape {values.shape}")
    rows, columns = values.shape
    if names is not None and len(names) != columns:
        why = ": the matrix looks transposed, pass returns.T" if len(names) == rows else ""
        raise StatisticsError(f"{counted(len(names), 'name')} for {counted(columns, 'column')} of returns{why}")
    if not columns and rows:
        raise StatisticsError("returns have no column: there is no trial")
    if rows < MIN_ROWS or (rows < columns / 10 and not dated):
        looks = ": it looks transposed, pass returns.T" if columns > rows else ""
        raise StatisticsError(
            f"returns have {counted(rows, 'row')} (periods) and {counted(columns, 'column')} (trials), "
            f"but at least {MIN_ROWS} periods and a tenth of the number of trials are needed{looks}"
        )
    labels = tuple(range(columns)) if names is None else tuple(names)
    if not all(isinstance(name, Hashable) for name in labels):
        raise StatisticsError("the name of a column must be hashable: a text, a number, a tuple of such")
    if len(set(labels)) < columns:
        twice = next(name for position, name in enumerate(labels) if name in labels[:position])
        raise StatisticsError(f"the name {shown(twice)} stands for more than one column of returns")
    _refuse_gaps(values, labels)
    return Returns(values, labels)


def checked_series(returns: Any) -> Floats:
    """One trial's returns, float64[T].

    Raises:
        StatisticsError: as `checked`, or more than one column.
    """
    _in_time_order(returns)
    values = _numbers(returns)
    if values.ndim != 1:
        raise StatisticsError(f"the returns of one trial must be one-dimensional, not of shape {values.shape}")
    return checked(values[:, None], ["returns"]).values[:, 0]


def number(name: str, value: float, low: float = -np.inf, high: float = np.inf, *, above: bool = False) -> float:
    """A finite number in [low, high], or above low.

    Raises:
        StatisticsError: anything else.
    """
    rule = f"greater than {low:g}" if above else f"at least {low:g}"
    wanted = "finite" if low == -np.inf else rule if high == np.inf else f"{rule} and at most {high:g}"
    try:
        fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        fits = False
    if not fits or value > high or value < low or (above and value == low):
        raise StatisticsError(f"{name} must be a number, {wanted}, but is {shown(value)}")
    return float(value)


def whole(name: str, value: int, low: int, high: int) -> int:
    """A whole number in [low, high].

    Raises:
        StatisticsError: anything else.
    """
    if int(number(name, value, low, high)) != value:
        raise StatisticsError(f"{name} must be a whole number, but is {shown(value)}")
    return int(value)


def is_flat(values: Floats) -> NDArray[np.bool_]:
    """bool[N]: the columns whose variance is nothing but rounding."""
    _, deviation, size = _moments(values)
    return np.asarray(deviation**2 <= FLAT * size)


def excess_over(values: Floats, column: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Returns less those of one column [T, N], and bool[N]: which vary, and so does their difference from it."""
    excess = values - values[:, [column]]
    largest = np.maximum(np.abs(values).max(axis=0), np.abs(values[:, column]).max())
    differs = excess.var(axis=0) > FLAT * largest**2 / len(values)  # less is rounding
    return excess, differs & ~is_flat(excess) & ~is_flat(values)


def standardised(values: Floats) -> tuple[Floats, Floats]:
    """Per column: z scores [T, N] (population deviation) and Sharpe ratios [N] (ddof 1); 0 where a column is flat."""
    scale = _scale(values)
    mean, deviation, size = _moments(values)
    flat = deviation**2 <= FLAT * size
    safe = np.where(flat, 1.0, deviation)
    z = np.where(flat, 0.0, (values / scale - mean) / safe)
    rows = len(values)
    return z, np.where(flat, 0.0, mean / safe * np.sqrt((rows - 1) / rows))


def distinct(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first of each set of identical columns, intp[M] in their order, and of which set each is, intp[N]."""
    seen: dict[bytes, int] = {}
    columns = np.ascontiguousarray(values.T) + 0.0  # + 0: no negative zeros
    group = [seen.setdefault(column.tobytes(), len(seen)) for column in columns]
    return np.unique(group, return_index=True)[1].astype(np.intp), np.array(group, dtype=np.intp)


def position(names: Sequence[Hashable], benchmark: Hashable) -> int:
    """The column of the benchmark.

    Raises:
        StatisticsError: there is none of that name.
    """
    if benchmark not in names:
        raise StatisticsError(f"the benchmark {shown(benchmark)} is no column of returns: there are {shown([*names])}")
    return list(names).index(benchmark)


def _scale(values: Floats) -> Floats:
    """A column's largest absolute value, 1 where all are 0: squares of scaled values neither overflow nor vanish."""
    largest = np.abs(values).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


def _moments(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, population deviation and mean square of each scaled column."""
    scaled = values / _scale(values)
    mean = scaled.mean(axis=0)
    centred = scaled - mean
    return mean, np.sqrt(np.einsum("ij,ij->j", centred, centred) / len(values)), (scaled**2).mean(axis=0)


def _numbers(returns: Any) -> Floats:
    try:
        if hasattr(returns, "to_numpy"):  # pandas: its missing values become NaN
            values = returns.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            filled = returns.filled(np.nan) if isinstance(returns, np.ma.MaskedArray) else returns
            values = np.asarray(filled)
            if values.dtype.kind not in "fiu":
                raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise StatisticsError("returns must be numbers, in rows of the same length, none missing") from None


def _in_time_order(returns: Any) -> bool:
    """Whether the rows have dates; refused where those do not rise."""
    index: Any = getattr(returns, "index", None)
    if not _is_dates(index):
        return False
    if not (index.is_monotonic_increasing and index.is_unique):
        raise StatisticsError("the rows of returns must be in time order, each date once: sort them by their dates")
    return True


def _is_dates(index: Any) -> bool:
    if "pandas" not in sys.modules or not isinstance(index, sys.modules["pandas"].Index) or not len(index):
        return False
    return all(
        hasattr(label, "isoformat") or hasattr(label, "asfreq") for label in index
    )  # dates, stamps, pandas periods


def _refuse_gaps(values: Floats, names: Sequence[Hashable]) -> None:
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise StatisticsError(
            f"the returns of {shown(names[column])} are {values[row, column]} in row {row}: "
            f"every return must be a number within +-{LARGEST:g} ({counted(int(wrong.sum()), 'value')} to mend)"
        )
