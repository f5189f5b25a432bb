"""Dates written as text -> times. One reading, or a DataError that names the readings there could be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import DataError, Fault, refused

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "write it as 2000-12-31 or 2000-12-31T09:30:00, or give date_format, e.g. '%d/%m/%Y %H:%M'"
_ZONE = r"(?:Z|[+-]\d\d(?::?\d\d)?)"
_ISO = rf"\d{{4}}-\d\d(?:-\d\d(?:[ T]\d\d(?::?\d\d(?::?\d\d(?:\.\d{{1,9}})?)?)? ?{_ZONE}?)?)?"
_ISO_WITH_OFFSET = rf"\d{{4}}-\d\d-\d\d[ T].*{_ZONE}"
_NAMED_OFFSET = r"(?:UTC|GMT)(?=[+-]\d)"  # GMT+0100
_DAY_OR_MONTH_FIRST = "either"
_FORMS = tuple(  # of a date: what it looks like, how it is read; `{s}` is what stands between the parts
    (re.compile(pattern, re.ASCII), form)
    for pattern, form in (
        (r"\d{8}(?!\d)()", "%Y%m%d"),
        (r"\d{4}([-/.])\d{1,2}\1\d{1,2}(?!\d)", "%Y{s}%m{s}%d"),
        (r"\d{1,2}([-/. ])[A-Za-z]{3,9}\1\d{4}(?!\d)", "%d{s}%b{s}%Y"),
        (r"[A-Za-z]{3,9} \d{1,2}(,?) \d{4}(?!\d)", "%b %d{s} %Y"),
        (r"\d{1,2}([-/.])\d{1,2}\1\d{4}(?!\d)", _DAY_OR_MONTH_FIRST),
    )
)
_SHORT_YEAR = re.compile(r"\d{1,2}([-/. ])(?:\d{1,2}|[A-Za-z]{3,9})\1\d\d(?!\d)", re.ASCII)
_CLOCK = re.compile(  # what may follow a date
    r"(?P<gap>T|,? )(?:\d{1,2}:\d\d(?P<seconds>:\d\d)?|\d{4}(?P<compact>\d\d)?)(?P<fraction>\.\d{1,9})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<zone> ?(?:Z|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
_WIDTHS = {"Y": 4, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2, "y": 2, "j": 3}
_LETTERS = {"b": "[A-Za-z]+", "B": "[A-Za-z]+", "p": "[AaPp][Mm]", "z": "(?:Z|[+-][0-9]{2}:?[0-9]{2})", "%": "%"}


def check_date_format(date_format: str | None) -> None:
    """DataError when it names no year: pandas would put every bar into 1900."""
    if date_format is not None and re.search(r"%[Yy]", str(date_format)) is None:
        raise DataError(f"date_format = {date_format!r}: must have a year, %Y or %y, e.g. '%d/%m/%Y'")


def tidy(text: pd.Series[str]) -> pd.Series[str]:
    """Without blanks around and doubled ones within; UTC as an offset."""
    spaced = text.str.strip().str.replace(r"\s+", " ", regex=True)
    if len(spaced) and re.search(_NAMED_OFFSET, spaced.iloc[0]):
        spaced = spaced.str.replace(_NAMED_OFFSET, "", regex=True)
    return spaced.str.replace(r" ?(?:UTC|GMT)$", "Z", regex=True)


def is_iso(text: str) -> bool:
    """Whether it is an ISO 8601 date, or date and time."""
    return re.fullmatch(_ISO, text, re.ASCII) is not None


def read_dates(text: pd.Series[str], date_format: str | None = None) -> pd.DatetimeIndex:
    """Times of tidied texts: in UTC when they carry offsets, else naive. DataError names row and value."""
    if date_format is not None:
        return parse(text, date_format, f"does not fit date_format = {date_format!r}")
    if text.str.fullmatch(_ISO).all():
        aware = text.str.fullmatch(_ISO_WITH_OFFSET).to_numpy(dtype=bool)
        if aware.any() and not aware.all():
            row = int((aware != aware[0]).argmax())
            raise DataError(f"row {row + 1}: {text.iloc[row]!r} and {text.iloc[0]!r}: only one of them has an offset")
        return _parsed(text, "ISO8601", bool(aware.any()), "is no timestamp")
    found = _format_of(text)
    return parse(text, found, f"is no timestamp of the form {found}, as the first row is; {REMEDY}")


def parse(text: pd.Series[str], form: str, fault: str) -> pd.DatetimeIndex:
    """Every row read as `form`; where digits stand side by side, each part has its full width.

    pandas alone reads 1022020 as the tenth of February when the zero of %d%m%Y was lost.
    """
    if not (fits := text.str.fullmatch(_pattern(form)).to_numpy(dtype=bool)).all():
        raise _faulty(text, ~fits, fault)
    return _parsed(text, form, "%z" in form or "%Z" in form, fault)


def _parsed(text: pd.Series[str], form: str, aware: bool, fault: str) -> pd.DatetimeIndex:
    import pandas as pd

    try:
        times = pd.DatetimeIndex(pd.to_datetime(text, format=form, utc=aware, errors="coerce"))
    except ValueError as error:  # a directive pandas does not know
        raise DataError(f"date_format = {form!r}: {str(error).splitlines()[0]}") from None
    if (bad := np.asarray(times.isna())).any():
        raise _faulty(text, bad, fault)
    return times


def _faulty(text: pd.Series[str], bad: NDArray[np.bool_], fault: str) -> DataError:
    values = text.to_numpy()
    return refused([Fault(int(i) + 1, f"{values[i]!r} {fault}") for i in np.flatnonzero(bad)])


def _pattern(form: str) -> str:
    """A regular expression of what `form` writes."""
    tokens = re.findall(r"%.|[^%]", form)
    digits = [len(token) == 2 and token[1] in (*_WIDTHS, "f") for token in tokens]
    parts = []
    for i, token in enumerate(tokens):
        if len(token) == 1:
            parts.append(re.escape(token))
        elif token[1] in _WIDTHS:
            width = _WIDTHS[token[1]]
            alone = not any(digits[j] for j in (i - 1, i + 1) if 0 <= j < len(tokens)) and token[1] != "Y"
            parts.append(f"[0-9]{{1,{width}}}" if alone else f"[0-9]{{{width}}}")
        else:
            parts.append("[0-9]{1,9}" if token[1] == "f" else _LETTERS.get(token[1], ".+"))
    return "".join(parts)


def _format_of(text: pd.Series[str]) -> str:
    """The one format of a column, from its first row, and from all of them where that leaves a choice."""
    sample = text.iloc[0]
    for pattern, form in _FORMS:
        date = pattern.match(sample)
        rest = None if date is None else _clock_format(sample[date.end() :])
        if date is None or rest is None:
            continue
        if form == _DAY_OR_MONTH_FIRST:
            return _day_or_month_first(text, date[1], rest)
        if "%b" in form and text.str.contains("[A-Za-z]{4,}").any():
            form = form.replace("%b", "%B")
        return form.format(s=date[1]) + rest
    if (date := _SHORT_YEAR.match(sample)) and _clock_format(sample[date.end() :]) is not None:
        readings = list(_short_year_readings(date[0], date[1]))
        shown = " or ".join(_shown(day) for _, day in readings) or "several dates"
        example = readings[0][0] if readings else "%d/%m/%y"
        raise DataError(
            f"row 1: {sample!r} has a year of two digits and could be {shown}: give date_format, e.g. '{example}'"
        )
    raise DataError(f"row 1: {sample!r} is no timestamp that can be read without guessing; {REMEDY}")


def _clock_format(rest: str) -> str | None:
    """The format of what follows the date; None when it is no time of day."""
    if not rest:
        return ""
    found = _CLOCK.fullmatch(rest)
    if found is None:
        return None
    hour, half, zone = "%I" if found["half"] else "%H", found["half"] or "", found["zone"] or ""
    clock = f"{hour}:%M" + (":%S" if found["seconds"] else "")
    if ":" not in rest.removesuffix(zone):
        clock = f"{hour}%M" + ("%S" if found["compact"] else "")
    if found["fraction"]:
        if not clock.endswith("%S"):
            return None
        clock += ".%f"
    half_form = "" if not half else " %p" if half.startswith(" ") else "%p"
    return found["gap"] + clock + half_form + ("" if not zone else " %z" if zone.startswith(" ") else "%z")


def _day_or_month_first(text: pd.Series[str], separator: str, rest: str) -> str:
    """Which of the two the whole column says; DataError when it says neither."""
    parts = text.str.extract(r"^(\d{1,2})[-/.](\d{1,2})[-/.]").apply(_as_numbers)
    first, second = parts[0].to_numpy(), parts[1].to_numpy()
    day_first, month_first = (form.format(s=separator) + rest for form in ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y"))
    if (first > 12).any() and (second > 12).any():
        rows = int((first > 12).argmax()), int((second > 12).argmax())
        raise DataError(
            f"row {rows[0] + 1}: {text.iloc[rows[0]]!r} is day first, row {rows[1] + 1}: {text.iloc[rows[1]]!r} is "
            "month first; write all dates one way, best as 2000-12-31"
        )
    if (first > 12).any():
        return day_first
    if (second > 12).any():
        return month_first
    doubtful = first != second
    if not doubtful.any():
        return day_first  # both readings are one
    row = int(doubtful.argmax())
    day, month = (parse(text.iloc[[row]], form, "is no date")[0] for form in (day_first, month_first))
    ordered = [form for form in (day_first, month_first) if parse(text, form, "is no date").is_monotonic_increasing]
    hint = f" (only {ordered[0]!r} is in order)" if len(ordered) == 1 else ""
    raise DataError(
        f"row {row + 1}: {text.iloc[row]!r} could be day first ({_shown(day)}) or month first ({_shown(month)}), and "
        f'no row decides: give date_format = "{day_first}" or "{month_first}"{hint}'
    )


def _as_numbers(column: Any) -> Any:
    return column.astype(float).fillna(0.0)


def _short_year_readings(date: str, s: str) -> Iterator[tuple[str, datetime]]:
    for form in (f"%d{s}%m{s}%y", f"%m{s}%d{s}%y", f"%y{s}%m{s}%d", f"%d{s}%b{s}%y", f"%y{s}%b{s}%d"):
        try:
            yield form, datetime.strptime(date, form)
        except ValueError:
            continue


def _shown(day: datetime) -> str:
    return f"{day.day} {day:%b %Y}"
