"""The projection of a study's record into MLflow: idempotent, used alike by the mirror process and by `sync`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from optim.errors import TrackingError
from optim.tracking.artifacts import Drawing
from optim.tracking.info import LiveTrial, StudyInfo, StudyResult
from optim.tracking.overview import best_of, left_out
from optim.tracking.parent import ParentRun
from optim.tracking.rows import STUDY_TAG, TRIAL_TAG, Child, cell_points, live_row, trial_row
from optim.tracking.settings import MLflowSettings
from optim.tracking.store import RunStore, outdated, same, unfinished
from optim.tracking.turn import Turn

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from engine.report.result import BacktestResult


class Projection:
    """One study in MLflow. After any failure call again: what is there is looked up, not written twice.

    Use it as a context manager: no other process writes the study from its first success until its end. `progress` is
    called whenever something has been achieved; once `leaving` is true no further trials are begun.
    """

    def __init__(
        self,
        info: StudyInfo,
        settings: MLflowSettings,
        progress: Callable[[], None] = lambda: None,
        leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self.info = info
        self.settings = settings
        self.experiment_id = ""
        self.opened = False  # whether this process may have written something
        self.run_ids: dict[int, str] = {}  # finished trial -> run
        self.note = ""  # of the study's end: a sentence where not every trial has a run
        self._progress = progress
        self._leaving = leaving
        self._turn = Turn(settings, info.study_id)
        self._store: RunStore | None = None
        self._parent = ParentRun(info, progress)
        self._found: dict[int, Any] = {}  # trial -> run, as MLflow had it when it was opened
        self._live: dict[int, tuple[Any, int]] = {}  # trial -> run, cells logged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._parent.drawing is not None:
            self._parent.drawing.close()
        self._turn.release()

    @property
    def parent_id(self) -> str:
        """The study's own run; "" before it is there."""
        return self._parent.run_id

    def open(self) -> RunStore:
        """Connect, wait for the turn, make sure the parent run is there and running, and look up its children."""
        if self._store is None:
            store = RunStore(self.settings)
            self._progress()
            self._turn.take(give_up=self._leaving)
            self._progress()
            self.opened = True
            self.experiment_id = store.experiment_id
            self._parent.open(store)
            self._look_up(store)
            self._store = store
        return self._store

    def found(self, number: int, backtests: Sequence[BacktestResult]) -> None:
        """The winner is known, and not yet judged: its files are drawn meanwhile."""
        self._parent.drawing = Drawing(number, backtests)

    def project(self, trials: Iterable[FrozenTrial]) -> None:
        """Bring MLflow to hold these finished trials.

        Raises:
            TrackingError: some trials could not be written; all others are.
            mlflow.exceptions.MlflowException: MLflow cannot be reached.
        """
        due = [trial for trial in trials if trial.number not in self.run_ids]
        failures: list[Exception] = []
        try:
            store = self.open()
            for start in range(0, len(due), store.chunk):
                if self._leaving():
                    return
                failures += self._project_chunk(store, due[start : start + store.chunk])
                self._progress()
            if not failures:
                self._parent.log_files(store)
        except Exception:
            self._forget()
            raise
        if failures:
            self._forget()
            raise TrackingError(f"{len(failures)} trials could not be written; the first because: {failures[0]}")

    def chosen(self, trials: Collection[FrozenTrial], *, ended: bool) -> list[FrozenTrial]:
        """The trials that get a run of their own: all, or the best ones once the search has ended."""
        if not self.info.children or len(trials) <= self.info.all_up_to:
            return list(trials)
        return best_of(self.info, trials, self.info.children) if ended else []

    def missing(self, chosen: Iterable[FrozenTrial]) -> int:
        """How many of the chosen trials are not in MLflow yet."""
        return sum(trial.number not in self.run_ids for trial in chosen)

    def show_running(self, live: Iterable[LiveTrial]) -> None:
        """Show trials that are still running, with the cells they have finished."""
        try:
            store = self.open()
            for trial in live:
                if trial.number not in self.run_ids:
                    self._show(store, trial)
        except Exception:
            self._forget()
            raise

    def finish(self, trials: Sequence[FrozenTrial], result: StudyResult | None, *, exact: bool = False) -> None:
        """Everything about the study as a whole, and its end. `trials` is the whole record.

        Children that are not among the chosen are deleted: a trial surpassed by the first part of a record is so by the
        whole. With `exact`, so are children that the record does not know.

        Raises:
            TrackingError: MLflow, counted once more, does not hold what was written; call `project` and this again.
        """
        try:
            store = self.open()
            numbers = {trial.number for trial in self.chosen(trials, ended=True)}
            surpassed = {trial.number for trial in trials} - numbers
            self._delete_strangers(store, numbers, surpassed, exact=exact)
            if not self._leaving():
                self._count_again(store, numbers, surpassed, exact=exact)
            self.note = left_out(len(numbers), len(trials))
            if result is None and self._parent.ended_before(trials):
                self._parent.end_as_before(store)
            else:
                self._parent.finish(store, trials, result, self.run_ids, self.note)
        except Exception:
            self._forget()
            raise

    def _count_again(self, store: RunStore, numbers: set[int], surpassed: set[int], *, exact: bool) -> None:
        """Believe no answer but MLflow's list: every chosen trial once, ended, under its parent."""
        listed: dict[int, list[Child]] = {}
        for child in store.children(self.info.study_id, self._progress):
            listed.setdefault(child.number, []).append(child)
        self._progress()
        wrong = {number for number, runs in listed.items() if len(runs) > 1 or number in surpassed}
        if exact:
            wrong |= listed.keys() - numbers
        for number in numbers:
            runs = listed.get(number, [])
            if [run.run_id for run in runs if run.parent_id == self.parent_id and not unfinished(run)] != [
                self.run_ids.get(number)
            ]:
                wrong.add(number)
        if wrong:
            for number in wrong:
                self.run_ids.pop(number, None)
            raise TrackingError(f"{len(wrong)} trials are not in MLflow as they were written, such as {min(wrong)}")

    def _look_up(self, store: RunStore) -> None:
        """What MLflow has of this study; of two runs of one trial (a call that failed after it had worked) one goes."""
        self._found = {}
        for run in store.find({STUDY_TAG: self.info.study_id, "optim.role": "trial"}, self._progress):
            number = int(run.data.tags[TRIAL_TAG])
            known = self._found.get(number)
            if known is not None:
                run, surplus = (run, known) if unfinished(known) else (known, run)
                store.client.delete_run(surplus.info.run_id)
            self._found[number] = run

    def _project_chunk(self, store: RunStore, trials: Sequence[FrozenTrial]) -> list[Exception]:
        new = []
        for trial in trials:
            row = trial_row(self.info, self.parent_id, trial)
            run = self._found.get(trial.number)
            if run is None:
                new.append((trial.number, row))
            elif unfinished(run) and not outdated(run, row):
                store.complete(run, row)
                self.run_ids[trial.number] = run.info.run_id
            elif same(run, row, trial.params) and not outdated(run, row):
                self.run_ids[trial.number] = run.info.run_id
            else:
                store.client.delete_run(run.info.run_id)
                new.append((trial.number, row))
        failures = []
        for (number, _), outcome in zip(new, store.write([row for _, row in new]), strict=True):
            if isinstance(outcome, Exception):
                failures.append(outcome)
            else:
                self.run_ids[number] = outcome
        return failures

    def _show(self, store: RunStore, trial: LiveTrial) -> None:
        now = time.time_ns() // 1_000_000
        run, logged = self._live.get(trial.number, (self._found.get(trial.number), 0))
        if run is None:
            run = store.client.get_run(store.create(live_row(self.info, self.parent_id, trial, now)))
        else:
            store.add(run.info.run_id, [p for p in cell_points(self.info, trial.values, now) if p.step >= logged])
        self._found[trial.number] = run
        self._live[trial.number] = (run, len(trial.values))

    def _delete_strangers(self, store: RunStore, numbers: set[int], surpassed: set[int], *, exact: bool) -> None:
        surplus = {
            number: run.info.run_id
            for number, run in self._found.items()
            if number not in numbers and (exact or number in surpassed or unfinished(run))
        }
        surplus |= {number: run_id for number, run_id in self.run_ids.items() if number in surpassed}
        left = list(surplus.items())
        while left and not self._leaving():
            some, left = left[: store.chunk], left[store.chunk :]
            store.delete([run_id for _, run_id in some])
            for number, _ in some:
                self._found.pop(number, None)
                self.run_ids.pop(number, None)
            self._progress()

    def _forget(self) -> None:
        """After a failure nothing about MLflow is taken for granted but what it confirmed."""
        self._store = None
        self._live = {}
        self._turn.release()
