"""The loop: ask a batch, evaluate it cell by cell, prune, tell, record, mirror.

The result depends on (spec, data, seed, batch_size, ahead) only. Everything that decides happens in an order of its
own: ask batch k, settle batch k - ahead, ask batch k + 1 ... Within a batch a trial goes on to its next cell as soon as
it may; its siblings are told to the study together, in slot order, when all have ended. The record gets them in slot
order too, each as soon as it and those before it have ended.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial

from optim.errors import RecordError
from optim.problem.plan import Plan
from optim.record.memory import TrialRecord
from optim.record.record import ASKED, BATCH, SLOT
from optim.search.candidate import Candidate, resumed, tell
from optim.search.events import Listener, StopRequested
from optim.search.memory import STUDY_ATTRS, Memory
from optim.search.patience import Patience
from optim.search.proposals import Proposer
from optim.search.samplers import looks_at_siblings, make_pruner
from optim.tracking.info import LONG_TRIAL, LiveTrial
from optim.workers.pool import Pool

_LATER_ATTRS = ("optim:", "constraints", "completed_rung")  # of a trial: they come while it is evaluated
WRITE_SECONDS = 0.05  # between two writes to the record, while trials come in: a flush takes longer than a cheap one


class _Batch(NamedTuple):
    number: int
    candidates: list[Candidate]  # in slot order
    before: dict[str, Any]  # what the sampler kept with the study before it was asked
    frozen: list[FrozenTrial]  # of the first candidates, as far as they have ended


class Search:
    """One run of a study against its record."""

    def __init__(self, plan: Plan, record: TrialRecord, pool: Pool, listener: Listener):
        self._plan = plan
        self._record = record
        self._pool = pool
        self._listener = listener
        self._single = len(plan.objective.goals) == 1
        spec = plan.spec
        self._pruner = make_pruner(spec, len(plan.cells)) if self._single else optuna.pruners.NopPruner()
        self._prunes = not isinstance(self._pruner, optuna.pruners.NopPruner)
        raw = isinstance(self._pruner, optuna.pruners.WilcoxonPruner)
        self._reports = ("raw" if raw else "value") if self._single else ""
        self._in_step = self._prunes and looks_at_siblings(spec)
        self._memory = Memory(plan, self._pruner)
        self._proposer = Proposer(spec, plan.space, self._memory.study, self._memory.storage)
        self._patience = Patience(spec.study.patience, plan.objective.goals[0].direction)
        self._open: deque[_Batch] = deque()
        self._recorded: dict[int, dict[int, FrozenTrial]] = {}  # of the batches that are not told yet, by slot
        self._next = 0  # the batch to ask
        self._asked = 0  # trials in the batches before it
        self._unwritten: list[FrozenTrial] = []
        self._written = time.monotonic()

    def run(self) -> str:
        """Search until the budget is spent; the reason why it ended."""
        spec = self._plan.spec
        trials = self._record.trials()
        if len(trials) >= spec.study.n_trials:
            return "budget spent"
        self._restore(trials)
        deadline = time.monotonic() + (spec.study.timeout or float("inf"))
        try:
            while True:
                reason = self._fill()
                self._write()
                if not self._open:
                    return reason
                self._settle(self._open.popleft())
                if self._patience.exhausted:
                    return f"no improvement in {spec.study.patience} trials"
                if time.monotonic() >= deadline and (self._open or self._asked < spec.study.n_trials):
                    return "timeout"
        except StopRequested:
            return "interrupted"
        finally:
            self._write()

    def _restore(self, trials: Sequence[FrozenTrial]) -> None:
        """Take the recorded batches into memory.

        The last one is asked again, in case it is not whole; those that were running while it was asked run again,
        their results known.
        """
        batches: dict[int, dict[int, FrozenTrial]] = {}
        for trial in trials:
            batches.setdefault(trial.system_attrs[BATCH], {})[trial.system_attrs[SLOT]] = trial
        last = max(batches, default=0)
        self._next = last
        for number in sorted(batches.keys() - {last}):
            rows = [batches[number][slot] for slot in sorted(batches[number])]
            for trial in rows:
                self._proposer.remember(trial.params)
            self._asked += len(rows)
            if number < last - self._plan.spec.parallel.ahead:
                self._memory.add(rows)
                self._patience.see(rows)
            else:
                self._open.append(self._rerun(number, rows))
        self._recorded = {last: batches.get(last, {})}
        self._memory.restore([batches[number][min(batches[number])] for number in sorted(batches)])

    def _rerun(self, number: int, rows: Sequence[FrozenTrial]) -> _Batch:
        self._memory.study.sampler = optuna.samplers.RandomSampler()
        candidates = []
        for row in rows:
            self._memory.catch_up(row.system_attrs.get(ASKED, 0))
            keep = [name for name in row.system_attrs if not name.startswith(_LATER_ATTRS)]
            trial = resumed(self._memory, row, keep)
            candidates.append(Candidate(row.number, row.system_attrs[SLOT], trial, row.params))
            candidates[-1].recorded = row
        return _Batch(number, candidates, {}, list(rows))

    def _fill(self) -> str:
        """Ask batches until enough are open; why there are no more, if so."""
        while len(self._open) <= self._plan.spec.parallel.ahead:
            room = self._plan.spec.study.n_trials - self._asked
            if room <= 0:
                return "budget spent"
            batch = self._ask(min(self._plan.spec.parallel.batch_size, room))
            if not batch.candidates:
                return self._proposer.exhausted
            self._open.append(batch)
            self._asked += len(batch.candidates)
            self._next += 1
        return ""

    def _ask(self, size: int) -> _Batch:
        """Ask for a batch; each candidate begins while the next ones are asked for."""
        number, before = self._next, self._memory.newly_kept(self._asked)
        known = self._recorded.pop(number, {})
        batch = _Batch(number, [], before, [])
        for slot, proposal in enumerate(self._proposer.ask(number, size)):
            if proposal is None:
                continue
            candidate = Candidate(self._asked + len(batch.candidates), slot, proposal.trial, proposal.point)
            candidate.recorded = known.get(slot)
            if candidate.recorded is not None and candidate.recorded.params != proposal.point:
                raise RecordError(
                    f"the record {self._record.location} cannot be continued: trial {candidate.recorded.number} was "
                    f"{candidate.recorded.params}, but the sampler now proposes {proposal.point}; resume with the "
                    "versions of optim and Optuna that began the study, or give [study] another name (--new-name NAME)"
                )
            batch.candidates.append(candidate)
            if not known:
                self._start(candidate, number)
        if len(known) == len(batch.candidates):
            batch.frozen.extend(known[slot] for slot in sorted(known))
        elif known:
            for candidate in batch.candidates:
                self._start(candidate, number)
        return batch

    def _start(self, candidate: Candidate, batch: int) -> None:
        """Begin a trial: with its first cell where it may be pruned or timed, else with all cells at once."""
        if candidate.recorded is not None and not self._in_step:
            return
        cells = self._plan.cells
        candidate.task = self._plan.trial_task(candidate.point, cells)
        one = self._prunes or self._plan.spec.parallel.trial_timeout is not None
        for step in range(1 if one else len(cells)):
            self._submit(candidate, step, batch)

    def _submit(self, candidate: Candidate, step: int, batch: int) -> None:
        assert candidate.task is not None
        task = candidate.task._replace(cells=(self._plan.cells[step],))
        self._pool.submit((candidate, step), task, order=batch, spent=candidate.spent)

    def _settle(self, batch: _Batch) -> None:
        """Evaluate a batch to its end and tell the study."""
        touched = set(batch.candidates)
        while True:
            self._advance(batch, touched)
            self._freeze(batch)
            if len(batch.frozen) == len(batch.candidates):
                break
            if time.monotonic() - self._written > WRITE_SECONDS:
                self._write()
            if self._listener.should_stop():
                raise StopRequested
            for (candidate, step), started in self._pool.long_running(LONG_TRIAL):
                if step == 0:
                    since = datetime.fromtimestamp(started)
                    self._listener.running(LiveTrial(candidate.number, candidate.point, since, ()))
            touched = set()
            for (candidate, step), result in self._pool.collect():
                candidate.inbox[step] = result
                touched.add(candidate)
        for candidate, frozen in zip(batch.candidates, batch.frozen, strict=True):
            tell(self._memory.study, candidate.trial, frozen)
        self._patience.see(batch.frozen)

    def _advance(self, batch: _Batch, touched: set[Candidate]) -> None:
        """Judge what has come in, prune, go on to the next cells."""
        if self._in_step:
            touched = {c for c in batch.candidates if self._running(c)}
            if any(c.step not in c.inbox for c in touched):
                return
        ready = [c for c in batch.candidates if c in touched and c.step in c.inbox]
        for candidate in ready:
            while self._running(candidate) and candidate.step in candidate.inbox:
                candidate.take(self._plan.objective, reports=self._reports)
        going = [c for c in ready if self._running(c)]
        for candidate in going:
            candidate.pruned = self._prunes and candidate.trial.should_prune()
        for candidate in going:
            if candidate.alive:
                self._show_long(candidate)
                if self._prunes or self._plan.spec.parallel.trial_timeout is not None:
                    self._submit(candidate, candidate.step, batch.number)

    def _running(self, candidate: Candidate) -> bool:
        return candidate.task is not None and candidate.alive and candidate.step < len(self._plan.cells)

    def _freeze(self, batch: _Batch) -> None:
        """Make trials of the candidates that have ended, as far as all before them have."""
        for candidate in batch.candidates[len(batch.frozen) :]:
            if self._running(candidate):
                return
            if candidate.recorded is not None:
                batch.frozen.append(candidate.recorded)
                continue
            frozen = candidate.freeze(self._plan.objective, batch.number)
            if not batch.frozen and batch.before:
                frozen.system_attrs = {**frozen.system_attrs, STUDY_ATTRS: batch.before}
            batch.frozen.append(frozen)
            self._unwritten.append(frozen)

    def _write(self) -> None:
        if self._unwritten:
            trials, self._unwritten = self._unwritten, []
            self._written = time.monotonic()
            self._record.append(trials)
            self._listener.finished(trials)

    def _show_long(self, candidate: Candidate) -> None:
        if candidate.ended - candidate.started > LONG_TRIAL:
            start = datetime.fromtimestamp(candidate.started)
            scores = tuple(score[0] for score in candidate.scores)
            self._listener.running(LiveTrial(candidate.number, candidate.point, start, scores))
