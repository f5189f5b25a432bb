"""[data] detail: files of finer bars, in which what a bar touched first is looked up."""

from __future__ import annotations

import os
from collections.abc import Sequence

from engine.data.bars import Bars
from engine.data.cells import Cell
from engine.data.detail import NOT_TOGETHER, Coverage, attach, check_coverage
from engine.data.load import load_bars
from engine.errors import EngineError
from optim.errors import SpecError, cut, shown
from optim.problem.data import stops_of
from optim.problem.sources import Source
from optim.spec.study import StudySpec


def with_details(
    spec: StudySpec, sources: Sequence[Source], instruments: tuple[Bars, ...], holdouts: tuple[Cell, ...]
) -> tuple[tuple[Bars, ...], list[str], list[str]]:
    """The instruments with their finer bars, warnings, and notes: how many of the searched bars of each have some.

    Raises SpecError; the hold-out's bars have no say.
    """
    files = spec.data.details
    if not files:
        return instruments, [], []
    where = f"{spec.path}: [data] detail"
    if spec.portfolio:
        raise SpecError(f"{where}: {NOT_TOGETHER.removeprefix('detail ')}")
    if len(files) != len(instruments):
        raise SpecError(
            f"{where}: names {len(files)} files, but [data] has {len(instruments)} instruments; name one for each"
        )
    found: list[Bars] = []
    warnings: list[str] = []
    notes: list[str] = []
    for file, source, bars, stop in zip(files, sources, instruments, stops_of(instruments, holdouts), strict=True):
        path = (spec.folder / file).resolve()
        if not os.path.isfile(path):
            raise SpecError(f"{where} = {shown(file)}: no such file: {shown(str(path))}")
        try:
            one, coverage = attach(bars, _read(spec, path))
            searched = coverage.of(0, stop)
            check_coverage(searched)
        except EngineError as error:
            raise SpecError(f"{where} = {shown(file)}: {cut(str(error), 400)}") from None
        found.append(one)
        fine = searched.share == 1.0 and not searched.differing.any()
        (notes if fine else warnings).append(f"{source.given}: {_told(searched)}")
    return tuple(found), warnings, notes


def _read(spec: StudySpec, path: os.PathLike[str]) -> Bars:
    """The finer bars, written as the files of [data] are; all of them, as those beyond the bars have no place."""
    told = spec.data
    return load_bars(str(path), date_format=told.date_format, timezone=told.timezone, format=told.format.model_dump())


def _told(coverage: Coverage) -> str:
    text = f"{coverage.share:.1%} of the searched bars have detail"
    if (differing := int(coverage.differing.sum())) == 0:
        return text
    share = differing / len(coverage.differing)
    return (
        f"{text}; in {differing:,} ({share:.1%}; rows {coverage.rows()}) its highest high or lowest low is not the "
        "bar's: there nothing is looked up"
    )
