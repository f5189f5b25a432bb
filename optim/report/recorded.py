"""What is told of a record: why its search ended, its summary, its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optim.problem.plan import Plan
from optim.problem.recorded import changed_inputs
from optim.record.record import Record
from optim.report.summary import Summary, summarise
from optim.spec.study import StudySpec
from optim.verdict.holdout import last_opening
from optim.verdict.plain import Plain
from optim.workers.pool import Pool

if TYPE_CHECKING:
    from optim.report.html.values import Page


def reason_of(spec: StudySpec, record: Record, n_trials: int) -> str:
    """Why the search ended, as far as that is known."""
    return record.ended() or ("as recorded" if n_trials >= spec.study.n_trials else "interrupted")


def summary_of(plan: Plan, record: Record, trials: Any, reason: str, pool: Pool, verdict: Plain | None) -> Summary:
    """The summary of these trials, with the hold-out where it was opened for their winner."""
    opening = last_opening(record)
    return summarise(plan, trials, reason, pool, verdict, None if opening is None else opening.trial)


def recorded_page(plan: Plan, record: Record, summary: Summary) -> Page:
    """The report's page."""
    from optim.report.html.page import Origin, page_of

    origin = Origin(record.versions, changed_inputs(plan, record))
    return page_of(plan, record.trials(), summary, last_opening(record), origin)
