"""The bars of a study: read, hashed, cut into cells, with one clock."""

from __future__ import annotations

import os
from collections.abc import Iterator

from engine.data.bars import Bars, add_features, features_of, slice_bars
from engine.data.cells import Cell, split
from engine.data.clock import check_periods_per_year, infer_periods_per_year
from engine.data.formats import Reading
from engine.data.frames import resample, unframed
from engine.data.further import common_features
from engine.data.load import content_hash, read_bars
from engine.errors import DataError, EngineError
from engine.simulator.account import Account
from optim.errors import SpecError, cut, shown
from optim.problem.data_notes import data_notes
from optim.problem.features import join_features, lag_notes, read_features
from optim.spec.study import StudySpec
from optim.tracking.info import Dataset


def load_data(spec: StudySpec) -> Iterator[tuple[Bars, Reading]]:
    """The bars of each file, and what was understood of it."""
    features = read_features(spec)
    notes = lag_notes(spec, features)  # said once
    for given in spec.data.files:
        file = (spec.folder / given).resolve()
        if not os.path.isfile(file):
            raise SpecError(f"{spec.path}: [data] path = {shown(given)}: no such file: {shown(str(file))}")
        try:
            bars, reading = read_bars(
                file,
                start=spec.data.start,
                end=spec.data.end,
                date_format=spec.data.date_format,
                timezone=spec.data.timezone,
                format=spec.data.format.model_dump(),
            )
            bars = _in_timeframe(spec, join_features(spec, bars, features))
        except EngineError as error:
            bounds = {
                "start": spec.data.start,
                "end": spec.data.end,
                "timeframe": spec.data.timeframe,
                "timeframe_offset": spec.data.timeframe_offset,
            }
            key = next((k for k, text in bounds.items() if text is not None and repr(text)[:40] in str(error)), "path")
            value = shown(bounds.get(key) or given)
            raise SpecError(f"{spec.path}: [data] {key} = {value}: {cut(str(error), 400)}") from None
        yield bars, reading._replace(notes=(*reading.notes, *notes))
        notes = ()


def _in_timeframe(spec: StudySpec, bars: Bars) -> Bars:
    """The bars of [data] timeframe, of days in its timezone; as they are without one."""
    told = spec.data
    if told.timeframe is None:
        return bars
    made = resample(bars, told.timeframe, timezone=told.timezone or "UTC", offset=told.timeframe_offset or "0m")
    if len(made.timestamp) < 2:
        raise DataError(f"timeframe = {told.timeframe!r}: all bars are in one period; a backtest needs at least 2")
    return unframed(made)


def same_features(spec: StudySpec, instruments: tuple[Bars, ...]) -> tuple[tuple[Bars, ...], list[str]]:
    """The instruments with the features that all of them have, and a sentence on those that some lack."""
    shared, missing = common_features([features_of(bars) for bars in instruments])
    if not missing:
        return instruments, []
    alike = tuple(add_features(bars, {name: features_of(bars)[name] for name in shared}) for bars in instruments)
    return alike, [f"not every file has {', '.join(missing)}: no strategy sees that"]


def datasets_of(spec: StudySpec, instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...]) -> Iterator[Dataset]:
    """What was searched: the hold-out's bars have no say, and no trace before it is opened."""
    for given, bars, stop in zip(spec.data.files, instruments, stops_of(instruments, holdouts), strict=True):
        yield _dataset(spec, given, bars, stop)


def stops_of(instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...]) -> list[int]:
    """Where the searched bars of each instrument end."""
    stops = {cell.instrument: cell.start for cell in holdouts}
    return [stops.get(i, stops.get(-1, len(bars.close))) for i, bars in enumerate(instruments)]


def notes_of(
    spec: StudySpec,
    instruments: tuple[Bars, ...],
    readings: tuple[Reading, ...],
    holdouts: tuple[Cell, ...],
    account: Account,
) -> Iterator[str]:
    """What is strange about the searched bars of each file."""
    rules = [parameter.name for parameter in spec.search_space().parameters]
    stops = stops_of(instruments, holdouts)
    for given, bars, reading, stop in zip(spec.data.files, instruments, readings, stops, strict=True):
        yield from data_notes(given, slice_bars(bars, 0, stop), reading, account, rules)


def _dataset(spec: StudySpec, given: str, bars: Bars, searched: int) -> Dataset:
    digest = content_hash(slice_bars(bars, 0, searched))
    first, last = (str(bars.timestamp[i].astype("datetime64[ns]").astype("datetime64[s]")) + "Z" for i in (0, -1))
    return Dataset((spec.folder / given).resolve().stem, given, digest, len(bars.timestamp), first, last)


def periods_per_year(spec: StudySpec, instruments: tuple[Bars, ...]) -> float:
    """The study's one clock: as given, if the bars agree, else inferred from them."""
    rates = [infer_periods_per_year(bars.timestamp) for bars in instruments]
    given = spec.data.periods_per_year
    if spec.data.clock is not None:
        if given is None:
            raise SpecError(f"{spec.path}: [data] clock = 'as given' needs periods_per_year; give it, or remove clock")
        return given
    try:
        for rate in rates:
            check_periods_per_year(rates[0] if given is None else given, rate)
    except EngineError as error:
        several = "the instruments tick differently: " if given is None else ""
        raise SpecError(f"{spec.path}: [data] {several}{error}") from None
    return rates[0] if given is None else given


def make_cells(spec: StudySpec, instruments: tuple[Bars, ...]) -> tuple[tuple[Cell, ...], tuple[Cell, ...]]:
    """One set of folds per instrument (or one for the portfolio).

    Ordered fold by fold, so that early rounds see every instrument.
    """
    which = [-1] if spec.portfolio else list(range(len(instruments)))
    try:
        parts = [
            split(
                len(instruments[max(i, 0)].timestamp),
                folds=spec.evaluation.folds,
                holdout=spec.evaluation.holdout,
                instrument=i,
            )
            for i in which
        ]
    except EngineError as error:
        raise SpecError(f"{spec.path}: [evaluation] {error}") from None
    cells = tuple(folds[k] for k in range(spec.evaluation.folds) for folds, _ in parts)
    return cells, tuple(holdout for _, holdout in parts if holdout is not None)
