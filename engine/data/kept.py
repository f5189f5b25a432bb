"""Bars as they were read before, kept by content: the same bytes, read in the same way, are the same bars.

Reading text takes pandas, which takes longer to import than a year of days to backtest. What is kept here is a memory
map: bars of ten years of minutes are there at once, and processes share them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from engine.compiled.cache import cache_root
from engine.data.bars import Bars, bars_with, features_of
from engine.data.formats import Reading

MOST_BYTES = 1 << 30  # of all that is kept: beyond it goes what was not used for the longest time
_HEAD = 8  # bytes of the length of the description that a file begins with


def place_of(file: Path, *how: Any) -> Path | None:
    """Where the bars of a file, read in this way, are kept; None where it cannot be read."""
    digest = hashlib.sha256(repr((how, _reader())).encode())
    digest.update("".join(file.suffixes[-2:]).lower().encode())
    try:
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return cache_root() / "bars" / digest.hexdigest()


@lru_cache(maxsize=1)
def _reader() -> str:
    """Hash of the sources that read a file, and the version of the library that they use."""
    digest = hashlib.sha256(version("pandas").encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def recall(place: Path) -> tuple[Bars, Reading] | None:
    """The bars kept there and what was understood of their file; None where there are none, or not all of them."""
    try:
        size = place.stat().st_size
        with place.open("rb") as handle:
            start = _HEAD + int.from_bytes(handle.read(_HEAD), "little")
            told = json.loads(handle.read(start - _HEAD) if start <= size else b"")
        n_bars, names = told["n_bars"], told["features"]
        shape = (len(Bars._fields) - 1 + len(names), n_bars)
        if size != start + 8 * n_bars * (1 + shape[0]):
            return None
        times = np.memmap(place, np.int64, "r", start, (n_bars,))
        numbers = np.memmap(place, np.float64, "r", start + 8 * n_bars, shape)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):  # a folder that may only be read
        os.utime(place)
    said: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told["reading"]}
    return bars_with(tuple(names))(np.asarray(times), *np.asarray(numbers)), Reading(**said)


def keep(place: Path, bars: Bars, reading: Reading) -> None:
    """Keep them there, whole or not at all; where that cannot be, nothing is kept."""
    told = {"n_bars": len(bars.close), "features": list(features_of(bars)), "reading": list(reading._asdict().items())}
    head = json.dumps(told).encode()
    head += b" " * (-(_HEAD + len(head)) % 8)
    size = sum(column.nbytes for column in bars)
    if size > MOST_BYTES // 2:
        return
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, made = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(len(head).to_bytes(_HEAD, "little") + head)
                for column in bars:
                    handle.write(np.ascontiguousarray(column).data)
            os.replace(made, place)
        except OSError:
            os.unlink(made)
            raise
        _forget(place.parent)


def _forget(folder: Path) -> None:
    """Of more than MOST_BYTES the files that were not used for the longest time go."""
    files = []
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # another process may have been here first
            found = file.stat()
            files.append((found.st_mtime, found.st_size, file))
    room = MOST_BYTES
    for _, size, file in sorted(files, reverse=True):
        room -= size
        if room < 0:
            with contextlib.suppress(OSError):
                file.unlink()
