"""What [data] names: files, those of a folder or a pattern, or the symbols of one long table; one instrument each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.bars import Bars
from engine.data.formats import Reading
from engine.data.load import read_bars
from engine.data.symbols import SymbolColumnError, read_symbols
from engine.data.table import is_readable
from engine.errors import DataError
from optim.errors import SpecError, cut, shown
from optim.spec.study import StudySpec


class Source(NamedTuple):
    """Where an instrument is from."""

    name: str  # the file's without its ending, or the symbol
    file: str  # as the study file has it, or in the folder it names
    given: str  # what a sentence calls it: the file, or the symbol


def files_of(spec: StudySpec) -> list[str]:
    """The files of [data], relative to the study's folder; those of a folder or a pattern in order of their names."""
    return [file for given in spec.data.files for file in _expanded(spec.folder, given)]


def read_sources(spec: StudySpec) -> Iterator[tuple[Source, Bars | DataError, Reading | None]]:
    """Every instrument with its bars, or why there are none, and what was understood. Raises SpecError for no file."""
    data = spec.data
    told: dict[str, Any] = {
        "start": data.start,
        "end": data.end,
        "date_format": data.date_format,
        "timezone": data.timezone,
        "format": data.format.model_dump(),
    }
    files = _existing(spec)
    if data.symbol_column is not None:
        if len(files) > 1:
            raise SpecError(
                f"{spec.path}: [data] symbol_column is of one long table, but path names {len(files)} files"
            )
        try:
            for symbol, bars, reading in read_symbols((spec.folder / files[0]).resolve(), data.symbol_column, **told):
                yield Source(symbol, files[0], symbol), bars, reading
        except DataError as error:
            column = isinstance(error, SymbolColumnError)
            key = f"symbol_column = {shown(data.symbol_column)}" if column else f"path = {shown(files[0])}"
            raise SpecError(f"{spec.path}: [data] {key}: {cut(str(error), 400)}") from None
        return
    for file in files:
        source = Source(Path(file).stem, file, file)
        try:
            yield source, *read_bars((spec.folder / file).resolve(), **told)
        except DataError as error:
            yield source, error, None


def _existing(spec: StudySpec) -> list[str]:
    """The files of [data]; SpecError where one is not there, or two of a folder are of one name."""
    found = []
    for given in spec.data.files:
        files = _expanded(spec.folder, given)
        where = f"{spec.path}: [data] path = {shown(given)}"
        if files == [given]:
            file = (spec.folder / given).resolve()
            if os.path.isdir(file):
                raise SpecError(f"{where}: no file of bars is in this folder")
            if not os.path.isfile(file):
                lacks = "no file matches" if glob.has_magic(given) else f"no such file: {shown(str(file))}"
                raise SpecError(f"{where}: {lacks}")
        names = [Path(file).stem for file in files]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SpecError(f"{where}: two of its files are called {shown(twice)}; an instrument has one file")
        found += files
    return found


def _expanded(folder: Path, given: str) -> list[str]:
    """The files of a folder or a pattern, sorted; what is given itself where it is a file, or there is none."""
    place = folder / given
    if os.path.isfile(place):
        return [given]
    inside = os.path.isdir(place)
    pattern = os.path.join(glob.escape(given), "*") if inside else given
    found = [name for name in glob.glob(pattern, root_dir=folder) if os.path.isfile(folder / name)]
    return sorted(name for name in found if not inside or is_readable(name)) or [given]
