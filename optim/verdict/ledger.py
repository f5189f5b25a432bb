"""The ledger: one line for every search and every opening of a hold-out in a record, each chained to the one before.

A line is kept with its study. It names the bars by samples of their rows, so that the same bars are known again under
another name, cut differently or in another file. Who deletes a study leaves a gap in the numbers, which counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from engine.data.bars import Bars, slice_bars
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.record.record import Record, noted_everywhere

LEDGER = "optim:ledger"  # in the record: the lines of a study
SEARCH, OPENING = "search", "opening"
_ROWS = 64  # of an instrument: sampled rows, fewer where there are many instruments
_ALL_ROWS = 2048


class Line(NamedTuple):
    """One search or one opening."""

    number: int  # in the ledger, from 1
    kind: str
    study: str
    time: str  # UTC
    identity: str  # of the search: equal for equal searches, whatever they are called
    rows: tuple[tuple[str, ...], ...]  # per instrument, samples of its bars
    previous: str  # the hash of a line before it, empty for the first
    note: dict[str, Any]  # of an opening: the trial

    @property
    def hash(self) -> str:
        """What the next line is chained to."""
        return hashlib.sha256(json.dumps(self, sort_keys=True).encode()).hexdigest()

    def overlaps(self, other: Line) -> bool:
        """Whether both saw some of the same bars."""
        mine = {row for rows in self.rows for row in rows}
        return any(row in mine for rows in other.rows for row in rows)


class Ledger(NamedTuple):
    """All lines of a record, by number; how many are missing; whether one was altered."""

    lines: tuple[Line, ...]
    missing: int
    altered: bool

    def searches_before(self, line: Line) -> list[Line]:
        """The earlier searches on some of the same bars, equal ones once."""
        found = {one.identity: one for one in self.lines if one.kind == SEARCH and one.number < line.number}
        return [one for name, one in found.items() if name != line.identity and one.overlaps(line)]

    def openings(self, line: Line) -> list[Line]:
        """The openings of hold-outs on some of the same bars, the study's own included."""
        return [one for one in self.lines if one.kind == OPENING and one.overlaps(line)]


def read_ledger(record: Record) -> Ledger:
    """The ledger of the storage a record is in."""
    lines = sorted(
        (line for kept in noted_everywhere(record, LEDGER) for line in map(_line, kept)), key=lambda line: line.number
    )
    hashes = {line.hash for line in lines} | {""}
    missing = (lines[-1].number if lines else 0) - len({line.number for line in lines})
    altered = any(line.previous not in hashes for line in lines) and not missing
    return Ledger(tuple(lines), missing, altered)


def enter(record: Record, plan: Plan, kind: str, note: dict[str, Any] | None = None) -> Line:
    """The study's line of this kind: a search has one, made when there is none yet; an opening a new one each."""
    own = _own(record)
    if kind == SEARCH and (known := search_of(record)):
        return known
    before = read_ledger(record).lines
    last = before[-1] if before else None
    bars = searched_bars(plan) if kind == SEARCH else sealed_bars(plan)
    line = Line(
        last.number + 1 if last else 1,
        kind,
        plan.spec.study.name,
        datetime.now(UTC).isoformat(timespec="seconds"),
        search_identity(plan),
        sampled(bars),
        last.hash if last else "",
        note or {},
    )
    record.note(LEDGER, [list(one) for one in (*own, line)])
    return line


def search_of(record: Record) -> Line | None:
    """The line of a record's own search; it keeps the name that the study had then."""
    return next((line for line in _own(record) if line.kind == SEARCH), None)


def search_identity(plan: Plan) -> str:
    """Equal for searches that find the same, whatever they are called."""
    return hashlib.sha256(json.dumps(plan.fingerprint(), sort_keys=True).encode()).hexdigest()


def sealed_bars(plan: Plan) -> tuple[Bars, ...]:
    """The bars of the hold-out, one an instrument."""
    cells = plan.holdouts
    if cells and cells[0].instrument < 0:
        return tuple(slice_bars(bars, cells[0].start, cells[0].stop) for bars in plan.job.instruments)
    return tuple(slice_bars(plan.job.instruments[cell.instrument], cell.start, cell.stop) for cell in cells)


def sampled(instruments: Sequence[Bars]) -> tuple[tuple[str, ...], ...]:
    """Of each instrument the rows whose hash of time and close is smallest: of equal rows the same ones."""
    size = max(4, min(_ROWS, _ALL_ROWS // max(len(instruments), 1)))
    return tuple(tuple(f"{row:016x}" for row in np.sort(_mixed(bars))[:size].tolist()) for bars in instruments)


def _mixed(bars: Bars) -> Any:
    """A hash of each row's time and close, uint64; the mixing is splitmix64's."""
    mixed = bars.timestamp.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ (bars.close + 0.0).view(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _own(record: Record) -> list[Line]:
    return [_line(kept) for kept in record.noted(LEDGER) or []]


def _line(kept: Sequence[Any]) -> Line:
    number, kind, study, time, identity, rows, previous, note = kept
    return Line(number, kind, study, time, identity, tuple(map(tuple, rows)), previous, note)
