"""From a record to its verdict: the null, the statistics, the stress, the ledger, put together by the rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from optim.problem.plan import Plan
from optim.record.record import Record
from optim.search.ranking import winner_of
from optim.verdict.evidence import evidence
from optim.verdict.holdout import opened_for
from optim.verdict.ledger import SEARCH, Ledger, enter, read_ledger
from optim.verdict.null import Null
from optim.verdict.null_search import Progress, known_null, search_markets
from optim.verdict.plateau import plateau
from optim.verdict.returns import trial_returns
from optim.verdict.rule import Verdict, judge
from optim.verdict.stress import quick_stress, stress
from optim.verdict.walk_forward import walk_forward
from optim.workers.pool import Pool

UNFINISHED = ("interrupted", "timeout")


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
    *,
    search: bool = True,
    here: bool = False,
    statistics: bool = True,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda null: None,
) -> Verdict | None:
    """The verdict on the record's winner; None without one.

    search: whether markets are searched, until `stop` says so; otherwise those that are in the record count, and
    nothing is written. here: as `search_markets`. statistics: whether each trial is run again over the searched bars
    for its returns. reason: why the search ended.
    """
    best = winner_of(plan, trials)
    if best is None:
        return None
    tested = as_searched(plan, trials, reason)
    if search:
        null: Null | None = search_markets(tested, record, best.values[0], here=here, stop=stop, progress=progress)
    else:
        null = known_null(tested, record, best.values[0])
    if statistics:
        found = evidence(trial_returns(plan, trials, pool, always=(best.number,)), best.number)
    else:
        found = "no statistics yet: they need a backtest of every trial"
    walked = None
    if plan.spec.validation.walk_forward is not None and search and not here:
        walked = walk_forward(tested, record, stop)
    ledger = read_ledger(record)
    verdict = judge(
        null,
        found,
        plateau(plan, best.params, pool),
        (quick_stress if here or not search else stress)(plan, best.params, pool),
        earlier=earlier_searches(ledger, record, plan),
        opened=opened_for(record, best.number),
        notes=tuple(_notes(plan, ledger)),
    )
    return verdict._replace(walk=walked)


def earlier_searches(ledger: Ledger, record: Record, plan: Plan) -> int:
    """How many searches on the same bars came before; a line that is missing counts as one."""
    own = next((line for line in ledger.lines if line.study == plan.spec.study.name and line.kind == SEARCH), None)
    return (len(ledger.searches_before(own)) if own else 0) + ledger.missing


def begin(record: Record, plan: Plan) -> None:
    """Enter the search into the ledger, once."""
    enter(record, plan, SEARCH)


def _notes(plan: Plan, ledger: Ledger) -> list[str]:
    said = []
    if ledger.missing:
        said.append(f"{ledger.missing} lines of the ledger are missing: studies were deleted; each counts as a search")
    if ledger.altered:
        said.append("a line of the ledger was altered: what it says of earlier searches cannot be relied on")
    if plan.spec.study.enqueue:
        said.append("points were given beforehand: if they were found on these bars, p is too small")
    return said
