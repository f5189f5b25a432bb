"""Percentile pruners that need not read every complete trial anew at every step: Optuna's answers, sooner."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

KNOWN = ("5.0.",)  # versions of Optuna whose pruners are held against these by the tests


class _Step:
    """What the complete trials have reported at one step."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.n_seen = 0  # complete trials
        self.last: FrozenTrial | None = None  # of these
        self.bound = math.nan  # the percentile of the values

    def knows(self, complete: list[FrozenTrial]) -> bool:
        """Whether nothing has been added since; `complete`: by number."""
        return self.n_seen == len(complete) and self.last is complete[-1]

    def see(self, complete: list[FrozenTrial], step: int) -> None:
        """Take in what has been added; everything anew where that does not stand at the end."""
        if self.n_seen > len(complete) or (self.n_seen and complete[self.n_seen - 1] is not self.last):
            self.values, self.n_seen = [], 0
        added = complete[self.n_seen :]
        self.values += [t.intermediate_values[step] for t in added if step in t.intermediate_values]
        self.n_seen, self.last = len(complete), complete[-1]


class _Collecting(optuna.pruners.BasePruner):
    """Optuna's percentile rule. The best value so far has to be within a percentile of the others' at this step."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        given = inspect.signature(super().__init__).bind(**options)
        given.apply_defaults()
        self._options = {"percentile": 50.0, **given.arguments}  # MedianPruner has no such argument
        self._steps: dict[int, _Step] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """As Optuna's."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        step = trial.last_step
        if not complete or len(complete) < self._options["n_startup_trials"] or step is None or not self._asks(trial):
            return False
        maximise = study.direction == StudyDirection.MAXIMIZE
        values = [value for value in trial.intermediate_values.values() if not math.isnan(value)]
        if not values:
            return True
        bound = self._bound(complete, step, maximise=maximise)
        return max(values) < bound if maximise else min(values) > bound

    def _asks(self, trial: FrozenTrial) -> bool:
        """Whether the last step is the first of its interval that was reported, behind the warm-up."""
        warmup, interval, step = self._options["n_warmup_steps"], self._options["interval_steps"], trial.last_step
        before = max((other for other in trial.intermediate_values if other != step), default=-1)
        return bool(step >= warmup and before < (step - warmup) // interval * interval + warmup)

    def _bound(self, complete: list[FrozenTrial], step: int, *, maximise: bool) -> float:
        """The percentile of what complete trials have at a step; NaN, which prunes nothing, where they are too few."""
        known = self._steps.setdefault(step, _Step())
        if not known.knows(complete):
            known.see(complete, step)
            percentile = self._options["percentile"]
            enough = len(known.values) >= self._options["n_min_trials"] and not all(map(math.isnan, known.values))
            known.bound = (
                float(np.nanpercentile(known.values, 100 - percentile if maximise else percentile))
                if enough
                else math.nan
            )
        return known.bound


class PercentilePruner(_Collecting, optuna.pruners.PercentilePruner):
    """Optuna's `PercentilePruner`, its arguments by name."""


class MedianPruner(_Collecting, optuna.pruners.MedianPruner):
    """Optuna's `MedianPruner`, its arguments by name."""


def cheaper(kind: type) -> type:
    """The class that gives the same answers as one of Optuna's at less cost, if there is one; else that one."""
    if not optuna.__version__.startswith(KNOWN):
        return kind
    known: dict[type, type] = {
        optuna.pruners.PercentilePruner: PercentilePruner,
        optuna.pruners.MedianPruner: MedianPruner,
    }
    return known.get(kind, kind)
