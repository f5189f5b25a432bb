"""`optim data`: what was understood of bars in a file, a folder or a long table, and what is strange about them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.bars import Bars
from engine.data.clock import infer_periods_per_year
from engine.data.formats import Reading, make_format
from engine.data.inspect import Findings, inspect, spoken
from engine.data.load import content_hash, read_bars
from engine.data.rows import BadRowsError, bars_of
from engine.data.symbols import read_symbols
from engine.data.table import is_readable, read_table
from engine.errors import MOST_FAULTS, DataError, Fault
from optim.errors import SpecError, counted
from optim.problem.data_notes import findings_as_notes, splits_column
from optim.report.chart import line_of
from optim.report.screen import Screen

EXIT_WRONG, EXIT_UNREADABLE = 1, 2
_SEPARATED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
_NAMES = {"tab": "\t", "\\t": "\t", "blank": " ", "space": " "}


class Seen(NamedTuple):
    """A file as it was read: its bars and what was found in them, or the rows that are no bars."""

    reading: Reading
    bars: Bars | None
    found: Findings | None
    faults: tuple[Fault, ...]
    lines: list[int]  # of the rows, where the file is a text and rows are spoken of

    def place(self, row: int) -> str:
        """Where a row is: its line in a text, else its number."""
        return f"line {line}" if (line := self.line(row)) else f"row {row}"

    def line(self, row: int) -> int | None:
        """The line of a row; None where there are no lines."""
        return self.lines[row - 1] if row <= len(self.lines) else None


def data(options: argparse.Namespace) -> int:
    """Print what was understood of a file; 0, or 1 where something is wrong. DataError where it cannot be read."""
    if options.symbol_column is not None or Path(options.file).is_dir():
        return _several(options)
    seen = _see(options)
    warnings = [] if seen.found is None else [*findings_as_notes(seen.found, splits_column(seen.reading))]
    if options.json:
        print(json.dumps(_as_object(options.file, seen, warnings), allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        lines = [*_understood(options.file, seen), *_told(seen, options.timezone)]
        lines += [f"note      {note}" for note in seen.reading.notes] + [f"wrong     {text}" for text in warnings]
        Screen().print("\n".join(map(_printable, lines)), highlight=False, markup=False, soft_wrap=True)
    return EXIT_WRONG if warnings or seen.faults else 0


def _several(options: argparse.Namespace) -> int:
    """Each file of a folder, or each symbol of a long table, in a line; 2 where one of them cannot be read at all."""
    told: dict[str, Any] = {"format": _told_of(options), "date_format": options.date_format}
    told["timezone"] = options.timezone
    rows: list[dict[str, Any]] = []
    worst = 0
    for name, read, reading in _instruments(options, told):
        row: dict[str, Any] = {"name": name, "wrong": [], "error": None}
        if isinstance(read, DataError):
            said = str(read).removeprefix(f"{Path(options.file) / name}: ").removeprefix(f"{options.file}: {name}: ")
            row["error"], code = said, EXIT_WRONG if read.faults else EXIT_UNREADABLE
        else:
            found = inspect(read, options.timezone)
            row |= {"n_bars": found.n_bars, "step_seconds": found.step_seconds}
            row |= {"first": found.first, "last": found.last}
            row["wrong"] = [*findings_as_notes(found, None if reading is None else splits_column(reading))]
            code = EXIT_WRONG if row["wrong"] else 0
        worst = max(worst, code)
        rows.append(row)
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:<{width}}  {_in_a_line(row)}" for row in rows]
    if options.json:
        print(json.dumps(rows, allow_nan=False))  # noqa: T201 - the list on stdout
    else:
        Screen().print("\n".join(map(_printable, lines)), highlight=False, markup=False, soft_wrap=True)
    return worst


def _instruments(
    options: argparse.Namespace, told: dict[str, Any]
) -> Iterator[tuple[str, Bars | DataError, Reading | None]]:
    place = Path(options.file)
    if not place.is_dir():
        yield from read_symbols(place, options.symbol_column, **told)
        return
    if options.symbol_column is not None:
        raise SpecError(f"--symbol-column {options.symbol_column}: {options.file} is a folder; name one long table")
    files = sorted(file for file in place.iterdir() if file.is_file() and is_readable(file.name))
    if not files:
        raise SpecError(f"{options.file}: no file of bars is in this folder")
    for file in files:
        try:
            yield file.name, *read_bars(file, **told)
        except DataError as error:
            yield file.name, error, None


def _in_a_line(row: dict[str, Any]) -> str:
    if row["error"] is not None:
        return f"wrong: {row['error']}"
    more = f" (and {len(row['wrong']) - 1} more)" if len(row["wrong"]) > 1 else ""
    said = f"; wrong: {row['wrong'][0]}{more}" if row["wrong"] else ""
    return f"{row['n_bars']:,} bars of {spoken(row['step_seconds'])}, {row['first']} to {row['last']} UTC{said}"


def _told_of(options: argparse.Namespace) -> dict[str, Any]:
    """The keys of [data.format] that are given as flags."""
    keys = ("separator", "decimal", "thousands", "encoding", "epoch_unit", "repeated_hour", "adjusted", "drop_empty")
    given = {key: value for key in keys if (value := getattr(options, key)) is not None}
    if "separator" in given:
        given["separator"] = _NAMES.get(given["separator"], given["separator"])
    if options.columns is not None:
        given["columns"] = _columns(options.columns)
    return given


def _see(options: argparse.Namespace) -> Seen:
    given = _told_of(options)
    try:
        told = make_format(given)
        table = read_table(Path(options.file), told)
        try:
            bars, reading = bars_of(table, told, options.date_format, options.timezone)
        except BadRowsError as error:
            return Seen(error.reading or table.reading, None, None, error.faults, table.lines())
        lines = table.lines() if reading.dropped else []
        return Seen(reading, bars, inspect(bars, options.timezone), (), lines)
    except DataError as error:
        raise DataError(f"{options.file}: {error}") from None


def _columns(text: str) -> dict[str, str] | list[str]:
    """`open=Kurs,close=Schluss`, or the names of all columns, `date,open,high,low,close`."""
    parts = [part.strip() for part in text.split(",")]
    if not any("=" in part for part in parts):
        return parts
    if wrong := [part for part in parts if "=" not in part]:
        raise SpecError(f"--columns {text}: {wrong[0]!r} has no =; write open=NAME,close=NAME, or all names in order")
    return {ours.strip(): theirs.strip() for ours, _, theirs in (part.partition("=") for part in parts)}


def _understood(file: str, seen: Seen) -> Iterator[str]:
    reading = seen.reading
    said = [reading.format]
    if reading.separator:
        said.append(f"separated by {_SEPARATED.get(reading.separator, reading.separator)}")
        said.append("decimal comma" if reading.decimal == "," else "decimal point")
        said += [f"encoding {reading.encoding}"] if reading.encoding != "utf-8" else []
    said += ["newest first, turned round"] if reading.order == "newest first" else []
    said += ["prices adjusted"] if reading.adjusted else []
    yield f"file      {Path(file).name}: {', '.join(said)}"
    yield f"columns   {', '.join(f'{ours} = {theirs}' for ours, theirs in reading.columns.items())}"
    if reading.features:
        yield f"features  {', '.join(f'{name} = {theirs}' for name, theirs in reading.features.items())}"
    if reading.dropped:
        lines = ", ".join(seen.place(row) for row in reading.dropped[:5])
        yield f"dropped   {counted(len(reading.dropped), 'row')} without a price: {lines}"


def _told(seen: Seen, timezone: str | None) -> Iterator[str]:
    if seen.found is None or seen.bars is None:
        many = f"at least {MOST_FAULTS} rows" if len(seen.faults) == MOST_FAULTS else counted(len(seen.faults), "row")
        yield f"wrong     {many} cannot be used ({MOST_FAULTS} are shown at the most, of every kind some):"
        for fault in seen.faults:
            yield f"          {seen.place(fault.row)}: {fault.reason}"
        return
    found = seen.found
    rate = infer_periods_per_year(seen.bars.timestamp)
    yield f"bars      {found.n_bars:,} of {spoken(found.step_seconds)}, {found.first} to {found.last} UTC"
    yield f"clock     {rate:g} bars a year; times without an offset are in {timezone or 'UTC'}"
    yield f"sessions  {found.sessions}"
    if found.gaps:
        longest = max(found.gaps, key=lambda gap: gap.seconds)
        yield (
            f"gaps      {len(found.gaps):,} longer than {spoken(found.usual_seconds)}; the longest is "
            f"{spoken(longest.seconds)}, {longest.start} to {longest.end}"
        )
    else:
        yield "gaps      none"
    yield f"volume    {counted(found.idle, 'bar')} without"
    yield f"close     {seen.bars.close.min():g} to {seen.bars.close.max():g}"
    yield f"          {line_of(seen.bars.close, 70)}"


def _printable(line: str) -> str:
    """A file's words cannot steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in line)


def _as_object(file: str, seen: Seen, warnings: list[str]) -> dict[str, Any]:
    """All of it as plain data."""
    told: dict[str, Any] = {"file": file, "reading": seen.reading._asdict(), "wrong": warnings}
    told["bad_rows"] = [
        {"row": fault.row, "line": seen.line(fault.row), "reason": fault.reason} for fault in seen.faults
    ]
    if seen.found is not None and seen.bars is not None:
        plain = {key: value for key, value in seen.found._asdict().items() if key not in ("gaps", "jumps", "spikes")}
        lists = {key: [one._asdict() for one in getattr(seen.found, key)] for key in ("gaps", "jumps", "spikes")}
        rate = infer_periods_per_year(seen.bars.timestamp)
        told |= plain | lists | {"periods_per_year": rate, "hash": content_hash(seen.bars)}
    return told
