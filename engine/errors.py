"""The engine's errors, and the root they share with optim's.

UserError
├── EngineError
│   ├── DataError        bars that cannot be traded: file, row, reason
│   ├── StrategyError    a strategy that cannot be found, loaded or that returned garbage
│   └── ParameterError   a parameter or account rule that is missing, unknown or out of range
└── optim.errors.OptimError ...
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

MOST_FAULTS = 20  # rows that one error names


class Fault(NamedTuple):
    """A row of a table that cannot be used; rows are counted from 1."""

    row: int
    reason: str


class UserError(Exception):
    """Root of everything that is raised on purpose: its message is one sentence for the user."""


class EngineError(UserError):
    """Root of everything the engine raises on purpose."""


class DataError(EngineError):
    """Market data that cannot be traded. faults: the bad rows, MOST_FAULTS at the most, where rows are to blame."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


def refused(faults: Sequence[Fault]) -> DataError:
    """The error that tells the first fault and keeps them all."""
    return DataError(f"row {faults[0].row}: {faults[0].reason}", faults)


def worst(faults: Sequence[Fault]) -> list[Fault]:
    """MOST_FAULTS of them at the most, in order of their rows; one of each kind of reason in turn, so that none takes
    the room of another.
    """
    so_far: dict[str, int] = {}
    turns = []
    for fault in sorted(faults):
        kind = re.sub(r"'[^']*'|, got .*", "", fault.reason)
        so_far[kind] = so_far.get(kind, 0) + 1
        turns.append((so_far[kind], fault))
    return sorted(fault for _, fault in sorted(turns)[:MOST_FAULTS])


class StrategyError(EngineError):
    """A strategy that cannot be found or loaded, or whose signal is unusable."""


class ParameterError(EngineError):
    """A strategy parameter or an account rule that is missing, unknown or out of range."""
