"""What a user's own code raised, in words, and where in it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from engine.errors import EngineError, StrategyError
from engine.strategies.source import is_own

_AT = re.compile(r" at [^:\n]+:\d+(?=: )")


class Named(Protocol):
    """A strategy, as far as its errors need it."""

    name: str
    reference: str
    signal: Callable[..., Any]


def ask(strategy: Named, *arguments: Any) -> Any:
    """What the strategy's function answers; one that would end the process has failed as any other that raises."""
    try:
        return strategy.signal(*arguments)
    except SystemExit as error:
        raise StrategyError(reason(strategy, error)) from None


def reason(strategy: Named, error: BaseException) -> str:
    """One sentence on why a backtest failed."""
    if isinstance(error, EngineError):
        return str(error)
    return f"{strategy.name} raised {raised(error, Path(strategy.reference.rpartition(':')[0]))}"


def raised(error: BaseException, file: Path) -> str:
    """`KeyError at my.py:12: 'a'`: type, the innermost line of `file` or of the own files that it calls, and the text.

    A file is named as seen from the folder of `file`, by its name alone where it is not in there.
    """
    return f"{type(error).__name__}{_place(error, file.resolve())}: {error}"


def _place(error: BaseException, file: Path) -> str:
    """` at my.py:12`; empty where no line of the file had a part in it."""
    frames = [
        (Path(frame.f_code.co_filename).resolve(), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    entered = next((i for i, (path, _) in enumerate(frames) if path == file), len(frames))
    for path, line in reversed(frames[entered:]):  # what comes before is whoever called it
        if path.is_file() and is_own(path):
            inside = path.is_relative_to(file.parent)
            return f" at {path.relative_to(file.parent).as_posix() if inside else path.name}:{line}"
    return ""


def without_place(said: str) -> str:
    """The same words without the line, which moves with every comment above it."""
    return _AT.sub("", said, count=1)
