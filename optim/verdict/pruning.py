"""Was pruning right? A few pruned trials are run to the end and ranked among the complete ones; nothing is recorded."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from optim.errors import counted
from optim.problem.plan import Plan
from optim.search.ranking import rank
from optim.search.scoring import feasible_value
from optim.search.sweep import scored
from optim.workers.pool import Pool

SAMPLE = 8  # pruned trials
BEST = 0.1  # of the complete trials: those a pruned one should not be among
FEWEST = 10  # complete trials without which there is no tenth
_LEAST = 1.0  # seconds after a search that took less


class Hindsight(NamedTuple):
    """Pruned trials that were run to the end."""

    run: int
    among_best: int  # of them, better than the last of the best tenth of the complete trials
    above_winner: int  # of them, better than the best complete trial
    complete: int  # feasible complete trials

    @property
    def sentence(self) -> str:
        """What was found, for a reader."""
        best = f"{self.among_best or 'none'} would have ranked in the best {BEST:.0%}".replace("%", " %")
        return (
            f"Of {counted(self.run, 'pruned trial')} run to the end, {best} of the {self.complete} complete ones, "
            f"{self.above_winner or 'none'} above the best."
        )


def hindsight(plan: Plan, trials: Sequence[FrozenTrial], reason: str, pool: Pool, spent: float) -> Hindsight | None:
    """Run pruned trials to the end, drawn with the study's seed: SAMPLE, or as many as the search's time allows.

    reason: why the search ended. spent: its seconds, which with [validation] quick bound those of this. None where
    quick is 0, nothing was pruned, the search was stopped, no trial fits into the time or too few are complete.
    """
    pruned = [t for t in trials if t.state == TrialState.PRUNED and "infeasible" not in t.user_attrs]
    goals = plan.objective.goals
    seconds = min(max(spent, _LEAST), plan.spec.validation.quick) * pool.n_jobs
    if not pruned or len(goals) > 1 or reason == "interrupted" or seconds == 0.0:
        return None
    values = [trial.values[0] for trial in rank(trials, [goals[0].direction])]
    if len(values) < FEWEST:
        return None
    drawn = _drawn(plan, trials, pruned, seconds)
    results = pool.run([plan.trial_task(trial.params, plan.cells) for trial in drawn])
    found = [feasible_value(plan.objective, scored(plan.objective, result)) for result in results]
    sign = 1.0 if goals[0].direction == "maximize" else -1.0
    last = values[math.ceil(BEST * len(values)) - 1]

    def above(bar: float) -> int:
        return sum(sign * value > sign * bar for value in found if value is not None)

    return Hindsight(len(drawn), above(last), above(values[0]), len(values)) if drawn else None


def _drawn(
    plan: Plan, trials: Sequence[FrozenTrial], pruned: Sequence[FrozenTrial], seconds: float
) -> list[FrozenTrial]:
    """As many as fit into so many seconds of one worker, at what a complete trial took: the first may have compiled."""
    took = [t.duration.total_seconds() for t in trials if t.state == TrialState.COMPLETE and t.duration]
    each = statistics.median(took) if took else 0.0
    size = min(SAMPLE, len(pruned), int(seconds / each) if each > 0.0 else SAMPLE)
    chosen = np.random.default_rng(plan.spec.study.seed).choice(len(pruned), size, replace=False)
    return [pruned[number] for number in sorted(chosen)]


def as_plain(found: Hindsight | None) -> dict[str, Any] | None:
    """As JSON has it."""
    return None if found is None else {**found._asdict(), "sentence": found.sentence}
