"""A strategy that is given as a function: the reference `file.py:name` by which a study file would name it.

A study's record holds what its file's code means, and its workers load it by name: so the function must be one that
another process finds in a file.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from optim.errors import SpecError

_BUILT_IN = "engine.strategies.built_in."


def reference_of(function: Any, folder: Path) -> str:
    """`file.py:name`, inside the folder relative to it, or a built-in strategy's name; a text is one already.

    SpecError where no other process could load it.
    """
    if isinstance(function, str):
        return function
    own = getattr(function, "signal", function)  # of a @strategy, the function under it
    name, module = getattr(own, "__qualname__", ""), getattr(own, "__module__", None) or ""
    if not callable(own) or not name:
        raise SpecError(f"strategy is a {type(function).__name__}; give a function, or the name of a strategy")
    if module.startswith(_BUILT_IN):
        return module.removeprefix(_BUILT_IN)
    remedy = "workers load it from a file: write it to one (in a notebook %%writefile my_strategy.py) and import it"
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(own)) or "").resolve()
    except TypeError:
        file = Path()
    if not file.is_file():
        raise SpecError(f"strategy {name!r} stands in no file; {remedy}")
    if getattr(sys.modules.get(module), name, None) is not function:
        raise SpecError(f"strategy {name!r} of {file} is not found under this name in its file; {remedy}")
    if module == "__main__" and not _guarded(file):
        raise SpecError(
            f"strategy {name!r} stands in the script that runs, which workers would run again; put what starts the "
            "study under if __name__ == '__main__':, or the strategy into a file of its own"
        )
    inside = file.is_relative_to(folder.resolve())
    return f"{file.relative_to(folder.resolve()) if inside else file}:{name}"


def _guarded(script: Path) -> bool:
    """Whether something of a script runs only where it is the one that was started."""
    body = ast.parse(script.read_bytes()).body
    return any(isinstance(one, ast.If) and "__name__" in ast.dump(one.test) for one in body)
