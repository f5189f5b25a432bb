"""The study in memory that a sampler works on, and what of it a resumed search needs again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optim.problem.plan import Plan
from optim.record.memory_storage import MemoryStorage
from optim.record.record import ASKED

STUDY_ATTRS = "optim:study_attrs"  # of a batch's first trial: what `newly_kept` gave before the batch was asked


class Memory:
    """An Optuna study that nobody else sees; told batch by batch what the record has trial by trial."""

    def __init__(self, plan: Plan, pruner: optuna.pruners.BasePruner):
        self.storage = MemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=plan.spec.study.name,
            pruner=pruner,
            directions=[goal.direction for goal in plan.objective.goals],
        )
        self._study_id = self.storage.get_study_id_from_name(plan.spec.study.name)
        self._kept: dict[str, Any] = {}  # what the sampler had kept with the study when a batch was last asked

    def __len__(self) -> int:
        return self.storage.n_made

    def catch_up(self, asked: int) -> None:
        """Hold as many trials as when one was asked: what was thrown away took a number, and pruners count."""
        for _ in range(asked - len(self)):
            self.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))

    def add(self, trials: Sequence[FrozenTrial]) -> None:
        """Trials that have ended, in their order."""
        for trial in trials:
            self.catch_up(trial.system_attrs.get(ASKED, 0))
            self.study.add_trial(trial)

    def restore(self, firsts: Sequence[FrozenTrial]) -> None:
        """What the sampler kept with the study before the batch of the last of these trials was asked.

        firsts: the first trial of every batch, in order.
        """
        for trial in firsts:
            kept = dict(trial.system_attrs.get(STUDY_ATTRS, {}))
            asked = kept.pop(ASKED, 0)
            for name, value in kept.items():
                self.storage.set_study_system_attr(self._study_id, name, value)
            if trial is firsts[-1]:
                self.catch_up(asked)
        self._kept = self._sampler_attrs()

    def newly_kept(self, n_trials: int) -> dict[str, Any]:
        """What a sampler has kept with the study since this was last asked: the position in a QMC sequence, the parents
        of a generation. And how many trials there are, where it is not n_trials.
        """
        before, self._kept = self._kept, self._sampler_attrs()
        new = {name: value for name, value in self._kept.items() if name not in before or before[name] != value}
        return new if len(self) == n_trials else {**new, ASKED: len(self)}

    def _sampler_attrs(self) -> dict[str, Any]:
        attrs = self.storage.get_study_system_attrs(self._study_id)
        return {name: value for name, value in attrs.items() if isinstance(value, int | float | str | list)}
