"""One proposal on its way through the cells: what has been measured, whether it goes on, and the trial it becomes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from optim.objective import Objective
from optim.record import BATCH, SLOT
from optim.space import Point
from optim.tasks import Result, Task


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
        try:
            scores = objective.scores(outcome.metrics)
        except Exception as error:  # noqa: BLE001 - an objective of the user's own may raise anything
            self.error = f"cell {step}: the objective raised {type(error).__name__}: {error}"
            return
        self.cells.append(outcome.metrics)
        self.scores.append(scores)
        for goal, score in zip(objective.goals, scores, strict=True):
            if score != score:
                trades = outcome.metrics["n_trades"]
                self.undefined = f"{goal.name} is undefined in cell {step} ({trades:g} trades)"
                return
        if reports:
            self.trial.report(scores[0] if reports == "raw" else objective.values(self.scores)[0], step)

    def freeze(self, objective: Objective, batch: int) -> FrozenTrial:
        """The finished trial as it goes into the record."""
        state, values, attrs = self._verdict(objective)
        running = self.trial.storage.get_trial(self.trial._trial_id)
        if state == TrialState.PRUNED and running.intermediate_values:  # as Optuna's own tell has it
            values = [running.intermediate_values[max(running.intermediate_values)]]
        frozen = copy.copy(running)
        frozen.number = self.number
        frozen.state = state
        frozen.values = values
        frozen.user_attrs = attrs
        frozen.system_attrs = {**frozen.system_attrs, BATCH: batch, SLOT: self.slot}
        frozen.datetime_start = datetime.fromtimestamp(self.started)
        frozen.datetime_complete = datetime.fromtimestamp(self.ended)
        return frozen

    def _verdict(self, objective: Objective) -> tuple[TrialState, list[float] | None, dict[str, Any]]:
        attrs: dict[str, Any] = {}
        state, values = TrialState.PRUNED, None
        if self.error:
            state = TrialState.FAIL
            attrs["error"] = self.error
        elif self.undefined:
            attrs["infeasible"] = self.undefined
            self.trial.set_constraint("objective is defined", 1.0)
        elif not self.pruned:
            state, values = TrialState.COMPLETE, list(objective.values(self.scores))
        if self.cells:
            metrics = objective.metrics(self.cells)
            attrs.update((name, value) for name, value in metrics.items() if value == value)
            attrs["cell_values"] = [list(s) if len(s) > 1 else s[0] for s in self.scores if all(x == x for x in s)]
            if state == TrialState.COMPLETE:
                broken = []
                for text, distance in objective.violations(metrics).items():
                    self.trial.set_constraint(text, distance)
                    broken += [text] if distance > 0 else []
                if broken:
                    attrs["infeasible"] = "; ".join(broken)
        return state, values, attrs


def tell(study: optuna.Study, trial: optuna.Trial, frozen: FrozenTrial) -> None:
    """Give the in-memory study what the record has of a trial that is still running there."""
    running = trial.storage.get_trial(trial._trial_id)
    for step, value in frozen.intermediate_values.items():
        if step not in running.intermediate_values:
            trial.report(value, step)
    for name, value in frozen.system_attrs.items():
        if not name.startswith("optim:") and name not in running.system_attrs:
            trial.storage.set_trial_system_attr(trial._trial_id, name, value)
    study.tell(trial, frozen.values if frozen.state == TrialState.COMPLETE else None, state=frozen.state)


def resumed(study: optuna.Study, frozen: FrozenTrial, keep: Sequence[str]) -> optuna.Trial:
    """A recorded trial as it was while it was running: its parameters, and of its attributes those to `keep`."""
    template = copy.copy(frozen)
    template.state = TrialState.RUNNING
    template.values = None
    template.intermediate_values = {}
    template.user_attrs = {}
    template.system_attrs = {name: frozen.system_attrs[name] for name in keep}
    template.datetime_complete = None
    storage = study._storage
    return optuna.Trial(study, storage.create_new_trial(study._study_id, template_trial=template))
