"""The bars of a study: read, hashed, cut into cells, with one clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from engine.data.bars import Bars, add_features, features_of, slice_bars
from engine.data.calendar import own_bars
from engine.data.cells import Cell, split
from engine.data.clock import check_periods_per_year, infer_periods_per_year
from engine.data.formats import Reading
from engine.data.frames import resample, unframed
from engine.data.further import common_features
from engine.data.load import TooFewBarsError, content_hash, spoken_span
from engine.errors import DataError, EngineError
from engine.simulator.account import Account
from optim.errors import SpecError, cut, shown
from optim.problem.currency import Currencies
from optim.problem.data_notes import data_notes, splits_column
from optim.problem.features import blamed, join_features, lag_notes, read_features
from optim.problem.income import Income
from optim.problem.sources import Source, read_sources
from optim.spec.study import StudySpec
from optim.tracking.info import Dataset

_MOST_NOTES = 60


class Loaded(NamedTuple):
    """The instruments as they are in their files, in order."""

    sources: tuple[Source, ...]
    bars: tuple[Bars, ...]
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]
    effects: tuple[str, ...]  # what keys of [data] did to the bars
    used: Mapping[str, str]  # features that are income or splits, with the key of each


def load_data(spec: StudySpec) -> Loaded:
    """Read all that [data] names. On a union of calendars what has no bars between start and end is left out."""
    features = read_features(spec)
    income, currencies = Income(spec, features), Currencies(spec)
    found: list[tuple[Source, Bars, Reading]] = []
    absent: list[str] = []
    for source, read, reading in read_sources(spec):
        if isinstance(read, TooFewBarsError) and spec.data.align == "union":
            absent.append(source.given)
            continue
        try:
            if isinstance(read, EngineError):
                raise read
            assert reading is not None
            valued = currencies.given(source, income.given(source, read, reading))
            bars = _in_timeframe(spec, join_features(spec, valued, features))
        except EngineError as error:
            raise _refused(spec, source, error) from None
        found.append((source, bars, reading))
    if not found:
        span = spoken_span(spec.data.start, spec.data.end)
        raise SpecError(f"{spec.path}: [data] path: no instrument has 2 bars {span}")
    income.check()
    sources, bars_of_all, readings = zip(*found, strict=True)
    notes = lag_notes(spec, features)
    if absent:
        notes += (f"left out for want of bars between start and end: {cut(', '.join(absent), 300)}",)
    effects = (*income.told(), *currencies.told([source.name for source in sources]))
    return Loaded(sources, bars_of_all, readings, notes, effects, income.used)


def _refused(spec: StudySpec, source: Source, error: EngineError) -> SpecError:
    """One sentence that names the key of [data] that the error is about."""
    keys = ("start", "end", "timeframe", "timeframe_offset", "timezone", "date_format")
    bounds = {key: text for key in keys if (text := getattr(spec.data, key)) is not None}
    key, said = blamed(str(error), bounds)
    value = shown(bounds.get(key, source.file))
    if value == repr(source.file):
        said = said.removeprefix(f"{source.file}: ")
    return SpecError(f"{spec.path}: [data] {key or 'path'} = {value}: {cut(said, 400)}")


def _in_timeframe(spec: StudySpec, bars: Bars) -> Bars:
    """The bars of [data] timeframe, of days in its timezone; as they are without one."""
    told = spec.data
    if told.timeframe is None:
        return bars
    made = resample(bars, told.timeframe, timezone=told.timezone or "UTC", offset=told.timeframe_offset or "0m")
    if len(made.timestamp) < 2:
        raise DataError(f"timeframe = {told.timeframe!r}: all bars are in one period; a backtest needs at least 2")
    return unframed(made)


def same_features(instruments: tuple[Bars, ...], used: Mapping[str, str]) -> tuple[tuple[Bars, ...], list[str]]:
    """The instruments with the features that all of them have, and a sentence on those that some lack.

    used: features that are income or splits, with the key of each.
    """
    shared, missing = common_features([features_of(bars) for bars in instruments])
    if not missing:
        return instruments, []
    alike = tuple(add_features(bars, {name: features_of(bars)[name] for name in shared}) for bars in instruments)
    still = "".join(f"; {one} counts as [data] {used[one]} all the same, where it is" for one in missing if one in used)
    return alike, [f"not every file has {', '.join(missing)}: no strategy sees that{still}"]


def datasets_of(
    sources: Sequence[Source], instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...]
) -> Iterator[Dataset]:
    """What was searched: the hold-out's bars have no say, and no trace before it is opened."""
    for source, bars, stop in zip(sources, instruments, stops_of(instruments, holdouts), strict=True):
        yield _dataset(source, bars, stop)


def stops_of(instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...]) -> list[int]:
    """Where the searched bars of each instrument end."""
    stops = {cell.instrument: cell.start for cell in holdouts}
    return [stops.get(i, stops.get(-1, len(bars.close))) for i, bars in enumerate(instruments)]


def notes_of(
    spec: StudySpec,
    loaded: Loaded,
    instruments: tuple[Bars, ...],
    holdouts: tuple[Cell, ...],
    account: Account,
) -> Iterator[str]:
    """What is strange about the searched bars of each instrument."""
    yield from loaded.notes
    notes = _notes_of_each(spec, loaded, instruments, holdouts, account)
    yield from islice(notes, _MOST_NOTES)
    if more := sum(1 for _ in notes):
        yield f"and {more} more such notes"


def _notes_of_each(
    spec: StudySpec, loaded: Loaded, instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...], account: Account
) -> Iterator[str]:
    rules = [parameter.name for parameter in spec.search_space().parameters]
    stops = stops_of(instruments, holdouts)
    for source, bars, reading, stop in zip(loaded.sources, instruments, loaded.readings, stops, strict=True):
        own = own_bars(slice_bars(bars, 0, stop))
        if len(own.close) > 1:
            splits = None if spec.data.splits is not None else splits_column(reading)
            yield from data_notes(source.given, own, reading, account, rules, splits)


def _dataset(source: Source, bars: Bars, searched: int) -> Dataset:
    digest = content_hash(slice_bars(bars, 0, searched))
    times = own_bars(bars).timestamp
    first, last = (str(times[i].astype("datetime64[ns]").astype("datetime64[s]")) + "Z" for i in (0, -1))
    return Dataset(source.name, source.file, digest, len(times), first, last)


def periods_per_year(spec: StudySpec, sources: Sequence[Source], instruments: tuple[Bars, ...]) -> float:
    """The study's one clock: as given, if the bars agree, else inferred from them."""
    rates = [infer_periods_per_year(bars.timestamp) for bars in instruments]
    given = spec.data.periods_per_year
    if spec.data.clock is not None:
        if given is None:
            raise SpecError(f"{spec.path}: [data] clock = 'as given' needs periods_per_year; give it, or remove clock")
        return given
    for source, rate in zip(sources, rates, strict=True):
        try:
            check_periods_per_year(rates[0] if given is None else given, rate)
        except EngineError as error:
            if given is not None:
                raise SpecError(f"{spec.path}: [data] {error}") from None
            raise SpecError(
                f"{spec.path}: [data] a study has one clock, but {shown(sources[0].given)} has about {rates[0]:g} bars "
                f"a year and {shown(source.given)} {rate:g}; make them alike with timeframe, as '1D', leave one "
                "out, or give periods_per_year with clock = 'as given'"
            ) from None
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
