"""Speaking a verdict: the first one at the end of a run, the whole one, and keeping it with the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from optim.errors import OptimError
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.search.ranking import winner_of
from optim.verdict.assess import assess
from optim.verdict.null_search import Progress
from optim.verdict.plain import Plain, as_plain, keep_verdict, kept_verdict
from optim.workers.pool import Pool

_LEAST = 1.0  # seconds for the markets after a search that took less


def spoken(
    plan: Plan, record: Record, trials: Sequence[FrozenTrial], reason: str, pool: Pool, **how: Any
) -> Plain | None:
    """The verdict as `assess` has it, kept with the record; None without a winner. how: `assess`'s other arguments."""
    verdict = assess(plan, record, trials, reason, pool, **how)
    if verdict is None:
        return None
    plain, best = as_plain(verdict), winner_of(plan, trials)
    if best is not None:
        keep_verdict(record, plain, len(trials), best.number)
    return plain


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

    spent: seconds of the search. A search that was stopped, or is too long for it, gets no markets and no statistics.
    What was said of these trials before is said again. A verdict that cannot be had is no reason for a run to fail.
    """
    if (known := kept_verdict(record, plan, trials)) is not None:
        return known
    seconds = plan.spec.validation.quick
    worked = sum(t.duration.total_seconds() for t in trials if t.duration) / pool.n_jobs
    quick = reason != "interrupted" and max(spent, worked) < seconds
    deadline = time.monotonic() + min(max(spent, _LEAST), seconds)

    def over() -> bool:
        return time.monotonic() >= deadline or stop()

    how = {"search": quick, "here": True, "statistics": quick}
    try:
        return spoken(plan, record, trials, reason, pool, **how, stop=over, progress=progress)
    except OptimError:
        return None
