"""Searching the shuffled markets: in all cores, in the order of their numbers, each kept in the record as it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optim.problem.plan import Plan
from optim.record.record import Record
from optim.verdict.farm import Farm
from optim.verdict.markets import Market, kinds_of, winner_on
from optim.verdict.null import Null, Winner, null_of

NULL = "optim:null"  # in the record: the winners of the markets searched so far
_WRITE_SECONDS = 2.0  # between two writes
Progress = Callable[[Null | None], None]


def search_markets(
    plan: Plan,
    record: Record,
    value: float,
    *,
    here: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda null: None,
) -> Null | None:
    """The null of the winner's value, as far as it is searched when `stop` says so; None before the first market.

    plan: as it was searched, with as many trials. What an earlier call has found is taken from the record; the result
    depends on how many markets are searched, not on how many at a time. here: in this process, which spares the start
    of others, where the strategy is compiled. progress: called after every market.
    """
    kinds = kinds_of(plan)
    planned = plan.spec.validation.null.markets
    direction = plan.objective.goals[0].direction
    identity = identity_of(plan)
    found = known_winners(record, identity, kinds)
    null = null_of(value, direction, found, planned)
    if null is not None and null.complete:
        return null
    written = time.monotonic()
    with contextlib.ExitStack() as stack:
        missing = _missing(found, planned)
        if here and plan.strategy.compiled:
            searched = _one_by_one(plan, missing, stop)
        else:
            searched = stack.enter_context(Farm(plan, plan.spec.parallel.n_jobs)).map(winner_on, missing, stop)
        for market, winner in searched:
            found[market.kind].append(winner)
            null = null_of(value, direction, found, planned)
            progress(null)
            complete = null is not None and null.complete
            if complete or time.monotonic() - written > _WRITE_SECONDS:
                _keep(record, identity, found)
                written = time.monotonic()
            if complete:
                break
        _keep(record, identity, found)
    return null


def _one_by_one(plan: Plan, markets: Iterator[Market], stop: Callable[[], bool]) -> Iterator[tuple[Market, Winner]]:
    while not stop() and (market := next(markets, None)) is not None:
        yield market, winner_on(plan, market)


def known_null(plan: Plan, record: Record, value: float) -> Null | None:
    """The null of the markets that are in the record; None where there is none."""
    planned, direction = plan.spec.validation.null.markets, plan.objective.goals[0].direction
    return null_of(value, direction, known_winners(record, identity_of(plan), kinds_of(plan)), planned)


def identity_of(plan: Plan) -> str:
    """What the winners depend on: the fingerprint and the number of trials."""
    study = plan.spec.study
    text = json.dumps([plan.fingerprint(), study.n_trials, study.patience, study.select], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def known_winners(record: Record, identity: str, kinds: tuple[str, ...]) -> dict[str, list[Winner]]:
    """The winners that an earlier call has kept, by kind; none where they are another search's."""
    kept = record.noted(NULL) or {}
    winners: Mapping[str, Any] = kept.get("winners", {}) if kept.get("identity") == identity else {}
    return {kind: list(winners.get(kind, [])) for kind in kinds}


def _keep(record: Record, identity: str, found: Mapping[str, list[Winner]]) -> None:
    record.note(NULL, {"identity": identity, "winners": dict(found)})


def _missing(found: Mapping[str, list[Winner]], planned: int) -> Iterator[Market]:
    """The markets not searched yet: number by number, each of every kind."""
    done = {kind: len(winners) for kind, winners in found.items()}
    for number in range(planned):
        for kind in done:
            if number >= done[kind]:
                yield Market(kind, number)
