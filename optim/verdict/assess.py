"""From a record to its verdict: the null, the statistics, the stress, the ledger, put together by the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from optuna.trial import FrozenTrial

from optim.problem.plan import Plan
from optim.record.record import Record
from optim.search.ranking import winner_of
from optim.verdict.evidence import evidence
from optim.verdict.holdout import opened_for
from optim.verdict.ledger import SEARCH, Ledger, enter, read_ledger, search_of
from optim.verdict.null import Null
from optim.verdict.null_search import Progress, known_null, search_markets
from optim.verdict.plateau import plateau
from optim.verdict.returns import trial_returns
from optim.verdict.rule import Verdict, judge
from optim.verdict.stress import quick_stress, stress
from optim.verdict.subsets import subsets
from optim.verdict.walk_forward import walk_forward
from optim.workers.pool import Pool

UNFINISHED = ("interrupted", "timeout")
Effort = Literal["whole", "first", "recorded", "bare"]


def as_searched(plan: Plan, trials: Sequence[FrozenTrial], reason: str) -> Plan:
    """The plan of the search as far as it came: stopped from outside, it was a search of so many trials."""
    if reason not in UNFINISHED:
        return plan
    study = plan.spec.study.model_copy(update={"n_trials": len(trials)})
    return plan._replace(spec=plan.spec.model_copy(update={"study": study}))


def assess(
    plan: Plan,
    record: Record,
    trials: Sequence[FrozenTrial],
    reason: str,
    pool: Pool,
    effort: Effort,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda null: None,
) -> Verdict | None:
    """The verdict on the record's winner; None without one. One that is stopped among its markets has no statistics.

    reason: why the search ended. effort: "whole" searches all markets and windows in worker processes until `stop` says
    so, and runs every backtest; "first" searches markets in this process and runs what the rule asks for; "recorded"
    runs every backtest and takes what the record has of markets and windows; "bare" runs nothing.
    """
    best = winner_of(plan, trials)
    if best is None:
        return None
    tested, value = as_searched(plan, trials, reason), best.values[0]
    if effort in ("whole", "first"):
        here = effort == "first"
        null: Null | None = search_markets(tested, record, value, here=here, stop=stop, progress=progress)
    else:
        null = known_null(tested, record, value)
    ledger = read_ledger(record)
    told: dict[str, Any] = {
        "earlier": earlier_searches(ledger, record),
        "opened": opened_for(record, best.number),
        "notes": tuple(_notes(plan, ledger)),
    }
    if effort == "bare" or (effort == "whole" and stop()):
        return judge(null, without_statistics(plan, reason, effort), None, None, **told)
    found = evidence(trial_returns(plan, trials, pool, always=(best.number,)), best.number)
    pressed = (quick_stress if effort == "first" else stress)(plan, best.params, pool)
    verdict = judge(null, found, plateau(plan, best.params, pool), pressed, **told)
    if effort == "first":
        return verdict
    verdict = verdict._replace(subsets=subsets(plan, best.params, pool))
    if plan.spec.validation.walk_forward is None:
        return verdict
    return verdict._replace(walk=walk_forward(tested, record, stop if effort == "whole" else lambda: True))


def without_statistics(plan: Plan, reason: str, effort: Effort) -> str:
    """Why a verdict that ran no backtests has no statistics, and what makes them."""
    if effort == "whole" or reason == "interrupted":
        why = "it was stopped before them"
    else:
        why = f"the search took longer than [validation] quick = {plan.spec.validation.quick:g} seconds"
        why += "" if plan.strategy.compiled else ", the start of its workers included"
    return f"no statistics yet: {why}, and they run every trial once more; optim validate does"


def earlier_searches(ledger: Ledger, record: Record) -> int:
    """How many searches on the same bars came before; a line that is missing counts as one."""
    own = search_of(record)
    return (len(ledger.searches_before(own)) if own else 0) + ledger.missing


def begin(record: Record, plan: Plan) -> None:
    """Enter the search into the ledger, once."""
    enter(record, plan, SEARCH)


def _notes(plan: Plan, ledger: Ledger) -> list[str]:
    said = []
    if ledger.missing:
        gone = "1 line of the ledger is" if ledger.missing == 1 else f"{ledger.missing} lines of the ledger are"
        said.append(f"{gone} missing, as where a study was deleted; each counts as a search")
    if ledger.altered:
        said.append("a line of the ledger was altered: what it says of earlier searches cannot be relied on")
    if plan.spec.study.enqueue:
        said.append("points were given beforehand: if they were found on these bars, p is too small")
    return said
