"""Optuna's storage in memory: one that knows the complete trials, and one of a whole record."""

from __future__ import annotations

import copy
from bisect import insort
from collections.abc import Container, Sequence

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


class MemoryStorage(InMemoryStorage):
    """Pruners ask for the complete trials at every step: here the answer costs what it is long."""

    def __init__(self) -> None:
        super().__init__()
        self._study_of: dict[int, int] = {}  # of a trial
        self._complete: dict[int, list[FrozenTrial]] = {}  # by study; a trial that has ended does not change

    @property
    def n_made(self) -> int:
        """How many trials were ever made."""
        return len(self._study_of)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """As Optuna's."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._study_of[trial_id] = study_id
        self._note(trial_id)
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """As Optuna's."""
        done = super().set_trial_state_values(trial_id, state, values)
        self._note(trial_id)
        return done

    def delete_study(self, study_id: int) -> None:
        """As Optuna's."""
        super().delete_study(study_id)
        self._complete.pop(study_id, None)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As Optuna's, in the order of their numbers."""
        if deepcopy or states != (TrialState.COMPLETE,):
            return super().get_all_trials(study_id, deepcopy, states)
        self.get_study_name_from_id(study_id)  # KeyError where there is none
        return list(self._complete.get(study_id, ()))

    def _note(self, trial_id: int) -> None:
        trial = self.get_trial(trial_id)
        if trial.state == TrialState.COMPLETE:
            insort(self._complete.setdefault(self._study_of[trial_id], []), trial, key=lambda one: one.number)


class WholeStorage(InMemoryStorage):
    """One study of recorded trials, which change no more: as they are, where Optuna's would copy each several times.

    They are known to `get_all_trials` alone.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._whole = trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As Optuna's."""
        self.get_study_name_from_id(study_id)  # as above
        found = [trial for trial in self._whole if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found
