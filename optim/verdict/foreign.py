"""Results of other tools, read: a matrix of returns, or a table with a Sharpe ratio for each trial."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.data.times import read_times
from engine.errors import DataError
from optim.errors import SpecError, counted, cut, shown

if TYPE_CHECKING:
    import pandas as pd

SHARPES = ("Sharpe Ratio", "sharpe_ratio", "sharpe", "Sharpe")  # as backtesting.py, vectorbt, optim, others call it
_NO_SPREAD = -100.0  # freqtrade's Sharpe ratio of trades that do not differ
_DAY, _YEAR = 86_400_000_000_000, 365.25  # nanoseconds; days


class Matrix(NamedTuple):
    """Net returns per period, a column for each trial."""

    values: NDArray[np.float64]  # (T, N)
    names: tuple[str, ...]
    times: NDArray[np.int64]  # nanoseconds since 1970, ascending


class Table(NamedTuple):
    """Annual Sharpe ratios by trial; NaN for one that has none."""

    sharpes: dict[str, float]
    years: float | None  # of data behind them, where the file says so
    periods_per_year: float  # on which they were taken
    what: str


def read_results(path: Path) -> Matrix | Table:
    """What a file holds, recognised by its content. Raises SpecError in one sentence."""
    try:
        with path.open("rb") as handle:
            start = handle.read(4)
    except OSError as error:
        raise SpecError(
            f"{path}: {'no such file' if not path.exists() else f'cannot be read: {error.strerror}'}"
        ) from None
    if start.startswith(b"{"):
        return _hyperopt(path)
    frame = _frame(path, parquet=start == b"PAR1")
    named = next((name for name in SHARPES if name in frame.columns), None)
    return _matrix(path, frame) if named is None else _table(path, frame, named)


def _frame(path: Path, *, parquet: bool) -> pd.DataFrame:
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if parquet else pd.read_csv(path)
    except Exception as error:  # noqa: BLE001 - whatever a parser finds
        raise SpecError(f"{path}: cannot be read as a table: {cut(str(error))}") from None
    indexed = parquet and (frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex))
    return frame.reset_index() if indexed else frame


def _matrix(path: Path, frame: pd.DataFrame) -> Matrix:
    import pandas as pd

    first = str(frame.columns[0]) if len(frame.columns) else ""
    if len(frame.columns) and frame.iloc[:, 0].isin(SHARPES).any():
        raise SpecError(f"{path}: it looks transposed: a table of results has a row for each trial, transpose it")
    try:
        if len(frame.columns) < 2 or not len(frame):
            raise DataError(f"it has {counted(len(frame.columns), 'column')} and {counted(len(frame), 'row')}")
        times = read_times(pd.DataFrame({"timestamp": frame.iloc[:, 0]}))
    except DataError as error:
        raise SpecError(
            f"{path}: neither returns nor results: under one header row, the first column of a table of returns is its "
            f"dates ({shown(first)} is not: {error}), one of a table of results is called one of {', '.join(SHARPES)}"
        ) from None
    wrong = [name for name in frame.columns[1:] if not pd.api.types.is_numeric_dtype(frame[name])]
    if wrong:
        raise SpecError(f"{path}: column {shown(str(wrong[0]))} holds no numbers: returns have one header row")
    if (np.diff(times) <= 0).any():
        raise SpecError(f"{path}: the dates are not in order, each later than the one before")
    return Matrix(frame.iloc[:, 1:].to_numpy(dtype=float), tuple(str(name) for name in frame.columns[1:]), times)


def _table(path: Path, frame: pd.DataFrame, named: str) -> Table:
    """backtesting.py's heat map or stats, vectorbt's stats: one row a trial, its parameters and a Sharpe ratio."""
    import pandas as pd

    ratios = pd.to_numeric(frame[named], errors="coerce").astype(float)
    ratios = ratios.where(np.isfinite(ratios))  # vectorbt says inf of a trial that never trades
    if not ratios.notna().any():
        raise SpecError(f"{path}: no row has a number as {shown(named)}")
    found = dict(zip(_distinct(_labels(frame, named)), ratios.tolist(), strict=True))
    years, said = _years(frame), f"Sharpe ratios ({named}) of {counted(len(ratios), 'trial')}"
    without = int(ratios.isna().sum())
    return Table(found, years, 252.0, f"{said}, {without} of them without one" if without else said)


def _labels(frame: pd.DataFrame, named: str) -> list[str]:
    """What tells the rows apart: the strategy with its parameters, else the columns before the results."""
    if "_strategy" in frame.columns:  # backtesting.py's stats
        return [str(value) for value in frame["_strategy"]]
    columns = list(frame.columns)
    ends = [columns.index(name) for name in ("Start", named) if name in columns]
    telling = [name for name in columns[: min(ends)] if frame[name].nunique() > 1][:6]
    heads = ["" if str(name).startswith(("Unnamed", "index", "level_")) else f"{name} " for name in telling]
    if not telling:
        return [f"row {i + 1}" for i in range(len(frame))]
    rows = frame[telling].itertuples(index=False)
    return [", ".join(f"{head}{value}" for head, value in zip(heads, row, strict=True)) for row in rows]


def _years(frame: pd.DataFrame) -> float | None:
    """From the first start to the last end, where a table of stats has them as dates."""
    import pandas as pd

    if not {"Start", "End"} <= set(frame.columns):
        return None
    try:
        start, end = (read_times(pd.DataFrame({"timestamp": frame[name]})) for name in ("Start", "End"))
    except DataError:
        return None
    return float(end.max() - start.min()) / _DAY / _YEAR or None


def _hyperopt(path: Path) -> Table:
    """freqtrade's hyperopt file: one JSON object a line.

    Its `sharpe` is the mean daily profit over the deviation of the profits of *trades*, times sqrt(365)
    (freqtrade/data/metrics.py, calculate_sharpe); times sqrt(days / trades) it is the trades' annual Sharpe ratio.
    It is 0 without a trade and -100 where trades do not differ: neither is a Sharpe ratio.
    """
    labels, ratios, longest = [], [], 0.0
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                epoch: dict[str, Any] = json.loads(line)
                metrics = epoch["results_metrics"]
                sharpe, trades, days = (float(metrics[key]) for key in ("sharpe", "total_trades", "backtest_days"))
            except (ValueError, KeyError, TypeError):
                raise SpecError(
                    f"{path}: line {number} is no epoch of a freqtrade hyperopt: it has no results_metrics with "
                    "sharpe, total_trades and backtest_days"
                ) from None
            real = trades > 0 and days > 0 and sharpe != _NO_SPREAD and math.isfinite(sharpe)
            labels.append(f"epoch {epoch.get('current_epoch', number)}")
            ratios.append(sharpe * math.sqrt(days / trades) if real else math.nan)
            longest = max(longest, days)
    if all(map(math.isnan, ratios)):
        raise SpecError(f"{path}: no epoch has a Sharpe ratio: none has two trades that differ")
    what = f"a freqtrade hyperopt of {counted(len(labels), 'epoch')}, the Sharpe ratios of its trades made annual"
    return Table(dict(zip(_distinct(labels), ratios, strict=True)), longest / _YEAR or None, 365.0, what)


def _distinct(labels: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return out
