"""Walk-forward windows: where each search sees bars, and where its winner is tried."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from engine.data.bars import slice_bars
from engine.data.cells import Cell, split
from engine.errors import ParameterError
from optim.errors import SpecError
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.spec.sections import WalkForwardSection
from optim.verdict.markets import without_holdout

_UNITS = {"y": "years", "M": "months", "w": "weeks", "d": "days"}
_END = np.iinfo(np.int64).max


class Span(NamedTuple):
    """One window in time, nanoseconds since 1970: trained on train <= t < gap, tried on test <= t < stop."""

    train: int
    gap: int
    test: int
    stop: int


def spans(plan: Plan, given: WalkForwardSection) -> list[Span]:
    """The windows over the searched bars, in order; their tests follow one another without hole or overlap.

    rolling: each trains on as many bars as the first; anchored: on all from the first bar on. Lengths in bars are
    bars of the first instrument. Raises SpecError where there is no window.
    """
    times = searched_bars(plan)[0].timestamp
    found, start, begin = [], int(times[0]), _after(times, int(times[0]), given.train)
    while begin is not None and begin <= times[-1]:
        test = _after(times, begin, given.gap) if given.gap else begin
        if test is None or test > times[-1]:
            break
        stop = _after(times, test, given.test)
        if stop is None and times[-1] == test:
            break  # one bar is no backtest
        found.append(Span(start, begin, test, _END if stop is None else stop))
        if stop is None:
            break
        begin = _before(times, stop, given.gap)
        start = start if given.mode == "anchored" else _before(times, begin, given.train)
    if not found:
        raise SpecError(
            f"{plan.spec.path}: [validation] walk_forward: {len(times)} searched bars hold no window with "
            f"train = {given.train!r} and test = {given.test!r}"
        )
    return found


def on_span(plan: Plan, span: Span) -> Plan:
    """The study on a window's training bars: the same search with as many folds, without hold-out."""
    bars = tuple(
        slice_bars(one, *np.searchsorted(one.timestamp, (span.train, span.gap))) for one in searched_bars(plan)
    )
    which = [-1] if plan.spec.portfolio else list(range(len(bars)))
    folds = plan.spec.evaluation.folds
    try:
        parts = [split(len(bars[max(i, 0)].close), folds=folds, holdout=0.0, instrument=i)[0] for i in which]
    except ParameterError as error:
        raise SpecError(f"{plan.spec.path}: [validation] walk_forward: {error}") from None
    cells = tuple(folds_of[k] for k in range(folds) for folds_of in parts)
    return without_holdout(plan, bars)._replace(cells=cells)


def tried_cells(plan: Plan, span: Span) -> tuple[Cell, ...]:
    """The bars on which a window's winner is tried; what lies before them warms its signal up."""
    found = []
    for cell in plan.searched:
        times = plan.job.instruments[max(cell.instrument, 0)].timestamp[: cell.stop]
        start, stop = (int(edge) for edge in np.searchsorted(times, (span.test, span.stop)))
        found.append(Cell(cell.instrument, start, stop))
    return tuple(cell for cell in found if cell.stop - cell.start >= 2)


def _after(times: np.ndarray, begin: int, length: int | str) -> int | None:
    """The time so many bars, or so long, after `begin`; None behind the last bar."""
    if isinstance(length, int):
        place = int(np.searchsorted(times, begin)) + length
        return int(times[place]) if place < len(times) else None
    moment = _moved(begin, length, 1)
    return moment if moment <= times[-1] else None


def _before(times: np.ndarray, end: int, length: int | str) -> int:
    if length == 0:
        return end
    if isinstance(length, int):
        return int(times[max(int(np.searchsorted(times, end)) - length, 0)])
    return _moved(end, length, -1)


def _moved(moment: int, length: str, sign: int) -> int:
    import pandas as pd

    match = re.fullmatch(r"(\d+)([yMwd])", length)
    assert match is not None  # the section has checked it
    units: dict[str, Any] = {_UNITS[match[2]]: int(match[1])}
    offset = pd.DateOffset(**units)
    at = pd.Timestamp(moment)
    return int((at + offset if sign > 0 else at - offset).value)
