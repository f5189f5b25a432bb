"""[data.features]: files of values that are joined to the bars of every instrument."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from engine.data.bars import Bars
from engine.data.inspect import spoken
from engine.data.joined import Series, join_series, read_series
from engine.errors import EngineError
from optim.errors import SpecError, cut, shown
from optim.spec.sections import FeatureSection
from optim.spec.study import StudySpec


def read_features(spec: StudySpec) -> dict[str, Series]:
    """The values of each file by the name of its table."""
    found = read_tables(spec, spec.data.features, "data.features")
    for name, series in found.items():
        if name in Bars._fields and name in series.values:
            raise SpecError(f"{spec.path}: [data.features.{name}]: every bar has a column {name}; give it another name")
    return found


def read_tables(spec: StudySpec, tables: Mapping[str, FeatureSection], key: str) -> dict[str, Series]:
    """The values of the files of these tables, each by its name. Raises SpecError."""
    found: dict[str, Series] = {}
    for name, given in tables.items():
        where = place_of(spec, tables, key, name)
        file = (spec.folder / given.path).resolve()
        if not os.path.isfile(file):
            raise SpecError(f"{where}: no such file: {shown(str(file))}")
        try:
            found[name] = read_series(
                name,
                file,
                lag=given.lag,
                max_age=given.max_age,
                date_format=given.date_format,
                timezone=given.timezone or spec.data.timezone,
                format=given.format.model_dump(),
            )
        except EngineError as error:
            told = given.model_dump(include={"lag", "max_age", "timezone", "date_format"}, exclude_none=True)
            which, said = blamed(said_of(error, key, name), told)
            raise SpecError(f"{place_of(spec, tables, key, name, which or 'path')}: {said}") from None
    return found


def place_of(spec: StudySpec, tables: Mapping[str, FeatureSection], key: str, name: str, which: str = "path") -> str:
    """What a sentence about one key of a table begins with."""
    return f"{spec.path}: [{key}.{cut(name, 60)}] {which} = {shown(getattr(tables[name], which))}"


def said_of(error: EngineError, key: str, name: str) -> str:
    """What the engine says of the file of a table, with its own key of the format."""
    return cut(str(error).replace("[data.format]", f"[{key}.{cut(name, 60)}.format]"), 400)


def blamed(said: str, told: Mapping[str, str]) -> tuple[str, str]:
    """The key that an error of the engine is about, "" for the file itself, and its words without that key's name."""
    for key, value in told.items():
        if found := re.search(rf"(^|: )({key.removeprefix('timeframe_')} = )?{re.escape(repr(value))}:? ", said):
            return key, said[found.end() :]
    return next((key for key, value in told.items() if repr(value)[:40] in said), ""), said


def join_features(spec: StudySpec, bars: Bars, features: dict[str, Series]) -> Bars:
    """The bars with all of these values."""
    for name, series in features.items():
        try:
            bars = join_series(bars, series)
        except EngineError as error:
            raise SpecError(f"{spec.path}: [data.features.{cut(name, 60)}]: {cut(str(error), 400)}") from None
    return bars


def lag_notes(spec: StudySpec, features: dict[str, Series]) -> tuple[str, ...]:
    """What is taken for granted where no lag is given."""
    guessed = {name: series.lag for name, series in features.items() if spec.data.features[name].lag is None}
    flows = {"funding": spec.data.funding, "dividends": spec.data.dividends}
    paid = {name: [key for key, told in flows.items() if told in series.values] for name, series in features.items()}
    return tuple(
        f"feature {name}: a value is taken to be known {spoken(lag / 1e9)} after its timestamp, "
        f"the usual step of its file; [data.features.{name}] lag settles it"
        + "".join(f"; the cash of [data] {key} comes at the timestamps, whatever the lag" for key in paid[name])
        for name, lag in guessed.items()
    )
