"""The sealed hold-out: opened by its own verb, for the winner, and every opening is written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from engine.data.cells import Cell
from optim.errors import SpecError
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.spec.space import Point
from optim.verdict.finite import finite
from optim.verdict.ledger import OPENING, enter, read_ledger
from optim.verdict.returns import value_over
from optim.verdict.rule import Opened
from optim.workers.pool import Pool
from optim.workers.tasks import Result

OPENED = "optim:holdout"  # in the record: what the last opening showed
_WINDOWS = 200  # in-sample windows to compare with, at the most


class Opening(NamedTuple):
    """An opening of the hold-out."""

    trial: int
    opened: Opened
    metrics: dict[str, float]  # over the hold-out
    windows: tuple[float, ...]  # the objective in equally long windows of the searched bars
    first: str  # who opened these bars before, and when; empty when nobody did
    time: str


def open_holdout(plan: Plan, record: Record, number: int, point: Point, pool: Pool) -> Opening:
    """Run a trial on the hold-out and on equally long windows of the searched bars, and write the opening down.

    Raises SpecError where there is no hold-out, or the trial fails on it.
    """
    if not plan.holdouts:
        raise SpecError(f"{plan.spec.path}: [evaluation] holdout = 0: there is no hold-out to open")
    before = read_ledger(record)
    line = enter(record, plan, OPENING, {"trial": number})  # before anything is seen
    earlier = before.openings(line)
    first = f"study {earlier[0].study!r}, trial {earlier[0].note.get('trial')}, {earlier[0].time}" if earlier else ""
    known = last_opening(record)
    if known is not None and known.trial == number:  # what it showed then is what counts
        return known._replace(opened=known.opened._replace(blind=False), first=first, time=line.time)
    tasks = [plan.task(point, cells)._replace(cells=cells) for cells in (plan.holdouts, *_windows(plan))]
    results = pool.run(tasks)
    value, *windows = (value_over(plan, result) for result in results)
    if error := next((outcome.error for outcome in results[0].outcomes if outcome.error), ""):
        raise SpecError(f"{plan.spec.path}: trial {number} fails on the hold-out: {error}")
    usable = [window for window in windows if window == window]
    opened = Opened(
        plan.objective.goals[0].name, value, _rank(plan, value, usable), not earlier, plan.days(plan.holdouts)
    )
    opening = Opening(number, opened, _metrics(plan, results[0]), tuple(usable), first, line.time)
    record.note(OPENED, finite(opening))
    return opening


def last_opening(record: Record) -> Opening | None:
    """What the last opening showed; None while the hold-out is sealed."""
    kept = record.noted(OPENED)
    if kept is None:
        return None
    trial, opened, metrics, windows, first, time = kept
    metric, value, rank, blind, *days = opened
    nan = math.nan
    return Opening(
        trial,
        Opened(metric, nan if value is None else value, nan if rank is None else rank, blind, *days),
        {name: nan if v is None else v for name, v in metrics.items()},
        tuple(windows),
        first,
        time,
    )


def opened_for(record: Record, number: int) -> Opened | None:
    """What the hold-out showed for a trial; None while it is sealed, or was opened for another one."""
    opening = last_opening(record)
    return opening.opened if opening is not None and opening.trial == number else None


def _windows(plan: Plan) -> list[tuple[Cell, ...]]:
    """Windows of the searched bars, each as long as the hold-out, evenly placed, of all instruments at once."""
    length = {cell.instrument: cell.stop - cell.start for cell in plan.holdouts}
    room = min(cell.stop - length[cell.instrument] for cell in plan.searched)
    if room < 0:
        return []
    count = min(_WINDOWS, room + 1)
    starts = [round(i * room / max(count - 1, 1)) for i in range(count)]
    return [tuple(Cell(c.instrument, start, start + length[c.instrument]) for c in plan.searched) for start in starts]


def _rank(plan: Plan, value: float, windows: Sequence[float]) -> float:
    """The share of windows in which the trial did worse; NaN without any."""
    if not windows or value != value:
        return math.nan
    maximise = plan.objective.goals[0].direction == "maximize"
    return sum(window <= value if maximise else window >= value for window in windows) / len(windows)


def _metrics(plan: Plan, result: Result) -> dict[str, float]:
    return dict(plan.objective.metrics([outcome.metrics for outcome in result.outcomes]))
