"""One cell under harder conditions: dearer trading, later fills."""

from __future__ import annotations

import math
from collections.abc import Callable

from engine.evaluate import Outcome
from engine.simulator.account import Account

COSTS = ("fee_bps", "fixed_fee", "min_fee", "fee_per_contract", "slippage_bps", "spread_bps")
DEAR_FEES, DEAR_SLIPPAGE = 2.0, 3.0  # times; slippage and spread
DELAY = 1  # bars by which a late trader decides later


def dearer(account: Account, fees: float, slippage: float) -> Account:
    """The account with fees and what a fill loses to the market multiplied."""
    factors = dict(zip(COSTS, (fees, fees, fees, fees, slippage, slippage), strict=True))
    return account._replace(**{name: getattr(account, name) * factor for name, factor in factors.items()})


def dear(account: Account) -> Account:
    """The account under the dear terms."""
    return dearer(account, DEAR_FEES, DEAR_SLIPPAGE)


def worst_outcome(
    run: Callable[[Callable[[Account], Account] | None, int], Outcome], metric: str, direction: str
) -> Outcome:
    """The outcome of a cell under that of three conditions in which `metric` is worst: as it is, dear, late.

    run: terms (None: as it is) and a delay in bars -> outcome. An undefined metric is the worst, an error ends it.
    """
    sign, worst = 1.0 if direction == "maximize" else -1.0, Outcome({}, "")
    for terms, delay in ((None, 0), (dear, 0), (None, DELAY)):
        found = run(terms, delay)
        if found.error:
            return found
        value = sign * found.metrics[metric]
        if not worst.metrics or math.isnan(value) or value < sign * worst.metrics[metric]:
            worst = found
        if math.isnan(value):
            return worst
    return worst
