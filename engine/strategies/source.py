"""What code a result depends on: the files a module reaches by its imports, hashed by what they mean.

A comment, a blank line or a docstring is no change.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

import engine
from engine.errors import StrategyError
from engine.strategies.meaning import keep, meaning_of

ENGINE = Path(__file__).resolve().parents[1]
_CLOCK = 2_000_000_000  # ns, within which a disk may not tell two moments apart
_INSIDE = f"{ENGINE}{os.sep}"
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_LIBRARIES = tuple(Path(place).resolve() for place in _INSTALLED)


def code_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 (hex) of the meaning of every own file that `files` reach, by resolved path; the engine's are one entry.

    Own is what is neither Python's nor installed. files: Python files, which can be read and parsed.
    """
    found = {path: meaning_hash(path) for path in imports_of(files, search_path())}
    keep(path.read_bytes() for path in found)
    inside = sorted(path for path in found if path.is_relative_to(ENGINE))
    own = {str(path): digest for path, digest in sorted(found.items()) if not path.is_relative_to(ENGINE)}
    parts = "".join(f"{path.relative_to(ENGINE).as_posix()} {found[path]}\n" for path in inside)
    return {"engine": hashlib.sha256(parts.encode()).hexdigest(), **own}


def changed_file(hashes: Mapping[str, str]) -> str:
    """The first file of `code_hashes` that does not mean any more what it meant then; empty when there is none."""
    for name, digest in hashes.items():
        path = Path(name)
        if name != "engine" and (not path.is_file() or meaning_hash(path) != digest):
            return name
    return ""


def meaning_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's syntax tree without docstrings, the same in every version of Python."""
    return meaning_of(path.read_bytes()).digest


def imports_of(files: Iterable[Path], places: Places) -> dict[Path, set[Path]]:
    """The own files, those that they import, and so on, resolved, each with those that it imports itself.

    places: the search path.
    """
    home = found_at(engine.__name__, places)[0]
    found: dict[Path, set[Path]] = {}
    looked_for: set[str] = set()  # by files of the engine
    waiting = {Path(file).resolve() for file in files}
    while waiting:
        path = waiting.pop()
        inside: Iterable[Path] = ()
        if str(path).startswith(_INSIDE):
            inside, outside = _imported_inside(path, _stamp(str(path)), home)
            names: Iterable[str | Path] = outside - looked_for
            looked_for |= outside
        else:
            names = imported_by(path)
        found[path] = {*inside, *(file for name in names for file in files_of(name, places))}
        waiting |= found[path] - found.keys()
    return found


@lru_cache(maxsize=1024)
def _imported_inside(path: Path, _: Stamp, home: tuple[Path, ...]) -> tuple[frozenset[Path], frozenset[str]]:
    """Of a file of the engine: the engine's files that it imports, and what else it does, which may come and go.

    home: where Python finds the engine.
    """
    names, places = list(imported_by(path)), search_path()
    outside = frozenset(name for name in names if isinstance(name, str) and name.split(".")[0] != engine.__name__)
    return frozenset(file for name in names if name not in outside for file in files_of(name, places)), outside


Stamp = tuple[int, ...]  # another one, and a file or what a folder holds has changed


def _stamp(place: str) -> Stamp:
    """Empty where there is nothing."""
    try:
        found = os.stat(place)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Places(NamedTuple):
    """Where modules may be."""

    folders: tuple[str, ...]
    own: frozenset[str]  # what own files and folders there are called; what is not among them is no own module


def search_path() -> Places:
    """As it is now."""
    return places_of(map(os.path.abspath, sys.path))  # "" is the folder one is in


def places_of(folders: Iterable[str]) -> Places:
    given = tuple(folders)
    long_ago = time.time_ns() - _CLOCK
    own: list[frozenset[str]] = []
    for folder in given:
        if stamp := _stamp(folder):
            settled = stamp[-1] < long_ago  # what came since it was last looked at would have another stamp
            own.append(_own_names(folder, stamp) if settled else _own_names.__wrapped__(folder, stamp))
    return Places(given, frozenset().union(*own))


@lru_cache(maxsize=4096)
def _own_names(folder: str, _: Stamp) -> frozenset[str]:
    """What modules may be called that are found there and are own. In an installed folder: what may lead elsewhere."""
    installed = folder.startswith(_INSTALLED) and not _is_own(Path(folder).resolve())
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not installed or _may_lead_out(entry)]
    except NotADirectoryError:
        names = zipfile.ZipFile(folder).namelist() if zipfile.is_zipfile(folder) and not installed else []
    except OSError:
        names = []
    return frozenset(re.split("[./]", name, maxsplit=1)[0] for name in names)


def _may_lead_out(entry: os.DirEntry[str]) -> bool:
    """A link, or a folder that is no package of the library's own."""
    if entry.is_symlink() or not entry.is_dir():
        return entry.is_symlink()
    start = os.path.join(entry.path, "__init__.py")
    return os.path.islink(start) or not os.path.exists(start)


def imported_by(path: Path) -> Iterator[str | Path]:
    """Dotted names of modules, or paths without ending for relative imports."""
    for level, module, names in meaning_of(path.read_bytes()).imports:
        if level < 0:
            yield from names
        elif level == 0 and module:
            yield module
            yield from (f"{module}.{name}" for name in names)
            if module == "engine":  # its public names live in modules of their own
                yield from (engine.HOME[name] for name in names if name in engine.HOME)
        elif level > 0:
            base = path.parents[level - 1] / module.replace(".", "/")
            yield base
            yield from (base / name for name in names)


def files_of(name: str | Path, places: Places) -> Iterator[Path]:
    """The own file of a module, and those of the packages it is in; places: the search path."""
    yield from files_beside(name) if isinstance(name, Path) else found_at(name, places)[0]


def files_beside(place: Path) -> Iterator[Path]:
    """The file of a module that would be called so, without the ending."""
    return (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def found_at(name: str, top: Places) -> tuple[tuple[Path, ...], Places | None]:
    """The own files of a module and of the packages it is in, and where what is in it would be; None: nowhere."""
    if name in sys.builtin_module_names:  # no file can take its place
        return (), None
    package, _, last = name.rpartition(".")
    files, places = found_at(package, top) if package else ((), top)
    if places is None or not (last in places.own or name.split(".")[0] == engine.__name__):
        return files, None
    # a name with a package makes Python ask for that package's module, which may not have been imported
    spec: ModuleSpec | None = PathFinder.find_spec(last, list(places.folders) if package else None)
    if spec is None:
        return files, None
    if spec.origin and spec.origin.endswith(".py"):
        origin = Path(spec.origin).resolve()
        if _is_own(origin) and not origin.exists():
            raise StrategyError(f"{name} is inside {origin.parent}: unpack it, an archive is part of no study's code")
        if not _is_own(origin):
            return files, None  # and neither is what is in it
        files = (*files, origin)
    inside = spec.submodule_search_locations
    return files, None if inside is None else places_of(inside)


@cache
def is_installed(place: str) -> bool:
    """Whether a file is a library's, and no link to an own one. There are thousands of them, and they stay."""
    if not place.startswith(_INSTALLED):
        return False
    return not (_is_own(Path(place).resolve()) if os.path.islink(place) else _leads_out(os.path.dirname(place)))


@cache
def _leads_out(folder: str) -> bool:
    """Whether a folder among the libraries is a link to an own one; looking up where it is takes 0.1 ms."""
    return _is_own(Path(folder).resolve())


def is_own(path: Path) -> bool:
    """Whether a file is the user's: neither the engine's nor installed."""
    return _is_own(path) and not path.is_relative_to(ENGINE)


def _is_own(path: Path) -> bool:
    return path.is_relative_to(ENGINE) or not any(path.is_relative_to(library) for library in _LIBRARIES)
