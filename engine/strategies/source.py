"""What code a result depends on: the files a module reaches by its imports, hashed by what they mean.

A comment, a blank line or a docstring is no change.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import engine

ENGINE = Path(__file__).parents[1]
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_LIBRARIES = tuple(Path(place).resolve() for place in _INSTALLED)


def code_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 (hex) of the meaning of every own file that `files` reach, by resolved path; the engine's are one entry.

    Own is what is neither Python's nor installed. files: Python files, which can be read and parsed.
    """
    found = {path: meaning_hash(path) for path in _reached(files)}
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


_imported_as: dict[Path, str] = {}  # what an own file meant when its module was last known to be what is on disk


def forget_edited(file: Path) -> str:
    """Forget the modules of own files that `file` imports, where they may not be what is on disk now.

    Python keeps a module for as long as the process lives; a file that is loaded again is to find its neighbours as
    they are. Returns one hash (hex) over all that `file` reaches: the same hash, the same code.
    """
    found = {path: meaning_hash(path) for path in _reached([file]) if not path.is_relative_to(ENGINE)}
    start = Path(file).resolve()
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if not place or name.split(".")[0] in ("__main__", "engine", "optim"):
            continue
        path = _installed(place) if place.startswith(_INSTALLED) else Path(place).resolve()
        if path != start and path in found and _imported_as.get(path) != found[path]:
            del sys.modules[name]
    _imported_as.update(found)
    return hashlib.sha256("".join(f"{path}{found[path]}" for path in sorted(found)).encode()).hexdigest()


@cache
def _installed(place: str) -> Path:
    """Where a file of a library is. There are thousands of them, and they stay; looking one up takes 0.1 ms."""
    folder, name = os.path.split(place)
    return Path(place).resolve() if os.path.islink(place) else _folder(folder) / name


@cache
def _folder(place: str) -> Path:
    return Path(place).resolve()


def meaning_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's syntax tree without docstrings, the same in every version of Python."""
    return _meaning(path.read_bytes())


@lru_cache(maxsize=1024)
def _meaning(content: bytes) -> str:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # importing it says what is wrong with it
        return hashlib.sha256(content).hexdigest()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _is_text(body):
            node.body = node.body[1:]
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


def _is_text(body: Any) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples; fields that are empty are left out, as newer Pythons add some."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind"))
        return (type(node).__name__, *(field for field in fields if field[1] not in ("None", ())))
    return tuple(map(_plain, node)) if isinstance(node, list) else repr(node)


def _reached(files: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    waiting = [Path(file).resolve() for file in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(path, path.read_bytes()))
    return found


@lru_cache(maxsize=1024)
def _imported(path: Path, content: bytes) -> tuple[Path, ...]:
    """The own files that a file imports, anywhere in it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return ()
    return tuple(file for name in _names(tree, path) for file in _files_of(name))


def _names(tree: ast.AST, path: Path) -> Iterator[str | Path]:
    """Dotted names of modules, or paths without ending for relative imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            if node.module == "engine":  # its public names live in modules of their own
                yield from (engine.HOME[alias.name] for alias in node.names if alias.name in engine.HOME)
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] / (node.module or "").replace(".", "/")
            yield base
            yield from (base / alias.name for alias in node.names)


def _files_of(name: str | Path) -> Iterator[Path]:
    """The own file of a module, and those of the packages it is in."""
    if isinstance(name, Path):
        yield from (file for file in (name.with_suffix(".py"), name / "__init__.py") if file.is_file())
        return
    places: Any = None
    for count in range(1, name.count(".") + 2):
        spec: ModuleSpec | None = PathFinder.find_spec(".".join(name.split(".")[:count]), places)
        if spec is None:
            return
        if spec.origin and spec.origin.endswith(".py") and _is_own(Path(spec.origin).resolve()):
            yield Path(spec.origin).resolve()
        if spec.submodule_search_locations is None:
            return
        places = list(spec.submodule_search_locations)


def _is_own(path: Path) -> bool:
    return path.is_relative_to(ENGINE) or not any(path.is_relative_to(library) for library in _LIBRARIES)
