"""Modules of own files: made importable beside the file that imports them, and forgotten where they are others now."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path
from types import CodeType, ModuleType

from engine.compiled.kept import know
from engine.errors import StrategyError
from engine.strategies.source import (
    ENGINE,
    Places,
    files_beside,
    found_at,
    imported_by,
    imports_of,
    is_installed,
    meaning_hash,
    search_path,
)


class AsItIs(SourceFileLoader):
    """Runs a file as it is now: Python's own loader may take bytecode of the same second and size for it."""

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


_OURS = ("__main__", "engine", "optim")  # loaded before any strategy, and never anew
_imported_as: dict[Path, str] = {}  # what an own file meant when its module was last known to be what is on disk
_libraries: dict[str, ModuleType] = {}  # and what else never is one of them: thousands, looked at once
_neighbourhoods: list[str] = []  # folders of loaded files that are on sys.path for their sake, the last one first


def forget_edited(file: Path) -> str:
    """Make what stands beside `file` importable, and forget the modules it reaches if one is not what is on disk now.

    Python keeps a module for as long as the process lives; a file that is loaded again is to find its neighbours as
    they are, and its own, not those of the same name beside another file. A module holds what it has imported, so
    where one is another now, all that `file` reaches are imported again. Returns one hash (hex) over these files: the
    same hash, the same code. StrategyError where Python would take another module for a neighbour.
    """
    start = Path(file).resolve()
    _find_beside(start)
    places = search_path()
    imports = {path: inner for path, inner in imports_of([start], places).items() if not path.is_relative_to(ENGINE)}
    meanings = {path: meaning_hash(path) for path in imports}
    found = {path: meanings[path] for path in _reached(imports[start], imports)}  # `file` too, if one imports it
    modules = dict(_in_their_places(found, places))
    new = {path for path, meaning in found.items() if _imported_as.get(path) != meaning}
    if any(path not in found or (path in new and not _is_as_imported(name, path)) for name, path in modules.items()):
        for name in modules:
            _forget(name)
    for path in new:
        with contextlib.suppress(OSError, NotImplementedError):  # bytecode that may be of the same second and size
            os.unlink(cache_from_source(str(path)))
    _refuse_others(start, imports)
    _imported_as.update(found)
    states = {path: _hash(meanings, {path, *_reached(imports[path], imports)}) for path in imports}
    know(states)
    return states[start]


def _reached(files: Iterable[Path], imports: Mapping[Path, Iterable[Path]]) -> set[Path]:
    """These files, and those that they import, and so on."""
    found: set[Path] = set()
    waiting = {file for file in files if file in imports}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= {file for file in imports[path] if file in imports} - found
    return found


def _hash(meanings: Mapping[Path, str], files: Iterable[Path]) -> str:
    return hashlib.sha256("".join(f"{path}{meanings[path]}" for path in sorted(files)).encode()).hexdigest()


def _is_as_imported(name: str, path: Path) -> bool:
    """Whether a file that was never looked at is as it was when this process began, and with it what it imported.

    Not what numba decorated in it: machine code that is taken for it may be of another state.
    """
    found = os.stat(path)
    stands = path not in _imported_as and max(found.st_mtime_ns, found.st_ctime_ns) < _STARTED
    return stands and not any(type(one).__module__.startswith("numba.") for one in vars(sys.modules[name]).values())


def _started() -> int:
    """When this process began, in ns as files have it, two seconds sooner rather than later; 0 where nobody says."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        (booted,) = re.findall(r"^btime (\d+)$", Path("/proc/stat").read_text(encoding="utf-8"), re.MULTILINE)
        return int((int(booted) - 2 + ticks / os.sysconf("SC_CLK_TCK")) * 1e9)
    except (OSError, ValueError, IndexError):
        return 0


_STARTED = _started()  # of the process that a forked one is of: modules are inherited


def _in_their_places(found: Collection[Path], places: Places) -> Iterator[tuple[str, Path]]:
    """The modules, and where they are, that are of one of these files, or of another one and have its name."""
    called = {path.parent.name if path.stem == "__init__" else path.stem for path in found}
    beside = _neighbouring()
    for name, module in list(sys.modules.items()):
        if _libraries.get(name) is module:
            continue
        place = _place_of(module)
        if name.partition(".")[0] in _OURS or is_installed(place):
            _libraries[name] = module
            continue
        if not place:
            continue
        path = Path(place).resolve()
        if path in found:
            yield name, path
        elif not called.isdisjoint(name.split(".")) and place.startswith(beside):
            files, _ = found_at(name, places)  # of what a module of this name would be now
            if not set(files).isdisjoint(found):
                yield name, path


def _place_of(module: object) -> str:
    """Its file, or where a package without one is; empty where it has neither, or is in one that was forgotten."""
    inside = getattr(module, "__dict__", {})
    try:
        return str(inside.get("__file__") or next(iter(inside["__path__"])))
    except (KeyError, StopIteration, TypeError):
        return ""


def _forget(name: str) -> None:
    """Not named any more by the package it is in, either."""
    sys.modules.pop(name, None)
    package, _, last = name.rpartition(".")
    if last in _names_of(package):  # a folder that is no file; `from package import last` asks it first
        _replace(package, last)


def _names_of(module: str) -> Collection[str]:
    return getattr(sys.modules.get(module), "__dict__", {}).keys()


def _replace(package: str, last: str, by: ModuleType | None = None) -> None:
    """Another module of that name, the same but for `last`: who holds the one before is not to miss anything."""
    other = ModuleType(package)
    vars(other).update(vars(sys.modules[package]))
    vars(other).pop(last)
    if by is not None:
        setattr(other, last, by)
    sys.modules[package] = other
    above, _, last = package.rpartition(".")
    if last in _names_of(above):
        _replace(above, last, other)


def _refuse_others(start: Path, found: Iterable[Path]) -> None:
    """StrategyError where a name that `start` or a neighbour of it imports is a neighbour's, and another module's."""
    for path in sorted(one for one in found if one.parent == start.parent):
        names = [name for name in imported_by(path) if isinstance(name, str)]
        for top in dict.fromkeys(name.partition(".")[0] for name in names):
            beside, other = start.parent / top, "" if top in _OURS else _taken_for(top)
            file = next(files_beside(beside), None)
            if file is None and beside.is_dir() and other.startswith(_neighbouring()):
                file = beside  # a library would come before a folder without __init__.py for Python too
            if file is not None and other and Path(other).resolve() != file.resolve():
                raise StrategyError(
                    f"{path.name} imports {top}: {file} stands beside it, but Python takes {other}; rename one of them"
                )


def _taken_for(name: str) -> str:
    """The file that `import name` brings, or would bring; empty where there is none."""
    if name in sys.builtin_module_names:
        return f"its own {name}"
    spec = PathFinder.find_spec(name)
    return getattr(sys.modules.get(name), "__file__", None) or (spec.origin if spec and spec.origin else "")


def _neighbouring() -> tuple[str, ...]:
    """How paths begin that are in folders of loaded files."""
    return tuple(os.path.join(folder, "") for folder in _neighbourhoods)


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
