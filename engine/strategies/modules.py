"""A user's strategy file as a module."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from engine.errors import StrategyError
from engine.strategies.neighbours import AsItIs
from engine.strategies.raised import raised


@lru_cache(maxsize=256)
def module_of(path: str, content: str) -> ModuleType:
    """The file, imported; anew for another `content`, a hash of what it is made of. Raises StrategyError."""
    name = f"optim_strategy_{Path(path).stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}_{content}"
    if not path.endswith(".py"):
        raise StrategyError(f"{path} is no Python file: its name must end in .py")
    loader = AsItIs(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # it has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # get_type_hints and pickle look the module up by name
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise StrategyError(f"{path} cannot be imported: {raised(error, Path(path))}") from error
    return module
