"""One proposal on its way through the cells: what has been measured, whether it goes on, and the trial it becomes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from optim.problem.objective import Objective
from optim.record.optuna_private import finish
from optim.record.quiet import no_warnings
from optim.record.record import ASKED, BATCH, SLOT
from optim.search.memory import Memory
from optim.search.scoring import Scored, judge, score_cell
from optim.spec.space import Point
from optim.workers.tasks import Result, Task


class Candidate:
    """A proposal of a batch while its cells are being evaluated, in order."""

    def __init__(self, number: int, slot: int, trial: optuna.Trial, point: Point):
        self.number = number  # as the record will have it
        self.slot = slot
        self.trial = trial
        self.point = point
        self.task: Task | None = None
        self.inbox: dict[int, Result] = {}  # by cell; results may come before it is their turn
        self.recorded: FrozenTrial | None = None  # the record has it already
        self.cells: list[Mapping[str, float]] = []
        self.scores: list[tuple[float, ...]] = []
        self.error = ""
        self.undefined = ""
        self.pruned = False
        self.started = 0.0
        self.ended = 0.0
        self.spent = 0.0

    @property
    def alive(self) -> bool:
        """Whether nothing has stopped it."""
        return not (self.error or self.undefined or self.pruned)

    @property
    def step(self) -> int:
        """The cell that is next."""
        return len(self.cells)

    def take(self, objective: Objective, *, reports: str) -> None:
        """Judge the next cell's result.

        `reports`: what the pruner is told: "raw" scores, the running "value" over the cells so far, or nothing ("").
        """
        result, step = self.inbox.pop(self.step), self.step
        self.started = min(self.started, result.started) if self.started else result.started
        self.ended = max(self.ended, result.ended)
        self.spent += result.ended - result.started
        outcome = result.outcomes[0]
        if outcome.error:
            self.error = f"cell {step}: {outcome.error}"
            return
        scores, self.error, self.undefined = score_cell(objective, outcome.metrics, step)
        if self.error:
            return
        self.cells.append(outcome.metrics)
        self.scores.append(scores)
        if self.undefined:
            return
        if reports:
            self.trial.report(scores[0] if reports == "raw" else objective.values(self.cells, self.scores)[0], step)

    def freeze(self, objective: Objective, batch: int) -> FrozenTrial:
        """The finished trial as it goes into the record."""
        scored = Scored(self.cells, self.scores, self.error, self.undefined)
        state, judged, attrs, constraints = judge(objective, scored, pruned=self.pruned)
        for name, distance in constraints.items():
            self.trial.set_constraint(name, distance)
        values = None if judged is None else list(judged)
        running = self.trial.storage.get_trial(_id(self.trial))
        if state == TrialState.PRUNED and running.intermediate_values:  # as Optuna's own tell has it
            values = [running.intermediate_values[max(running.intermediate_values)]]
        frozen = copy.copy(running)
        frozen.number = self.number
        frozen.state = state
        frozen.values = values
        frozen.user_attrs = attrs
        frozen.system_attrs = {**frozen.system_attrs, BATCH: batch, SLOT: self.slot}
        if self.trial.number != self.number:
            frozen.system_attrs[ASKED] = self.trial.number
        frozen.datetime_start = datetime.fromtimestamp(self.started)
        frozen.datetime_complete = datetime.fromtimestamp(self.ended)
        return frozen


def tell(study: optuna.Study, trial: optuna.Trial, frozen: FrozenTrial) -> None:
    """Give the in-memory study what the record has of a trial that is still running there."""
    trial_id = _id(trial)
    running = trial.storage.get_trial(trial_id)
    for step, value in frozen.intermediate_values.items():
        if step not in running.intermediate_values:
            trial.report(value, step)
    for name, value in frozen.system_attrs.items():
        if not name.startswith("optim:") and name not in running.system_attrs:
            trial.storage.set_trial_system_attr(trial_id, name, value)
    with no_warnings("Constraints have been set"):  # CMA-ES says for every trial that it uses none
        finish(study, trial, frozen.values if frozen.state == TrialState.COMPLETE else None, frozen.state)


def resumed(memory: Memory, frozen: FrozenTrial, keep: Sequence[str]) -> optuna.Trial:
    """A recorded trial as it was while it was running: its parameters, and of its attributes those to `keep`."""
    template = copy.copy(frozen)
    template.state = TrialState.RUNNING
    template.values = None
    template.intermediate_values = {}
    template.user_attrs = {}
    template.system_attrs = {name: frozen.system_attrs[name] for name in keep}
    template.datetime_complete = None
    study_id = memory.storage.get_study_id_from_name(memory.study.study_name)
    return optuna.Trial(memory.study, memory.storage.create_new_trial(study_id, template_trial=template))


def _id(trial: optuna.Trial) -> int:
    """A trial's id in its storage."""
    storage = trial.storage
    study_id = storage.get_study_id_from_name(trial.study.study_name)
    return storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
