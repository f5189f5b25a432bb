"""Which trials of several objectives are the good ones: whole fronts, and the part of the last that covers most."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers._tpe.sampler import _get_reference_point, _solve_hssp_with_cache
from optuna.study._multi_objective import _fast_non_domination_rank

from engine.compiled.arrays import Array


def best_of(losses: Array, n_below: int) -> list[int]:
    """The rows of losses, shape (n, n_objectives), that TPESampler takes for good ones, 0 <= n_below < n, ascending.

    What Optuna does (`_split_complete_trials_multi_objective`), with its own functions for ranks and hypervolumes.
    """
    if n_below == 0:
        return []
    ranks = _fast_non_domination_rank(losses, n_below=n_below)
    found, counts = np.unique(ranks, return_counts=True)
    last = int(np.max(found[np.cumsum(counts) <= n_below], initial=-1))
    rows = np.arange(len(losses))
    below = rows[ranks <= last]
    if len(below) < n_below:
        tied = ranks == last + 1
        missing, reference = n_below - len(below), _get_reference_point(losses[tied])
        chosen: Any = _solve_hssp_with_cache(tuple(losses[tied].ravel()), tuple(rows[tied]), missing, tuple(reference))
        below = np.append(below, chosen)
    return sorted(int(row) for row in below)
