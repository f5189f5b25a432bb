"""The study's market without a pattern in time, and what the same search finds there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.data.bars import Bars
from engine.data.shuffle import shuffled
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.search.ranking import winner_of
from optim.search.search import search
from optim.search.sweep import best_of_sweep
from optim.workers.pool import Pool

SINGLE, VOLATILITY, BLOCK = "single", "volatility", "block:"  # kinds of shuffling; BLOCK is followed by its length


class Market(NamedTuple):
    """One shuffled market: how it is shuffled, and which one of those."""

    kind: str
    number: int


def kinds_of(plan: Plan) -> tuple[str, ...]:
    """The kinds of shuffling that a study asks for; by itself single bars, and single bars of like volatility."""
    given = plan.spec.validation.null.block
    if given == "auto":
        return (SINGLE, VOLATILITY)
    return (SINGLE,) if given == 1 else (f"{BLOCK}{given}",)


def kind_in_words(kind: str) -> str:
    """What was shuffled, for a reader."""
    if kind.startswith(BLOCK):
        return f"blocks of {kind.removeprefix(BLOCK)} bars"
    return {SINGLE: "single bars", VOLATILITY: "bars of like volatility"}[kind]


def on_market(plan: Plan, market: Market) -> Plan:
    """The plan on a shuffled market: the same search of the same number of bars, without hold-out and deadline.

    The market depends on the bars, the kind and the number alone, not on the study's seed.
    """
    block = int(market.kind.removeprefix(BLOCK)) if market.kind.startswith(BLOCK) else 1
    like = market.kind == VOLATILITY
    rng = np.random.default_rng([0 if like else block, market.number])
    return without_holdout(plan, shuffled(searched_bars(plan), rng, block=block, like_volatility=like))


def without_holdout(plan: Plan, bars: tuple[Bars, ...]) -> Plan:
    """The plan on these bars instead of its searched ones; time decides nothing, and nobody else has a say."""
    study = plan.spec.study.model_copy(update={"timeout": None})
    parallel = plan.spec.parallel.model_copy(update={"trial_timeout": None})
    return plan._replace(
        spec=plan.spec.model_copy(update={"study": study, "parallel": parallel}),
        job=plan.job._replace(instruments=bars),
        holdouts=(),
    )


def winner_on(plan: Plan, market: Market) -> float | None:
    """The value of the winner, by the first objective, that the search finds on a market; None if it finds none."""
    return found(on_market(plan, market))


def found(plan: Plan) -> float | None:
    """Likewise on the plan's own bars; in this process, in this thread."""
    if plan.spec.sweeps and plan.spec.study.select == "best":
        return best_of_sweep(plan)
    with Pool(plan.job, n_jobs=1, backend="sequential") as pool:
        trials, _ = search(plan, pool=pool)
    best = winner_of(plan, trials)
    return None if best is None else float(best.values[0])
