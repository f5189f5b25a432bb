"""How a table of bars is written: what a user tells of it (Format), what was understood (Reading), names of columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from keyword import iskeyword
from typing import NamedTuple

from engine.data.times import TIME_COLUMNS
from engine.errors import DataError

PRICES = ("open", "high", "low", "close")
ADJUSTED = "adj_close"
OURS = ("timestamp", "date", "time", *PRICES, "volume", ADJUSTED)
UNNAMED = "unnamed: 0"  # pandas' name for a first column without one
TIME_NAMES = {
    "gmt time": "timestamp", "local time": "timestamp", "open time": "timestamp", "unix": "timestamp",
    "unix timestamp": "timestamp", "time (utc)": "timestamp", "date/time": "timestamp", "date time": "timestamp",
    "ts": "timestamp", "t": "timestamp", "datum/zeit": "timestamp", "zeitpunkt": "timestamp",
    "zeitstempel": "timestamp", "datum": "date", "zeit": "time", "uhrzeit": "time",
}  # fmt: skip
_PRICE_NAMES = {
    "eröffnung": "open", "eröffnungskurs": "open", "eroeffnung": "open", "eroeffnungskurs": "open", "erster": "open",
    "open price": "open", "o": "open",
    "hoch": "high", "höchst": "high", "hochkurs": "high", "tageshoch": "high", "high price": "high", "h": "high",
    "tief": "low", "tiefst": "low", "tiefkurs": "low", "tagestief": "low", "low price": "low", "l": "low",
    "schluss": "close", "schluß": "close", "schlusskurs": "close", "schlußkurs": "close", "close price": "close",
    "close/last": "close", "price": "close", "c": "close",
}  # fmt: skip
_TAKEN = (*TIME_COLUMNS, *PRICES, "volume", "count", "index")  # by us, or by every tuple
_VOLUME_NAMES = ("stücke", "stuecke", "volumen", "umsatz", "vol", "vol.", "tickvol", "tick_volume", "v")
_ADJUSTED_NAMES = ("adj close", "adj_close", "adjclose", "adjusted close", "adjusted_close")


class Format(NamedTuple):
    """What is told of a file; None: it is found out. The table [data.format] of a study has these keys."""

    columns: Mapping[str, str] | Sequence[str] = ()  # {"open": "Eröffnung"}, or the names of a file without a header
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    epoch_unit: str | None = None  # "s", "ms", "us", "ns"
    repeated_hour: str | None = None  # "in order"
    adjusted: bool = False  # prices times Adj Close / Close
    drop_empty: bool = False  # rows without any price are left out, not only the last


class Reading(NamedTuple):
    """What was understood of a file or a frame."""

    format: str  # "CSV", "Binance klines", "Parquet" ...
    columns: Mapping[str, str]  # ours -> the file's
    separator: str = ""  # "": no text
    decimal: str = "."
    thousands: str = ""
    encoding: str = ""
    order: str = "oldest first"
    zone: str = "UTC"  # of naive times
    first_line: int = 0  # of the data; 0: the file has no lines
    dropped: tuple[int, ...] = ()  # rows without any price that were left out, counted from 1
    adjusted: bool = False
    features: Mapping[str, str] = {}  # further columns of numbers: their names for a strategy -> the file's
    texts: Mapping[str, str] = {}  # further columns that are not: their names -> the first value that says so
    notes: tuple[str, ...] = ()  # what a reader should know


def make_format(told: Format | Mapping[str, object] | None) -> Format:
    """A Format of whatever was given; DataError for a key or value that is none."""
    if told is None:
        return Format()
    given = told._asdict() if isinstance(told, Format) else dict(told)
    for key in given:
        if key not in Format._fields:
            raise DataError(
                f"format {key}: no such key; there are {', '.join(Format._fields)}{_like(key, Format._fields)}"
            )
    made = Format(**given)
    if isinstance(made.columns, str):
        raise DataError('format columns: must be a list of names or a table such as { open = "Kurs" }')
    for key, allowed in (("decimal", (".", ",")), ("thousands", (".", ",", "'", " "))):
        value = getattr(made, key)
        if value is not None and value not in allowed:
            raise DataError(f"format {key} = {value!r}: must be one of {' '.join(allowed)}")
    if made.decimal is not None and made.decimal == made.thousands:
        raise DataError(f"format decimal = thousands = {made.decimal!r}: they must differ")
    if made.separator is not None and len(made.separator) != 1:
        raise DataError(f'format separator = {made.separator!r}: must be one character, as ";" or "\\t"')
    if isinstance(made.columns, Mapping) and (wrong := [name for name in made.columns if name not in OURS]):
        raise DataError(
            f'format columns: {wrong[0]!r} is none of {", ".join(OURS)}; write {{ open = "name in the file" }}'
        )
    return made


def plain_name(column: object) -> str:
    """A column's name in lower case, without blanks and angle brackets."""
    return str(column).strip().strip("<>").lower()


def name_columns(present: Iterable[object], told: Format) -> dict[str, int]:
    """Which column is which: our name -> its position. What is told comes first, then our own names, then others'.

    Where time and prices have our own names, only `volume` is the volume: a file means what it always meant.
    Raises DataError for a column that is told and not there, is missing, or is there twice.
    """
    listed = list(present)
    names = [plain_name(column) for column in listed]
    found: dict[str, int] = {}
    if isinstance(told.columns, Mapping):
        for ours, theirs in told.columns.items():
            at = [i for i, column in enumerate(listed) if str(column) == theirs]
            at = at or [i for i, name in enumerate(names) if name == plain_name(theirs)]
            if not at:
                raise DataError(
                    f"format columns: no column {theirs!r}{_like(theirs, map(str, listed))}; {_there(listed)}"
                )
            found[ours] = at[0]
    own = (*TIME_COLUMNS, *PRICES, "volume")
    timed = any(ours in found for ours in ("timestamp", "date"))
    for i, name in enumerate(names):
        if name in own and name not in found and i not in found.values():
            _refuse_twice(name, names)
            if name in ("volume", *PRICES) or not timed:
                found[name] = i
    classic = all(price in found for price in PRICES) and any(column in found for column in TIME_COLUMNS)
    if not classic:
        _add(found, names, _PRICE_NAMES)
        if not any(column in found for column in ("timestamp", "datetime", "date", "open_time")):
            _add(found, names, TIME_NAMES)
        if not any(column in found for column in TIME_COLUMNS) and UNNAMED in names:
            found["timestamp"] = names.index(UNNAMED)
        for name in _VOLUME_NAMES:
            if "volume" not in found and name in names:
                found["volume"] = names.index(name)
    if ADJUSTED not in found and (at := [i for i, name in enumerate(names) if name in _ADJUSTED_NAMES]):
        found[ADJUSTED] = at[0]
    return found


def check_columns(found: Iterable[str], present: Sequence[object]) -> None:
    """DataError when a price is missing."""
    if missing := [price for price in PRICES if price not in found]:
        raise DataError(
            f"missing column {', '.join(missing)}; present are {', '.join(str(column).lower() for column in present)}; "
            f'say which it is with [data.format] columns = {{ {missing[0]} = "..." }}'
        )


def feature_names(others: Mapping[str, str]) -> dict[str, str]:
    """Names for the columns that are no time, price or volume, by their place: `<TICKVOL>` is tickvol, `Fear & Greed`
    fear_greed. Times and columns without a name are none.

    Raises DataError where two columns would have one name.
    """
    found: dict[str, str] = {}
    for place, theirs in others.items():
        plain = plain_name(theirs)
        name = re.sub(r"\W+", "_", plain).strip("_")
        if not name or plain in TIME_NAMES or re.search(r"^unnamed|time$|date$|^ignore$", name):
            continue
        name = f"column_{name}" if name[0].isdigit() or iskeyword(name) or name in _TAKEN else name
        if name in found.values():
            twin = next(others[at] for at, one in found.items() if one == name)
            raise DataError(f"columns {twin!r} and {theirs!r} would both be the feature {name}; rename one of them")
        found[place] = name
    return found


def volume_note(found: Mapping[str, int], present: Sequence[object]) -> tuple[str, ...]:
    """What is said of columns that look like a volume, where none was read."""
    alike = [str(column) for column in present if plain_name(column).startswith(("vol", "tickvol", "tick_vol"))]
    if "volume" in found or not alike:
        return ()
    return (f'volume is 0: {", ".join(alike)} was not read; columns = {{ volume = "{alike[0]}" }} reads it',)


def _add(found: dict[str, int], names: Sequence[str], known: Mapping[str, str]) -> None:
    for i, name in enumerate(names):
        ours = known.get(name)
        if ours is not None and ours not in found and i not in found.values():
            if len(name) == 1 and not {"o", "h", "l", "c"} <= set(names):
                continue
            found[ours] = i


def _refuse_twice(name: str, names: Sequence[str]) -> None:
    if names.count(name) > 1:
        raise DataError(f"column {name} is there more than once")


def _there(listed: Iterable[object]) -> str:
    return f"present are {', '.join(map(str, listed))}"


def _like(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
