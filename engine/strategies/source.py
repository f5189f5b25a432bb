"""What code a result depends on: the files a module reaches by its imports, hashed by what they mean.

A comment, a blank line or a docstring is no change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import engine
from engine.errors import StrategyError
from engine.strategies.meaning import Meaning, keep, meaning_of

ENGINE = Path(__file__).parents[1]
_CLOCK = 2_000_000_000  # ns, within which a disk may not tell two moments apart
_INSIDE = f"{ENGINE}{os.sep}"
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_LIBRARIES = tuple(Path(place).resolve() for place in _INSTALLED)


def code_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 (hex) of the meaning of every own file that `files` reach, by resolved path; the engine's are one entry.

    Own is what is neither Python's nor installed. files: Python files, which can be read and parsed.
    """
    found = {path: meaning_hash(path) for path in _reached(files, _search_path())}
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


class AsItIs(SourceFileLoader):
    """Runs a file as it is now: Python's own loader may take bytecode of the same second and size for it."""

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


_OURS = ("__main__", "engine", "optim")  # loaded before any strategy, and never anew
_imported_as: dict[Path, str] = {}  # what an own file meant when its module was last known to be what is on disk
_neighbourhoods: list[str] = []  # folders of loaded files that are on sys.path for their sake, the last one first


def forget_edited(file: Path) -> str:
    """Make what stands beside `file` importable, and forget modules of own files that are not what is on disk now.

    Python keeps a module for as long as the process lives; a file that is loaded again is to find its neighbours as
    they are, and its own, not those of the same name beside another file. Returns one hash (hex) over all that `file`
    reaches: the same hash, the same code. StrategyError where Python would take another module for a neighbour.
    """
    start = Path(file).resolve()
    _find_beside(start)
    places = _search_path()
    found = {path: meaning_hash(path) for path in _reached([start], places) if not path.is_relative_to(ENGINE)}
    called = {path.parent.name if path.stem == "__init__" else path.stem for path in found}
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if not place or _is_installed(place) or name.partition(".")[0] in _OURS:
            continue
        path = Path(place).resolve()
        if path in found and path != start and _imported_as.get(path) != found[path]:
            del sys.modules[name]
            with contextlib.suppress(OSError, NotImplementedError):  # bytecode that may be of the same second and size
                os.unlink(cache_from_source(str(path)))
        elif path not in found and not called.isdisjoint(name.split(".")):
            files, _ = _found_at(name, places)  # of what a module of this name would be now
            if found.keys() & set(files) and place.startswith(tuple(_neighbourhoods)):
                del sys.modules[name]
    _refuse_others(start, found)
    _imported_as.update(found)
    return hashlib.sha256("".join(f"{path}{found[path]}" for path in sorted(found)).encode()).hexdigest()


def _refuse_others(start: Path, found: Iterable[Path]) -> None:
    """StrategyError where a name that `start` or a neighbour of it imports is a neighbour's, and another module's."""
    for path in sorted(one for one in found if one.parent == start.parent):
        names = [name for name in _names(meaning_of(path.read_bytes()), path) if isinstance(name, str)]
        for top in dict.fromkeys(name.partition(".")[0] for name in names):
            beside = None if top in _OURS else next(_files_beside(start.parent / top), None)
            if beside is not None and (other := _taken_for(top)) and Path(other).resolve() != beside.resolve():
                raise StrategyError(
                    f"{path.name} imports {top}: {beside} stands beside it, but Python takes {other}; "
                    "rename one of them"
                )


def _taken_for(name: str) -> str:
    """The file that `import name` brings, or would bring; empty where there is none."""
    if name in sys.builtin_module_names:
        return f"its own {name}"
    spec = PathFinder.find_spec(name)
    return getattr(sys.modules.get(name), "__file__", None) or (spec.origin if spec and spec.origin else "")


def _find_beside(file: Path) -> None:
    """Put its folder on sys.path: behind what was there, so that it hides no library, before other files' folders."""
    folder = str(file.parent)
    if folder in _neighbourhoods:
        _neighbourhoods.remove(folder)
        sys.path[:] = [place for place in sys.path if place != folder]
    elif folder in sys.path:
        return
    first = min((i for i, place in enumerate(sys.path) if place in _neighbourhoods), default=len(sys.path))
    sys.path.insert(first, folder)
    _neighbourhoods.insert(0, folder)


@cache
def _is_installed(place: str) -> bool:
    """Whether a file is a library's, and no link to an own one. There are thousands of them, and they stay."""
    if not place.startswith(_INSTALLED):
        return False
    return not (_is_own(Path(place).resolve()) if os.path.islink(place) else _leads_out(os.path.dirname(place)))


@cache
def _leads_out(folder: str) -> bool:
    """Whether a folder among the libraries is a link to an own one; looking up where it is takes 0.1 ms."""
    return _is_own(Path(folder).resolve())


def meaning_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's syntax tree without docstrings, the same in every version of Python."""
    return meaning_of(path.read_bytes()).digest


def _reached(files: Iterable[Path], places: _Places) -> set[Path]:
    home = _found_at(engine.__name__, places)[0]
    found: set[Path] = set()
    looked_for: set[str] = set()  # by files of the engine
    waiting = {Path(file).resolve() for file in files}
    while waiting:
        path = waiting.pop()
        found.add(path)
        if str(path).startswith(_INSIDE):
            inside, outside = _imported_inside(path, _stamp(str(path)), home)
            waiting |= inside - found
            names: Iterable[str | Path] = outside - looked_for
            looked_for |= outside
        else:
            names = _names(meaning_of(path.read_bytes()), path)
        waiting.update(file for name in names for file in _files_of(name, places) if file not in found)
    return found


@lru_cache(maxsize=1024)
def _imported_inside(path: Path, _: Stamp, home: tuple[Path, ...]) -> tuple[frozenset[Path], frozenset[str]]:
    """Of a file of the engine: the engine's files that it imports, and what else it does, which may come and go.

    home: where Python finds the engine.
    """
    names, places = list(_names(meaning_of(path.read_bytes()), path)), _search_path()
    outside = frozenset(name for name in names if isinstance(name, str) and name.split(".")[0] != engine.__name__)
    return frozenset(file for name in names if name not in outside for file in _files_of(name, places)), outside


Stamp = tuple[int, ...]  # another one, and a file or what a folder holds has changed


def _stamp(place: str) -> Stamp:
    """Empty where there is nothing."""
    try:
        found = os.stat(place)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class _Places(NamedTuple):
    """Where modules may be."""

    folders: tuple[str, ...]
    own: frozenset[str]  # what own files and folders there are called; what is not among them is no own module


def _search_path() -> _Places:
    return _places(map(os.path.abspath, sys.path))  # "" is the folder one is in


def _places(folders: Iterable[str]) -> _Places:
    given = tuple(folders)
    long_ago = time.time_ns() - _CLOCK
    own: list[frozenset[str]] = []
    for folder in given:
        if stamp := _stamp(folder):
            settled = stamp[-1] < long_ago  # what came since it was last looked at would have another stamp
            own.append(_own_names(folder, stamp) if settled else _own_names.__wrapped__(folder, stamp))
    return _Places(given, frozenset().union(*own))


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


def _names(meaning: Meaning, path: Path) -> Iterator[str | Path]:
    """Dotted names of modules, or paths without ending for relative imports."""
    for level, module, names in meaning.imports:
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


def _files_of(name: str | Path, places: _Places) -> Iterator[Path]:
    """The own file of a module, and those of the packages it is in; places: the search path."""
    yield from _files_beside(name) if isinstance(name, Path) else _found_at(name, places)[0]


def _files_beside(place: Path) -> Iterator[Path]:
    """The file of a module that would be called so, without the ending."""
    return (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def _found_at(name: str, top: _Places) -> tuple[tuple[Path, ...], _Places | None]:
    """The own files of a module and of the packages it is in, and where what is in it would be; None: nowhere."""
    if name in sys.builtin_module_names:  # no file can take its place
        return (), None
    package, _, last = name.rpartition(".")
    files, places = _found_at(package, top) if package else ((), top)
    if places is None or not (last in places.own or name.split(".")[0] == engine.__name__):
        return files, None
    spec: ModuleSpec | None = PathFinder.find_spec(name, list(places.folders) if package else None)
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
    return files, None if inside is None else _places(inside)


def is_own(path: Path) -> bool:
    """Whether a file is the user's: neither the engine's nor installed."""
    return _is_own(path) and not path.is_relative_to(ENGINE)


def _is_own(path: Path) -> bool:
    return path.is_relative_to(ENGINE) or not any(path.is_relative_to(library) for library in _LIBRARIES)
