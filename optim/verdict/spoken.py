"""Speaking a verdict: the first one at the end of a run, the whole one, and keeping it with the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from optim.problem.plan import Plan
from optim.record.record import Record
from optim.record.shown import show_note
from optim.search.ranking import winner_of
from optim.verdict.assess import Effort, assess
from optim.verdict.null_search import Progress
from optim.verdict.plain import Plain, as_plain, keep_verdict, kept_verdict, verdict_in_markdown, winner_in_markdown
from optim.verdict.rule import Verdict
from optim.workers.pool import Pool

_LEAST = 1.0  # seconds for the markets after a search that took less


def spoken(plan: Plan, record: Record, trials: Sequence[FrozenTrial], verdict: Verdict | None) -> Plain | None:
    """A verdict as plain data, kept with the record and shown in Optuna's dashboard; None without a winner."""
    best = winner_of(plan, trials)
    if verdict is None or best is None:
        return None
    plain = as_plain(verdict)
    keep_verdict(record, plain, len(trials), best.number)
    show_note(record, _as_note(plan, best, plain))
    return plain


def _as_note(plan: Plan, best: FrozenTrial, verdict: Plain) -> str:
    """The winner, the verdict and a command in three lines of Markdown."""
    winner = winner_in_markdown([goal.name for goal in plan.objective.goals], best, plan.days(plan.cells))
    command = f"python -m optim show {plan.spec.argument} --trial {best.number}"
    return f"{winner}\n\n{verdict_in_markdown(verdict)}\n\n`{command}`"


def first_verdict(
    plan: Plan,
    record: Record,
    trials: Sequence[FrozenTrial],
    reason: str,
    pool: Pool,
    spent: float,
    stop: Callable[[], bool],
    progress: Progress,
) -> Plain | None:
    """As many shuffled markets as fit into the time of the search, but no more than [validation] quick allows.

    spent: seconds of the search. After one that was stopped, or is too long for it, nothing is run; the compiler, for
    which the first trial of a compiled strategy waits, has no say in that. None where quick is 0. What was said of
    these trials before is said again. Raises UserError where it cannot be had.
    """
    seconds = plan.spec.validation.quick
    if (known := kept_verdict(record, plan, trials)) is not None or seconds == 0:
        return known
    lasted = sorted(trial.duration.total_seconds() for trial in trials if trial.duration) or [0.0]
    if plan.strategy.compiled:
        spent = max(spent - (lasted[-1] - lasted[len(lasted) // 2]), 0.0)
        lasted[-1] = lasted[len(lasted) // 2]
    worked = sum(lasted) / pool.n_jobs
    quick = reason != "interrupted" and max(spent, worked) < seconds
    deadline = time.monotonic() + min(max(spent, _LEAST), seconds)

    def over() -> bool:
        return time.monotonic() >= deadline or stop()

    effort: Effort = "first" if quick else "bare"
    return spoken(plan, record, trials, assess(plan, record, trials, reason, pool, effort, over, progress))
