"""What a cell costs, learned as results come in, and what follows: where a task runs, and how many travel together."""

from __future__ import annotations

import math

from optim.workers.tasks import Result

INLINE_SECONDS = 0.005  # less work than this costs more to hand out than to do here
COMPILE_SECONDS = 5.0  # a first call may be this slow for compiling alone: it says nothing about the second


class Pace:
    """Seconds per cell, as a moving average. trials: how many results from this process it begins with."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self._seconds = 0.0  # 0 = not known yet

    def learn(self, result: Result) -> Result:
        """Take a result's times in; gives the result back."""
        cost = (result.ended - result.started) / max(len(result.outcomes), 1)
        first = self.trials > 0 or self._seconds == 0.0
        self._seconds = min(cost, 1.0) if first else 0.8 * self._seconds + 0.2 * cost
        return result

    def learn_here(self, result: Result) -> Result:
        """Likewise, of a task that ran in this process."""
        self.trials = 0 if result.ended - result.started > COMPILE_SECONDS else self.trials - 1
        return self.learn(result)

    def long(self, n_cells: int) -> bool:
        """Whether so many cells are worth handing out; not while that is unknown."""
        return self._seconds * n_cells >= INLINE_SECONDS

    def short(self, n_cells: int) -> bool:
        """Whether so many cells are sooner done here; not while that is unknown."""
        return self._seconds > 0.0 and self._seconds * n_cells < INLINE_SECONDS

    def fitting(self, seconds: float) -> int:
        """How many cells take so many seconds, at least one; one while that is unknown."""
        return math.ceil(seconds / self._seconds) if self._seconds > 0.0 else 1
