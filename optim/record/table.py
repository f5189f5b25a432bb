"""The trials table: one row a trial, every parameter and every metric a column, named as Optuna names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import FrozenTrial

_ALWAYS = ("number", "datetime_start", "datetime_complete", "duration", "state")
_GROUPS = ("number", "value", "datetime_", "duration", "params_", "user_attrs_", "state")
_FREE = ("value", "params_", "user_attrs_")


def trials_frame(trials: Sequence[FrozenTrial]) -> pd.DataFrame:
    """The columns of `study.trials_dataframe()` but for the system attributes, in the order of the trials' numbers."""
    import pandas as pd

    params, attrs = _Columns("params_"), _Columns("user_attrs_")
    rows = [_row(trial, params, attrs) for trial in sorted(trials, key=lambda trial: trial.number)]
    names = dict.fromkeys(name for kind in (_ALWAYS, *dict.fromkeys(map(tuple, rows))) for name in kind)
    frame = pd.DataFrame(rows, columns=sorted(names, key=_group))
    for name in frame.columns:  # a choice of texts and numbers is a column of texts: no file format has mixed ones
        if name.startswith("params_") and len({_kind(row[name]) for row in rows if name in row}) > 1:
            frame[name] = pd.Series([str(row[name]) if name in row else None for row in rows], dtype=object)
    return frame


def write_csv(frame: pd.DataFrame, handle: BinaryIO) -> None:
    """A trials table as CSV: durations and lists as pandas writes them, all else by Arrow, which is much faster."""
    import pyarrow
    import pyarrow.csv

    plain = [name for name in frame.columns if frame[name].dtype.kind in "biufM" or frame[name].dtype == "str"]
    texts = {name: frame[name].astype(str).where(frame[name].notna()) for name in frame.columns if name not in plain}
    table = pyarrow.Table.from_pandas(frame.assign(**texts), preserve_index=False)
    pyarrow.csv.write_csv(table, handle)


def is_trials_table(names: Sequence[str]) -> bool:
    """Whether these are the columns of a trials table: all that every one has, and no other's."""
    return {*_ALWAYS} <= {*names} and all(name in _ALWAYS or name.startswith(_FREE) for name in names)


def _kind(value: Any) -> type:
    return type(value) if isinstance(value, str | bool) else float


class _Columns(dict[str, str]):
    """Names of columns by what they show: a million rows share them."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, name: str) -> str:
        self[name] = column = self._prefix + name
        return column


def _row(trial: FrozenTrial, params: _Columns, attrs: _Columns) -> dict[str, Any]:
    values: Sequence[float] = trial.values or ()
    start, end = trial.datetime_start, trial.datetime_complete
    return {
        "number": trial.number,
        **({"value": values[0]} if len(values) == 1 else {f"values_{i}": value for i, value in enumerate(values)}),
        "datetime_start": start,
        "datetime_complete": end,
        "duration": end - start if start and end else None,
        **{params[name]: value for name, value in trial.params.items()},
        **{attrs[name]: value for name, value in trial.user_attrs.items()},
        "state": trial.state.name,
    }


def _group(name: str) -> int:
    return next(i for i, group in enumerate(_GROUPS) if name.startswith(group))
