"""Results of other tools, read: a matrix of returns, or a table with a Sharpe ratio for each trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optim.errors import SpecError, cut, shown

if TYPE_CHECKING:
    import pandas as pd

SHARPES = ("Sharpe Ratio", "sharpe_ratio", "sharpe", "Sharpe")  # as backtesting.py, vectorbt, optim, freqtrade call it


class Matrix(NamedTuple):
    """Net returns per period, a column for each trial."""

    values: NDArray[np.float64]  # (T, N)
    names: tuple[str, ...]
    times: NDArray[np.int64]  # nanoseconds since 1970
    what: str


class Table(NamedTuple):
    """Annual Sharpe ratios by trial."""

    sharpes: dict[str, float]
    years: float | None  # of data behind them, where the file says so
    what: str


def read_results(path: Path) -> Matrix | Table:
    """What a file holds, recognised by its content. Raises SpecError in one sentence."""
    if not path.is_file():
        raise SpecError(f"{path}: no such file")
    if path.suffix == ".fthypt":
        return _hyperopt(path)
    frame = _frame(path)
    named = next((name for name in SHARPES if name in frame.columns), None)
    return _matrix(path, frame) if named is None else _table(path, frame, named)


def _frame(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            return frame.reset_index() if frame.index.name or not isinstance(frame.index, pd.RangeIndex) else frame
        return pd.read_csv(path)
    except Exception as error:  # noqa: BLE001 - whatever a parser finds
        raise SpecError(f"{path}: cannot be read as a table: {cut(str(error))}") from None


def _matrix(path: Path, frame: pd.DataFrame) -> Matrix:
    import pandas as pd

    first = frame.columns[0]
    times = pd.to_datetime(frame[first], errors="coerce", utc=True) if frame[first].dtype != float else None
    if times is None or times.isna().any() or len(frame.columns) < 2:
        raise SpecError(
            f"{path}: neither returns nor results: the first column of a table of returns is its dates "
            f"({shown(str(first))} is not), one of a table of results is called one of {', '.join(SHARPES)}"
        )
    wrong = [name for name in frame.columns[1:] if not pd.api.types.is_numeric_dtype(frame[name])]
    if wrong:
        raise SpecError(f"{path}: column {shown(str(wrong[0]))} holds no numbers: returns have one header row")
    names = tuple(str(name) for name in frame.columns[1:])
    moments = times.to_numpy().astype("datetime64[ns]").astype(np.int64)
    if (np.diff(moments) <= 0).any():
        raise SpecError(f"{path}: the dates are not in order, each later than the one before")
    values = frame.iloc[:, 1:].to_numpy(dtype=float)
    return Matrix(values, names, moments, f"returns of {len(names)} trials over {len(values)} periods")


def _table(path: Path, frame: pd.DataFrame, named: str) -> Table:
    """backtesting.py's heat map or vectorbt's stats: one row a trial, parameters and a Sharpe ratio."""
    import pandas as pd

    ratios = pd.to_numeric(frame[named], errors="coerce")
    others = [name for name in frame.columns if name != named and frame[name].nunique() > 1]
    labels = [
        ", ".join(f"{name} {value}" for name, value in zip(others[:6], row, strict=False)) or f"row {i + 1}"
        for i, row in enumerate(frame[others[:6]].itertuples(index=False))
    ]
    found = dict(zip(_distinct(labels), ratios.tolist(), strict=True))
    if not ratios.notna().any():
        raise SpecError(f"{path}: no row has a number as {shown(named)}")
    return Table(found, None, f"a table of {len(found)} trials with {named}")


def _hyperopt(path: Path) -> Table:
    """freqtrade's hyperopt file: one JSON object a line."""
    sharpes: dict[str, float] = {}
    days = 0.0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            epoch: dict[str, Any] = json.loads(line)
            metrics = epoch["results_metrics"]
            sharpes[f"epoch {number}"] = float(metrics["sharpe"])
            days = max(days, float(metrics.get("backtest_days", 0)))
        except (ValueError, KeyError, TypeError):
            raise SpecError(
                f"{path}: line {number} is no epoch of a freqtrade hyperopt: it has no results_metrics with a sharpe"
            ) from None
    if not sharpes:
        raise SpecError(f"{path}: it holds no epoch")
    return Table(sharpes, days / 365.25 or None, f"{len(sharpes)} epochs of a freqtrade hyperopt")


def _distinct(labels: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return out
