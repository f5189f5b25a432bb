"""A study from Python: everything the command line does goes through here.

study = Study.from_toml("study.toml", n_trials=50)
study.run()
study.trials, study.best
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from engine.errors import UserError
from optim.errors import SpecError
from optim.problem.plan import Plan, make_plan
from optim.problem.point import Asked
from optim.problem.recorded import begun, changed_inputs, check_fingerprint, continued
from optim.record.guard import sole_writer
from optim.record.locks import owner
from optim.record.quiet import quiet_optuna
from optim.record.record import Record, load_record
from optim.record.table import trials_frame
from optim.report.backtested import WHOLE, Stretch, backtest
from optim.report.cell import watching
from optim.report.recorded import reason_of, summary_of, sync_record, write_report
from optim.report.summary import Ended, Summary
from optim.report.tracked import mirror_of
from optim.report.view import View, say_where_it_stands
from optim.report.watched import OnTrial, watched
from optim.search.ranking import chosen, winner_of
from optim.search.rehearsal import ready
from optim.search.replay import Replay, replay
from optim.search.search import make_pool
from optim.spec.function import reference_of
from optim.spec.overrides import tables_of
from optim.spec.secrets import mask_uri
from optim.spec.study import StudySpec, load_spec, spec_from
from optim.tracking.early import early_mirror
from optim.tracking.info import MirrorReport
from optim.verdict.assess import assess, begin
from optim.verdict.holdout import open_holdout
from optim.verdict.plain import Plain, kept_verdict, opening_as_plain
from optim.verdict.spoken import spoken

if TYPE_CHECKING:
    from subprocess import Popen

    import pandas as pd

    from engine.report.result import BacktestResult
    from optim.report.plots import Plots


class Study:
    """One study: a study file, its record, its projection in MLflow.

    Several may run in one process, in threads too. Nothing is changed for the process that outlives a call: no signal
    handler, no environment variable, no verbosity. The folder of a strategy's file stays on sys.path, behind the rest.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self._plan: Plan | None = None  # as the files were when they were first looked at, or last run
        self._record: Record | None = None

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> Study:
        """A study file. overrides: keys of [study] and [parallel] (n_trials=50, n_jobs=2), or whole tables.

        Raises SpecError.
        """
        return cls(load_spec(path, tables_of(overrides, str(path))))

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], folder: str | Path = ".", *, strategy: Any = None) -> Study:
        """A study file's tables as dictionaries; relative paths in it are relative to `folder`. Raises SpecError.

        strategy: a function of a file, in the place of [strategy] name.
        """
        own = table.get("strategy", {}) if isinstance(table, Mapping) else None  # where it is no table, it is refused
        if strategy is not None and isinstance(own, Mapping):
            table = {**table, "strategy": {**own, "name": reference_of(strategy, Path(folder))}}
        return cls(spec_from(table, Path(folder)))

    def run(
        self,
        view: View | None = None,
        process: Popen[bytes] | None = None,
        *,
        on_trial: OnTrial | None = None,
    ) -> Ended:
        """Run the study, or resume it where it stopped. view: who watches; in a notebook its cell, else nobody.

        process: of `early_mirror`, started before; it is not ended here. on_trial: called with each trial that has come
        into the record, in this thread; an exception of it ends the run and comes out of it.
        Raises OptimError; every trial that had ended is in the record then.
        """
        view = watching() if view is None else view
        spec = self.spec
        early = early_mirror(spec) if process is None else contextlib.nullcontext(process)
        with early as process, quiet_optuna():
            plan, said, good = ready(spec, again=False)
            if not good:
                view.say(f"Look-ahead {said}.")
            for note in (*(("; ".join(plan.effects),) if plan.effects else ()), *plan.notes):
                view.say(f"Data: {note}.")
            with sole_writer(plan.storage, spec.study.name) as guard:
                plan, record = continued(plan) or (plan, begun(plan))
                self._plan = plan
                record.claim(owner(), guard)
                say_where_it_stands(view, spec, len(record.trials()))
                with mirror_of(plan, record, process) as mirror:
                    summary, report = watched(plan, record, mirror, view, on_trial)
        return Ended(summary, report if spec.tracking.enabled else None)

    def validate(self, view: View | None = None) -> Plain | None:
        """Search the shuffled markets that are missing, and speak the verdict; None without a winner.

        It may be stopped and goes on where it stood: each market is in the record as it ends. Raises OptimError.
        """
        view = watching() if view is None else view
        with self._held() as (plan, record, trials):
            with make_pool(plan, here=True) as pool, view.heeding(), view.judging() as progress:
                reason = reason_of(self.spec, record, len(trials))
                verdict = assess(plan, record, trials, reason, pool, "whole", view.should_stop, progress)
                stopped = view.should_stop()
            unfinished = stopped and verdict is not None and isinstance(verdict.evidence, str)
            before = kept_verdict(record, plan, trials) if unfinished else None  # says more
            return before or spoken(plan, record, trials, verdict)

    def open_holdout(self) -> Plain:
        """Open the hold-out for the winner, and write that down; what it shows, and whether it was still blind.

        Raises OptimError.
        """
        with self._held() as (plan, record, trials):
            best = winner_of(plan, trials)
            if best is None:
                raise SpecError(f"{self.spec.path}: no trial is feasible: no winner to open the hold-out for")
            with make_pool(plan, here=True) as pool:
                opening = open_holdout(plan, record, best.number, best.params, pool)
                reason = reason_of(self.spec, record, len(trials))
                spoken(plan, record, trials, assess(plan, record, trials, reason, pool, "recorded"))
        return opening_as_plain(opening)

    @contextlib.contextmanager
    def _held(self) -> Iterator[tuple[Plan, Record, list[FrozenTrial]]]:
        """The recorded study, with its trials and its line in the ledger, held alone and unchanged."""
        with quiet_optuna():
            plan, record = self.recorded()
            check_fingerprint(plan, record)
            with sole_writer(plan.storage, self.spec.study.name) as guard:
                record.claim(owner(), guard)
                begin(record, plan)
                yield plan, record, record.trials()

    @property
    def verdict(self) -> Plain | None:
        """The last verdict on the trials of the record; None if none was spoken. Raises OptimError."""
        with quiet_optuna():
            plan, record = self.recorded()
            return kept_verdict(record, plan, record.trials())

    @property
    def trials(self) -> pd.DataFrame:
        """The trials in the record, one row a trial, every parameter and metric a column. Raises OptimError."""
        with quiet_optuna():
            return trials_frame(self.recorded()[1].trials())

    @property
    def best(self) -> FrozenTrial | None:
        """The winner of the record: of several objectives the best by the first. Raises OptimError."""
        with quiet_optuna():
            plan, record = self.recorded()
            return winner_of(plan, record.trials())

    @property
    def plot(self) -> Plots:
        """Plots of what is recorded: history, parallel, slice, importance, heatmap, equity. Raises OptimError."""
        from optim.report.plots import Plots

        with quiet_optuna():
            return Plots(*self.recorded())

    def __repr__(self) -> str:
        return f"Study({self.spec.study.name!r}, {str(self.spec.path)!r})"

    def _repr_html_(self) -> str:
        from optim.report.notebook import study_html, unread_html

        try:
            with quiet_optuna():
                return study_html(*self.recorded())
        except UserError as error:
            return unread_html(self.spec.study.name, error)

    def summary(self) -> Summary:
        """The result of what is recorded so far. Raises OptimError."""
        with quiet_optuna():
            plan, record = self.recorded()
            trials = record.trials()
            reason = reason_of(self.spec, record, len(trials))
            with make_pool(plan, here=True) as pool:
                return summary_of(plan, record, trials, reason, pool, kept_verdict(record, plan, trials))

    def report(self, path: str | Path | None = None) -> Path:
        """Write what is recorded so far as one HTML page that needs nothing else, and say where.

        path: by default NAME.html in the working directory. Written over nothing but an earlier report. The hold-out is
        on it only once it has been opened. Raises OptimError.
        """
        with quiet_optuna():
            return write_report(*self.recorded(), self.summary, path)

    def backtest(self, trial: int | None = None, params: Asked | None = None, on: Stretch = WHOLE) -> BacktestResult:
        """One backtest on searched bars, the hold-out left alone: a recorded trial, by default the winner, or `params`.

        params: parameters and account rules by name; the rest is as the study file has it. Raises OptimError.
        """
        with quiet_optuna():
            if params is None:
                plan, record = self.recorded()
                params = chosen(plan, record.trials(), trial).params
            elif trial is not None:
                raise SpecError(f"{self.spec.path}: trial {trial} has parameters of its own; give a trial, or params")
            with make_pool(self.plan, here=True) as pool:
                return backtest(self.plan, params, on, pool)

    def replay(self, number: int | None = None) -> list[Replay]:
        """Run recorded trials again, all or one, and say what comes out differently. Raises OptimError."""
        with quiet_optuna():
            plan, record = self.recorded()
            record.refuse_other_numbers()
            trials = record.trials()
            wanted = trials if number is None else [chosen(plan, trials, number)]
            with make_pool(plan, here=True) as pool:
                return replay(plan, wanted, pool)

    def changed_inputs(self) -> list[str]:
        """Data, code, rules and versions that are no longer what the study began with, as sentences."""
        with quiet_optuna():
            return changed_inputs(*self.recorded())

    def sync(self) -> MirrorReport:
        """Bring MLflow to exactly the record, and the page of `report` with it. Raises OptimError."""
        if not self.spec.tracking.enabled:
            raise SpecError(f"{self.spec.path}: [tracking] enabled = false: there is nothing to bring up to date")
        summary = self.summary()
        with quiet_optuna():
            return sync_record(*self.recorded(), summary)

    @property
    def plan(self) -> Plan:
        """What is searched, loaded and checked when it is first asked for. Raises SpecError."""
        self._plan = self._plan or make_plan(self.spec)
        return self._plan

    def recorded(self) -> tuple[Plan, Record]:
        """The plan and the record; SpecError when the study was never run."""
        plan = self.plan
        if self._record is None or not self._record.intact():
            self._record = load_record(plan.storage, self.spec.study.name)
        record = self._record
        if record is None:
            raise SpecError(
                f"{self.spec.path}: study {self.spec.study.name!r} is not in {mask_uri(plan.storage)}; run it first"
            )
        return plan, record
