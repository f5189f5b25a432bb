"""What is told of a record: why its search ended, its summary, its page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.errors import OptimError
from optim.problem.checks import check_target
from optim.problem.plan import Plan
from optim.problem.recorded import changed_inputs
from optim.record.files import foreign_page
from optim.record.record import Record
from optim.report.summary import Summary, summarise
from optim.report.tracked import study_info, study_result, tracking_settings
from optim.spec.study import StudySpec
from optim.tracking.info import MirrorReport, StudyResult
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


def write_report(plan: Plan, record: Record, summarise: Callable[[], Summary], path: str | Path | None) -> Path:
    """Write the report's page and say where; over nothing but an earlier one. Raises OptimError.

    summarise: called once it is known that the page may be written: it backtests.
    """
    from optim.report.html.written import file_name, write_page

    target = Path(file_name(plan.spec.study.name) if path is None else path)
    check_target(plan.spec, target.resolve(), (plan.storage, plan.tracking_uri), foreign_page)
    try:
        write_page(recorded_page(plan, record, summarise()), target.resolve())
    except OSError as error:
        raise OptimError(f"--output {target}: cannot be written: {error.strerror}") from None
    return target


def sync_record(plan: Plan, record: Record, summary: Summary) -> MirrorReport:
    """Bring MLflow to exactly the record, and the report's page with it. Raises OptimError."""
    from optim.tracking import sync

    result = result_with_page(plan, record, summary)
    return sync(study_info(plan, record), tracking_settings(plan), record.trials(), result)


def result_with_page(plan: Plan, record: Record, summary: Summary) -> StudyResult:
    """What MLflow is told of a study's end, with the report's page, which takes a second or more to draw."""
    from optim.report.html.written import as_html

    return study_result(plan, record, summary)._replace(page=as_html(recorded_page(plan, record, summary)))
