"""What a Python file means and what it imports: read off its syntax tree once, and kept in the user's cache folder."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from engine.compiled.cache import cache_root

_MOST = 4096  # files that are remembered
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Meaning(NamedTuple):
    """Of one file's content."""

    digest: str  # SHA-256 (hex) of its syntax tree without docstrings, the same in every version of Python
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]  # level, module, names; of `import x` level -1 and no module


@lru_cache(maxsize=1024)
def meaning_of(content: bytes) -> Meaning:
    """Taken from what is kept, if it is there: parsing the engine takes a third of a second."""
    name = hashlib.sha256(content).hexdigest()
    if (known := _kept().get(name)) is not None:
        return known
    found = _read(content)
    _kept()[name] = found
    return found


def keep(contents: Iterable[bytes]) -> None:
    """Write what these files mean into the cache folder, where it is not there yet; a folder that cannot be is none."""
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    if all(name in _on_disk() for name in names):
        return
    with contextlib.suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = dict(list({**_load(file), **{name: _kept()[name] for name in names}}.items())[-_MOST:])
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".json", delete=False, encoding="utf-8") as new:
            json.dump(kept, new)
        os.replace(new.name, file)
        _on_disk().update(names)


def _file() -> Path:
    return cache_root() / f"meanings-{_VERSION}.json"


@cache
def _kept() -> dict[str, Meaning]:
    found = _load(_file())
    _on_disk().update(found)
    return found


@cache
def _on_disk() -> set[str]:
    return set()


def _load(file: Path) -> dict[str, Meaning]:
    try:
        table = json.loads(file.read_bytes())
        return {
            str(name): Meaning(str(digest), tuple((int(n), str(m), tuple(map(str, names))) for n, m, names in imports))
            for name, (digest, imports) in table.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _read(content: bytes) -> Meaning:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # importing it says what is wrong with it
        return Meaning(hashlib.sha256(content).hexdigest(), ())
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _is_text(body):
            node.body = node.body[1:]
        if isinstance(node, ast.Import):
            imports.append((-1, "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return Meaning(hashlib.sha256(repr(_plain(tree)).encode()).hexdigest(), tuple(imports))


def _is_text(body: Any) -> bool:
    first = body[0] if body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples; fields that are empty are left out, as newer Pythons add some."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind"))
        return (type(node).__name__, *(field for field in fields if field[1] not in ("None", ())))
    return tuple(map(_plain, node)) if isinstance(node, list) else repr(node)
