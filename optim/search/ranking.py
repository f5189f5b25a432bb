"""Which trial won: one rule for whoever asks, the study itself or a search on another market."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial

from optim.search.scoring import is_feasible


def rank(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> tuple[FrozenTrial, ...]:
    """Feasible complete trials, the best by the first objective first, the earlier one first among equals."""
    sign = -1.0 if directions[0] == "maximize" else 1.0
    return tuple(sorted(filter(is_feasible, trials), key=lambda trial: (sign * trial.values[0], trial.number)))


def pareto(trials: Sequence[FrozenTrial], directions: Sequence[str]) -> tuple[FrozenTrial, ...]:
    """The feasible trials that no other one beats in every objective, ordered by the first objective."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    ranked = rank(trials, directions)
    losses = [tuple(sign * value for sign, value in zip(signs, trial.values, strict=True)) for trial in ranked]
    return tuple(
        trial
        for trial, mine in zip(ranked, losses, strict=True)
        if not any(other != mine and all(o <= m for o, m in zip(other, mine, strict=True)) for other in losses)
    )
