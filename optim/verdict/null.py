"""The whole-search null: how often does the same search find as much where there is nothing to find?

p = (1 + number of shuffled markets whose winner is at least as good) / (1 + number of markets). The search is inside:
sampler, pruning, constraints and the choice of the winner need no model, and no count of trials.

Besag & Clifford, "Sequential Monte Carlo p-values", Biometrika 78(2), 1991: once ENOUGH markets were as good, after l
of them, p = ENOUGH / l is a p-value too, and the rest need not be searched. Its standard error is about
p sqrt((1 - p) / ENOUGH).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ENOUGH = 20  # markets at least as good: the answer is certain enough
Winner = float | None  # a market's: the value of the first objective, None where the search found nothing feasible


class Arm(NamedTuple):
    """The shuffled markets of one kind (optim.verdict.markets)."""

    kind: str
    winners: tuple[Winner, ...]  # by the market's number, up to where the answer was certain
    as_good: int  # how many are at least as good as the real winner
    p_value: float
    certain: bool  # it ended before the planned number because ENOUGH were as good


class Null(NamedTuple):
    """The real winner among the winners of shuffled markets."""

    value: float  # the real winner's, by the first objective
    direction: str
    planned: int  # markets of each kind
    arms: tuple[Arm, ...]

    @property
    def leading(self) -> Arm:
        """The arm with the larger p-value, which counts."""
        return max(self.arms, key=lambda arm: arm.p_value)

    @property
    def p_value(self) -> float:
        """The larger p-value of all kinds: no noise of these kinds explains the winner better."""
        return self.leading.p_value

    @property
    def complete(self) -> bool:
        """Whether no further market is needed."""
        return is_complete(self.arms, self.planned)

    @property
    def luck(self) -> float:
        """What the search finds where there is nothing: the median winner of the leading arm; NaN if it finds none."""
        found = [winner for winner in self.leading.winners if winner is not None]
        return statistics.median(found) if found else math.nan

    @property
    def skill(self) -> float:
        """The real winner net of search bias: its value less the median of the null's winners."""
        return self.value - self.luck


def null_of(value: float, direction: str, winners: Mapping[str, Sequence[Winner]], planned: int) -> Null | None:
    """The null as far as its markets have been searched, in order of their numbers; None before the first.

    winners: by kind. Each arm ends where it is certain; once one is, the others no longer matter.
    """
    arms = tuple(arm_of(kind, found[:planned], value, direction) for kind, found in winners.items() if found)
    return Null(value, direction, planned, arms) if len(arms) == len(winners) > 0 else None


def arm_of(kind: str, winners: Sequence[Winner], value: float, direction: str) -> Arm:
    """One kind's p-value from the winners in their order."""
    as_good = 0
    for number, winner in enumerate(winners, start=1):
        as_good += winner is not None and (winner >= value if direction == "maximize" else winner <= value)
        if as_good == ENOUGH:
            return Arm(kind, tuple(winners[:number]), as_good, ENOUGH / number, True)
    return Arm(kind, tuple(winners), as_good, (1 + as_good) / (1 + len(winners)), False)


def is_complete(arms: Sequence[Arm], planned: int) -> bool:
    """Whether the larger p-value changes no more."""
    return any(arm.certain for arm in arms) or all(len(arm.winners) >= planned for arm in arms)
