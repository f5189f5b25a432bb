"""The loop: ask a batch, evaluate it round by round over the cells, prune, tell, record, mirror.

The result depends on (spec, data, seed, batch_size) only. A batch is the unit of the record: it is appended when all
of its trials have ended, in slot order, and an interrupted one is asked and evaluated again, to the same digits.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from optim.plan import Plan
from optim.proposals import Proposal, Proposer, make_pruner
from optim.record import BATCH, SLOT, Record
from optim.tracking.info import LiveTrial
from optim.workers import Pool, Result

STUDY_ATTRS = "optim:study_attrs"
_LONG_SECONDS = 2.0  # a trial that runs longer is shown while it runs


class StopRequested(Exception):  # noqa: N818 - it is no error
    """The user or a signal asked to stop; the open batch is dropped."""


class Listener(NamedTuple):
    """Who is told what happens: all calls come from the coordinator's own thread."""

    finished: Callable[[Sequence[FrozenTrial]], None]  # after they are in the record
    running: Callable[[LiveTrial], None]
    should_stop: Callable[[], bool]  # asked after every round


class Candidate:
    """A proposal while its cells are being evaluated."""

    def __init__(self, number: int, slot: int, proposal: Proposal):
        self.number = number  # as the record will have it
        self.slot = slot
        self.trial = proposal.trial
        self.point = proposal.point
        self.cells: list[Mapping[str, float]] = []
        self.scores: list[tuple[float, ...]] = []
        self.error = ""
        self.undefined = ""
        self.pruned = False
        self.started = 0.0
        self.ended = 0.0

    @property
    def alive(self) -> bool:
        """Whether it still has cells to go through."""
        return not (self.error or self.undefined or self.pruned)


class Search:
    """One run of a study against its record."""

    def __init__(self, plan: Plan, record: Record, pool: Pool, listener: Listener):
        self._plan = plan
        self._record = record
        self._pool = pool
        self._listener = listener
        self._single = len(plan.objective.goals) == 1
        spec = plan.spec
        self._pruner = make_pruner(spec, len(plan.cells)) if self._single else optuna.pruners.NopPruner()
        storage = optuna.storages.InMemoryStorage()
        self._storage = storage
        self._study = optuna.create_study(
            storage=storage,
            study_name=spec.study.name,
            pruner=self._pruner,
            directions=[goal.direction for goal in plan.objective.goals],
        )
        self._study_id = storage.get_study_id_from_name(spec.study.name)
        self._proposer = Proposer(spec, plan.space, self._study, storage)
        self._patience = _Patience(spec.study.patience, plan.objective.goals[0].direction)

    def run(self) -> str:
        """Search until the budget is spent; the reason why it ended."""
        spec = self._plan.spec
        size = spec.parallel.batch_size
        trials = self._record.trials()
        count = len(trials)
        batch, done = self._restore(trials)
        deadline = time.monotonic() + (spec.study.timeout or float("inf"))
        while count < spec.study.n_trials:
            if self._patience.exhausted:
                return f"no improvement in {spec.study.patience} trials"
            if time.monotonic() >= deadline:
                return "timeout"
            room = spec.study.n_trials - count + len(done)
            try:
                ended = self._run_batch(batch, min(size, room), count - len(done))
            except StopRequested:
                return "interrupted"
            if not ended:
                return "every point of the search space has been evaluated"
            new = [trial for trial in ended if trial.system_attrs[SLOT] not in done]
            self._record.append(new)
            self._listener.finished(new)
            self._patience.see(new)
            count += len(new)
            batch, done = batch + 1, set()
        return "budget spent"

    def _restore(self, trials: list[FrozenTrial]) -> tuple[int, set[int]]:
        """Take the recorded batches into memory.

        Returns the batch to ask next and the slots of it that are recorded already.
        """
        last = max((trial.system_attrs[BATCH] for trial in trials), default=-1)
        earlier = [trial for trial in trials if trial.system_attrs[BATCH] < last]
        self._study.add_trials(earlier)
        for trial in earlier:
            self._proposer.remember(trial.params)
        open_batch = trials[len(earlier) :]
        for trial in open_batch:
            for name, value in trial.system_attrs.get(STUDY_ATTRS, {}).items():
                self._storage.set_study_system_attr(self._study_id, name, value)
        self._patience.see(trials)
        return max(last, 0), {trial.system_attrs[SLOT] for trial in open_batch}

    def _run_batch(self, batch: int, size: int, first: int) -> list[FrozenTrial]:
        before = self._study_attrs()
        proposals = [(slot, p) for slot, p in enumerate(self._proposer.ask(batch, size)) if p is not None]
        candidates = [Candidate(first + i, slot, proposal) for i, (slot, proposal) in enumerate(proposals)]
        self._evaluate(candidates)
        frozen = [self._tell(candidate, batch) for candidate in candidates]
        if frozen and before:
            frozen[0].system_attrs = {**frozen[0].system_attrs, STUDY_ATTRS: before}
        return frozen

    def _evaluate(self, candidates: Sequence[Candidate]) -> None:
        """The rounds: one cell each where trials can be pruned, all cells at once where they cannot."""
        prunes = not isinstance(self._pruner, optuna.pruners.NopPruner)
        rounds = [(cell,) for cell in self._plan.cells] if prunes else [self._plan.cells]
        for number, cells in enumerate(rounds):
            alive = [candidate for candidate in candidates if candidate.alive]
            results = self._pool.run([self._plan.task(candidate.point, cells) for candidate in alive])
            for candidate, result in zip(alive, results, strict=True):
                self._absorb(candidate, result)
            if self._listener.should_stop():
                raise StopRequested
            if number + 1 < len(rounds):
                self._show_long([candidate for candidate in alive if candidate.alive])
                for candidate in alive:
                    candidate.pruned = candidate.alive and candidate.trial.should_prune()

    def _absorb(self, candidate: Candidate, result: Result) -> None:
        candidate.started = candidate.started or result.started
        candidate.ended = result.ended
        for outcome in result.outcomes:
            step = len(candidate.cells)
            if outcome.error:
                candidate.error = f"cell {step}: {outcome.error}"
                return
            try:
                scores = self._plan.objective.scores(outcome.metrics)
            except Exception as error:  # noqa: BLE001 - an objective of the user's own may raise anything
                candidate.error = f"cell {step}: the objective raised {type(error).__name__}: {error}"
                return
            candidate.cells.append(outcome.metrics)
            candidate.scores.append(scores)
            for goal, score in zip(self._plan.objective.goals, scores, strict=True):
                if score != score:
                    candidate.undefined = (
                        f"{goal.name} is undefined in cell {step} ({outcome.metrics['n_trades']:g} trades)"
                    )
                    return
            if self._single:
                raw = isinstance(self._pruner, optuna.pruners.WilcoxonPruner)
                candidate.trial.report(scores[0] if raw else self._plan.objective.values(candidate.scores)[0], step)

    def _show_long(self, alive: Sequence[Candidate]) -> None:
        for candidate in alive:
            if candidate.ended - candidate.started > _LONG_SECONDS:
                start = datetime.fromtimestamp(candidate.started)
                scores = tuple(score[0] for score in candidate.scores)
                self._listener.running(LiveTrial(candidate.number, candidate.point, start, scores))

    def _tell(self, candidate: Candidate, batch: int) -> FrozenTrial:
        """Tell the in-memory study; the frozen trial as it goes into the record."""
        objective = self._plan.objective
        attrs: dict[str, Any] = {}
        values: Sequence[float] | None = None
        if candidate.error:
            state = TrialState.FAIL
            attrs["error"] = candidate.error
        elif candidate.undefined:
            state = TrialState.PRUNED
            attrs["infeasible"] = candidate.undefined
            candidate.trial.set_constraint("objective is defined", 1.0)
        elif candidate.pruned:
            state = TrialState.PRUNED
        else:
            state = TrialState.COMPLETE
            values = objective.values(candidate.scores)
        if candidate.cells:
            metrics = objective.metrics(candidate.cells)
            attrs.update((name, value) for name, value in metrics.items() if value == value)
            attrs["cell_values"] = [list(s) if len(s) > 1 else s[0] for s in candidate.scores if all(x == x for x in s)]
            if state == TrialState.COMPLETE:
                broken = []
                for text, distance in objective.violations(metrics).items():
                    candidate.trial.set_constraint(text, distance)
                    broken += [text] if distance > 0 else []
                if broken:
                    attrs["infeasible"] = "; ".join(broken)
        frozen = copy.copy(self._study.tell(candidate.trial, values, state=state))
        frozen.number = candidate.number
        frozen.user_attrs = attrs
        frozen.system_attrs = {**frozen.system_attrs, BATCH: batch, SLOT: candidate.slot}
        frozen.datetime_start = datetime.fromtimestamp(candidate.started)
        frozen.datetime_complete = datetime.fromtimestamp(candidate.ended)
        return frozen

    def _study_attrs(self) -> dict[str, Any]:
        """What a sampler keeps with the study (the position in a QMC sequence): a resumed study needs it."""
        attrs = self._storage.get_study_system_attrs(self._study_id)
        return {name: value for name, value in attrs.items() if isinstance(value, int | float | str)}


class _Patience:
    """Counts trials since the best value last improved."""

    def __init__(self, limit: int | None, direction: str):
        self._limit = limit
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._best = float("-inf")
        self._since = 0

    def see(self, trials: Sequence[FrozenTrial]) -> None:
        if self._limit is None:
            return
        for trial in trials:
            self._since += 1
            if is_feasible(trial) and self._sign * trial.values[0] > self._best:
                self._best = self._sign * trial.values[0]
                self._since = 0

    @property
    def exhausted(self) -> bool:
        return self._limit is not None and self._since >= self._limit


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial is complete and satisfies every constraint."""
    return trial.state == TrialState.COMPLETE and all(value <= 0.0 for value in trial.constraints.values())
