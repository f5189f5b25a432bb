"""A search that is watched: told to the mirror, a view and a callback, then judged and concluded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from optuna.trial import FrozenTrial

from engine.errors import UserError
from optim.errors import one_line
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.report.recorded import result_with_page, summary_of
from optim.report.summary import Summary, best_params_toml
from optim.report.tracked import study_result
from optim.report.view import View
from optim.search.events import Listener
from optim.search.search import make_pool, search
from optim.spec.secrets import mask
from optim.tracking.info import LiveTrial, MirrorReport, StudyResult
from optim.tracking.study_mirror import StudyMirror
from optim.verdict.assess import begin
from optim.verdict.pruning import hindsight
from optim.verdict.spoken import first_verdict

PAGE_SECONDS = 60.0  # of a run beside which drawing the report's page for MLflow is nothing
OnTrial = Callable[[FrozenTrial], object]


def watched(
    plan: Plan, record: Record, mirror: StudyMirror, view: View, on_trial: OnTrial | None
) -> tuple[Summary, MirrorReport]:
    """Search, tell it as it goes, judge and conclude; the summary, and how far the mirror came.

    on_trial: called with each trial that has come into the record. What it raises ends the search and comes out.
    """
    with contextlib.ExitStack() as heeding:
        heeding.enter_context(view.heeding())
        began = time.monotonic()
        summary = _searched(plan, record, mirror, view, on_trial)
        paged = plan.spec.tracking.enabled and time.monotonic() - began > PAGE_SECONDS and not view.should_stop()
        result = _result(plan, record, summary, view, paged=paged)
        mirror.conclude(result)
        try:  # an end that is wished for from here on leaves MLflow incomplete, and says so
            heeding.close()
            view.ended(summary, best_params_toml(plan, summary))
            with view.projecting() as progress:
                report = mirror.close(result, progress)
        except KeyboardInterrupt:
            report = mirror.give_up()
    return summary, report


def _result(plan: Plan, record: Record, summary: Summary, view: View, *, paged: bool) -> StudyResult:
    """What MLflow is told; a page that cannot be drawn is no reason for a run to fail whose trials are all there."""
    if paged:
        try:
            return result_with_page(plan, record, summary)
        except Exception as error:  # noqa: BLE001 - as above
            view.say(mask(one_line(f"No report for MLflow: {type(error).__name__}: {error}")))
    return study_result(plan, record, summary)


def _searched(plan: Plan, record: Record, mirror: StudyMirror, view: View, on_trial: OnTrial | None) -> Summary:
    """Search and judge; the summary, with its verdict if there is one."""
    done = record.trials()
    mirror.finished(done)
    entered = False

    def finished(trials: Any) -> None:
        nonlocal entered
        if not entered:  # a study without trials may still become another one
            begin(record, plan)
            entered = True
        mirror.finished(trials)
        view.finished(trials)
        if on_trial is not None:
            for trial in trials:
                on_trial(trial)

    def running(trial: LiveTrial) -> None:
        mirror.running(trial)
        view.running(trial)

    with make_pool(plan) as pool:
        began = time.monotonic()
        with view.searching(plan, done):
            listener = Listener(finished, running, view.should_stop)
            trials, reason = search(plan, record, pool=pool, listener=listener)
        pool.abandon()
        if len(trials) > len(done) or not record.ended():
            record.note_end(reason)
        spent, verdict, pruning = time.monotonic() - began, None, None
        summary = summary_of(plan, record, trials, reason, pool, None)
        view.found(summary)
        if summary.best is not None and summary.winner.searched is not None:
            mirror.found(summary.best.number, summary.winner.searched.backtests)
        try:
            with view.judging() as searched:
                verdict = first_verdict(plan, record, trials, reason, pool, spent, view.should_stop, searched)
                if not view.should_stop():
                    pruning = hindsight(plan, trials, reason, pool, spent)
        except UserError as error:  # no reason for a run to fail whose trials are all there
            view.say(f"No verdict: {error}")
    return summary._replace(verdict=verdict, pruning=pruning)
