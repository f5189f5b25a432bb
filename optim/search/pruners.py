"""Percentile pruners that need not read every complete trial anew at every step: Optuna's answers, sooner."""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from engine.compiled.arrays import Array
from optim.search.tpe import KNOWN  # these pruners, too, are held against Optuna's of these versions by the tests


class _Step(NamedTuple):
    """What the complete trials of a study have reported at one step. Never changed: threads may read it."""

    values: list[float]
    n_seen: int  # complete trials
    last: FrozenTrial | None  # of these
    bound: float  # the percentile of the values; NaN where they are too few

    def knows(self, complete: list[FrozenTrial]) -> bool:
        """Whether these, by number, are the trials that were seen."""
        return self.n_seen == len(complete) and self.last is complete[-1]

    def begins(self, complete: list[FrozenTrial]) -> bool:
        """Whether the trials that were seen are the first of these."""
        return self.n_seen == 0 or (self.n_seen <= len(complete) and self.last is complete[self.n_seen - 1])


_NOTHING = _Step([], 0, None, math.nan)


class _Collecting(optuna.pruners.BasePruner):
    """Optuna's percentile rule: the best value so far has to be within a percentile of the others' at this step.

    Of a study whose trials end in another order than that of their numbers, or of several studies in turn, all is read
    anew.
    """

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
        values = _floats(list(trial.intermediate_values.values()))
        if np.isnan(values).all():
            return True
        bound = self._bound(complete, step, maximise=maximise)
        return bool(np.nanmax(values) < bound if maximise else np.nanmin(values) > bound)

    def _asks(self, trial: FrozenTrial) -> bool:
        """Whether the last step is the first of its interval that was reported, behind the warm-up."""
        warmup, interval, step = self._options["n_warmup_steps"], self._options["interval_steps"], trial.last_step
        before = max((other for other in trial.intermediate_values if other != step), default=-1)
        return bool(step >= warmup and before < (step - warmup) // interval * interval + warmup)

    def _bound(self, complete: list[FrozenTrial], step: int, *, maximise: bool) -> float:
        """The percentile of what complete trials have at a step; NaN, which prunes nothing, where they are too few."""
        known = self._steps.get(step, _NOTHING)
        if known.knows(complete):
            return known.bound
        seen = known if known.begins(complete) else _NOTHING
        added = complete[seen.n_seen :]
        values = seen.values + [t.intermediate_values[step] for t in added if step in t.intermediate_values]
        bound, reported = math.nan, _floats(values)
        if len(values) >= self._options["n_min_trials"] and not np.isnan(reported).all():
            percentile = self._options["percentile"]
            bound = float(np.nanpercentile(reported, 100 - percentile if maximise else percentile))
        self._steps[step] = _Step(values, len(complete), complete[-1], bound)
        return bound


def _floats(values: list[float]) -> Array:
    return np.array(values, dtype=float)


class PercentilePruner(_Collecting, optuna.pruners.PercentilePruner):
    """Optuna's `PercentilePruner`, its arguments by name."""


class MedianPruner(_Collecting, optuna.pruners.MedianPruner):
    """Optuna's `MedianPruner`, its arguments by name."""


def cheaper(kind: type) -> type:
    """The class that gives the same answers as one of Optuna's at less cost, if there is one; else that one."""
    if not optuna.__version__.startswith(KNOWN):
        return kind
    ours: dict[type, type] = {
        optuna.pruners.PercentilePruner: PercentilePruner,
        optuna.pruners.MedianPruner: MedianPruner,
    }
    return ours.get(kind, kind)
