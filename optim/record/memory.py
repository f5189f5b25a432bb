"""A record that lasts as long as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optuna.trial import FrozenTrial


class TrialRecord(Protocol):
    """Where the trials of a search are kept; optim.record.record.Record keeps them for good."""

    location: str

    def trials(self) -> list[FrozenTrial]: ...
    def append(self, trials: Sequence[FrozenTrial]) -> None: ...


class MemoryRecord:
    """The trials of one search, in memory."""

    def __init__(self) -> None:
        self.location = "memory"
        self._trials: list[FrozenTrial] = []

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order of their numbers."""
        return list(self._trials)

    def append(self, trials: Sequence[FrozenTrial]) -> None:
        """Keep finished trials, which change no more."""
        for trial in trials:
            trial.number = len(self._trials)
            self._trials.append(trial)
