"""The verdict: one of three levels, one sentence, and the reasons. docs/verdict.md explains the rule.

1. p is the null's (optim.verdict.null), times n^2 for the n-th search on the same bars: over all searches together
   the chance of a false `strong` stays below 5 % (1 + 1/4 + 1/9 + ...) = 8.2 %, of the first alone 5 %.
2. p <= .05, still earning at twice the fees and three times the slippage, and on a plateau: `strong`.
3. p <= .20: `weak`. All else: `no evidence`. With fewer than 19 markets of a kind: `untested`.
4. A hold-out that was opened and failed leaves at most `no evidence`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.metrics.catalogue import bracketed
from optim.errors import counted
from optim.verdict.evidence import CASH, Evidence
from optim.verdict.markets import kind_in_words
from optim.verdict.null import Null
from optim.verdict.plateau import Plateau
from optim.verdict.returns import HOLD
from optim.verdict.stress import Stress
from optim.verdict.subsets import Subsets
from optim.verdict.walk_forward import WalkForward

NONE, WEAK, STRONG, UNTESTED = "no evidence", "weak", "strong", "untested"
SIGNIFICANT, SUGGESTIVE = 0.05, 0.20
FEWEST = 19  # markets of each kind before anything is said: no fewer can show p = .05
KEPT = 0.5  # of the winner's score that its median neighbour must keep


class Opened(NamedTuple):
    """What the hold-out showed when it was opened."""

    metric: str  # the first objective
    value: float
    rank: float  # share of equally long in-sample windows in which the winner did worse
    blind: bool  # nobody had opened these bars before
    days: float = math.nan  # of these bars; unknown where an older version opened them


class Verdict(NamedTuple):
    """Is the winner skill or luck?"""

    level: str
    p_value: float  # corrected for earlier searches; NaN where no market was searched
    reasons: tuple[str, ...]
    earlier: int  # searches on the same bars before this one
    null: Null | None
    evidence: Evidence | str
    plateau: Plateau | None
    stress: Stress | None
    opened: Opened | None = None
    walk: WalkForward | None = None  # reported, it decides nothing
    subsets: Subsets | None = None  # likewise

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        return _SENTENCES[self.level]


_SENTENCES = {
    STRONG: "Strong: such a winner is rare where there is nothing to find, and it stands up to what was done to it.",
    WEAK: "Weak: there may be something, but luck or a fragile fit explains the winner too.",
    NONE: "No evidence: the same search finds as much in markets without any pattern.",
    UNTESTED: "Untested: too few shuffled markets have been searched to say anything.",
}


def judge(
    null: Null | None,
    evidence: Evidence | str,
    plateau: Plateau | None,
    stress: Stress | None,
    *,
    earlier: int = 0,
    opened: Opened | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Apply the rule."""
    p = math.nan if null is None else min(1.0, null.p_value * (1 + earlier) ** 2)
    doubts = tuple(_doubts(plateau, stress))
    failed = opened is not None and opened.rank < SIGNIFICANT
    if null is None or not (null.complete or min(len(arm.winners) for arm in null.arms) >= FEWEST):
        level = UNTESTED
    elif failed or p > SUGGESTIVE:
        level = NONE
    else:
        level = STRONG if p <= SIGNIFICANT and not doubts else WEAK
    reasons = (*_about_null(null, p, earlier), *doubts, *_about_opened(opened), *_about_evidence(evidence), *notes)
    return Verdict(level, p, reasons, earlier, null, evidence, plateau, stress, opened)


def words(p: float) -> str:
    """A p-value for someone who is no statistician."""
    if math.isnan(p):
        return "not known"
    for limit, said in ((0.01, "very rare by luck"), (0.05, "rare by luck"), (0.2, "unusual by luck")):
        if p <= limit:
            return said
    return "common by luck"


def _about_null(null: Null | None, p: float, earlier: int) -> list[str]:
    if null is None:
        return []
    arm, kind = null.leading, kind_in_words(null.leading.kind)
    said = [
        f"{arm.as_good} of {counted(len(arm.winners), 'shuffled market')} ({kind}) gave the same search a winner at "
        f"least as good: p = {null.p_value:.3g}, {words(null.p_value)}"
    ]
    if not math.isnan(null.luck):
        net = f"net of it the winner's {null.value:.3g} is {null.skill:+.3g}"
        said.append(f"luck, the median winner of these markets, is {null.luck:.3g}; {net}")
    if earlier:
        said.append(
            f"{earlier} earlier {'search' if earlier == 1 else 'searches'} saw some of the same bars: "
            f"p is multiplied by {(1 + earlier) ** 2}, at most to 1: {p:.3g}"
        )
    return said


def _doubts(plateau: Plateau | None, stress: Stress | None) -> list[str]:
    """What keeps a winner from `strong`."""
    said = []
    if stress is not None and not stress.survives:
        said.append("it loses money at twice the fees and three times the slippage and spread")
    if plateau is not None and plateau.kept < KEPT:
        said.append(f"its neighbours keep only {plateau.kept:.0%} of its score: a spike, not a plateau")
    return said


def _about_opened(opened: Opened | None) -> list[str]:
    if opened is None:
        return []
    how = "" if opened.blind else ", which was no longer blind"
    value = bracketed(opened.metric, f"{opened.value:.3g}", opened.days)
    return [
        f"the hold-out{how}: {opened.metric} = {value}, better than {opened.rank:.0%} of equally long "
        "windows of the searched bars"
    ]


def _about_evidence(evidence: Evidence | str) -> list[str]:
    if isinstance(evidence, str):
        return [evidence]
    hold, cash = (evidence.romano_wolf[name] for name in (HOLD, CASH))
    told = [
        f"deflated Sharpe ratio {evidence.dsr:.2f} (of {counted(evidence.tried, 'distinct trial')}); Romano-Wolf "
        f"p = {hold:.2g} against buying and holding, {cash:.2g} against cash",
    ]
    if evidence.alike:
        told.append(f"the data cannot tell the winner from {len(evidence.alike)} of the other trials")
    return told
