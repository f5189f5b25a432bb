"""The trials table: one row a trial, every parameter and every metric a column, named as Optuna names them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

_ALWAYS = ("number", "datetime_start", "datetime_complete", "duration", "state")
_AT_ONCE = 500  # rows: they stay in the processor's cache from one column to the next
_MISSING = float("nan")  # where a trial has no such name: this very object
_FREE = ("value", "params_", "user_attrs_")


def trials_frame(trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """The columns of `study.trials_dataframe()` but for the system attributes, in the order of the trials' numbers."""
    import pandas as pd

    ordered = sorted(trials, key=lambda trial: trial.number)
    starts, ends = [trial.datetime_start for trial in ordered], [trial.datetime_complete for trial in ordered]
    columns = {
        "number": [trial.number for trial in ordered],
        **_values([trial.values or () for trial in ordered]),
        "datetime_start": starts,
        "datetime_complete": ends,
        "duration": [end - start if start and end else None for start, end in zip(starts, ends, strict=True)],
        **{name: _one_kind(column) for name, column in _by_name("params_", [t.params for t in ordered]).items()},
        **_by_name("user_attrs_", [trial.user_attrs for trial in ordered]),
        "state": [trial.state.name for trial in ordered],
    }
    return pd.DataFrame(columns, dtype=None if trials else object)


def write_csv(frame: pd.DataFrame, handle: BinaryIO) -> None:
    """A trials table as CSV: durations and lists as pandas writes them, all else by Arrow, which is much faster."""
    import pyarrow
    import pyarrow.csv

    plain = [name for name in frame.columns if frame[name].dtype.kind in "biufM" or frame[name].dtype == "str"]
    texts = {name: _as_text(frame[name]).where(frame[name].notna()) for name in frame.columns if name not in plain}
    table = pyarrow.Table.from_pandas(frame.assign(**texts), preserve_index=False)
    pyarrow.csv.write_csv(table, handle)


def _as_text(column: pd.Series) -> pd.Series:
    """A column as pandas writes it; a duration once, however many trials took so long."""
    import pandas as pd

    if column.dtype.kind != "m":
        return column.astype(str)
    places, durations = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(pd.Series(durations).astype(str).to_numpy()[places], index=column.index)


def is_trials_table(names: Sequence[str]) -> bool:
    """Whether these are the columns of a trials table: all that every one has, and no other's."""
    return {*_ALWAYS} <= {*names} and all(name in _ALWAYS or name.startswith(_FREE) for name in names)


def _values(rows: Sequence[Sequence[float]]) -> dict[str, list[Any]]:
    """The values of trials by column, as Optuna names it; no column where no trial has any."""
    width = max(map(len, rows), default=0)
    names = ["value"] if width == 1 else [f"values_{i}" for i in range(width)]
    return {name: [row[i] if i < len(row) else math.nan for row in rows] for i, name in enumerate(names)}


def _by_name(prefix: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What rows of named values have, by column, in an array where all are floats; _MISSING where one has none."""
    names = dict.fromkeys(name for kind in dict.fromkeys(map(tuple, rows)) for name in kind)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        for name, parts in columns.items():
            part = [row.get(name, _MISSING) for row in some]
            if {*map(type, part)} == {float}:
                parts.append(np.array(part))
    n_parts = -(-len(rows) // _AT_ONCE)
    return {
        prefix + name: np.concatenate(parts) if len(parts) == n_parts else [row.get(name, _MISSING) for row in rows]
        for name, parts in columns.items()
    }


def _one_kind(column: Any) -> Any:
    """A parameter's column. Choices of texts, numbers and truth values are texts: no file format has them mixed."""
    import pandas as pd

    if isinstance(column, np.ndarray):
        return column
    kinds = {type(value) for value in column if value is not _MISSING}
    if len({kind if issubclass(kind, str | bool) else float for kind in kinds}) < 2:
        return column
    return pd.Series([None if value is _MISSING else str(value) for value in column], dtype=object)
