"""Early stop: how long the best value has not improved."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optim.search.scoring import is_feasible


class Patience:
    """Counts trials since the best value last improved."""

    def __init__(self, limit: int | None, direction: str):
        self._limit = limit
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._best = float("-inf")
        self._since = 0

    def see(self, trials: Sequence[FrozenTrial]) -> None:
        """Count trials that have ended, in their order."""
        if self._limit is None:
            return
        for trial in trials:
            self._since += 1
            if is_feasible(trial) and self._sign * trial.values[0] > self._best:
                self._best = self._sign * trial.values[0]
                self._since = 0

    @property
    def exhausted(self) -> bool:
        """Whether `limit` trials went by without an improvement."""
        return self._limit is not None and self._since >= self._limit
