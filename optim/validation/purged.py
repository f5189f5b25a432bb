"""Combinatorial purged cross-validation: many out-of-sample paths from one history.

Lopez de Prado, "Advances in Financial Machine Learning", Wiley 2018, chapters 7 and 12. The periods are cut into
groups, and for every choice of test groups the trial that is best on the others is tried on them. Each group is tested
in several splits, so the tests join into several paths that all run through the whole history.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from optim.errors import StatisticsError
from optim.validation.matrix import Floats, checked, distinct, is_flat, standardised, whole


class Paths(NamedTuple):
    """Out-of-sample paths. Sharpe ratios per period; NaN for a path on which nothing moves."""

    n_splits: int  # C(n_groups, n_test)
    n_paths: int  # n_splits n_test / n_groups
    sharpe_ratios: tuple[float, ...]  # one a path
    in_sample: float  # the mean of the winners' ratios where they were chosen
    winners: dict[Hashable, int]  # trial -> in how many splits it was the best


def combinatorial_paths(
    returns: Any,
    n_groups: int = 6,
    n_test: int = 2,
    purge: int = 0,
    embargo: int = 0,
    names: Sequence[Hashable] | None = None,
) -> Paths:
    """The paths of the best trial in sample, over all C(n_groups, n_test) splits; 15 splits and 5 paths for 6 and 2.

    Args:
        returns: T x N, see `optim.validation.matrix.checked`.
        n_groups: contiguous, their lengths differ by one at most; 2 to 20.
        n_test: groups of each split that are tested, at least 1, fewer than n_groups.
        purge: periods before each test group that no trial is chosen on: a position held into it is known there.
        embargo: likewise after each test group.
        names: the columns' names, unless returns are a DataFrame.

    Raises:
        StatisticsError: unusable returns, a setting out of its range, or a split whose training periods are too few
            or on which all trials are flat.
    """
    values, labels = checked(returns, names)
    groups = whole("n_groups", n_groups, 2, 20)
    tested = whole("n_test", n_test, 1, groups - 1)
    before, after = whole("purge", purge, 0, len(values)), whole("embargo", embargo, 0, len(values))
    kept = distinct(values)[0]
    values, labels = values[:, kept], tuple(labels[column] for column in kept)
    edges = np.linspace(0, len(values), groups + 1).astype(int)
    parts: list[list[Floats]] = [[] for _ in range(groups)]  # of each group, what the split's winner earned there
    wins, ratios = dict.fromkeys(labels, 0), []
    for test in itertools.combinations(range(groups), tested):
        best, ratio = _best(values, _training(edges, test, before, after))
        wins[labels[best]] += 1
        ratios.append(ratio)
        for group in test:
            parts[group].append(values[edges[group] : edges[group + 1], best])
    n_splits = math.comb(groups, tested)
    paths = [np.concatenate(path) for path in zip(*parts, strict=True)]
    return Paths(
        n_splits,
        n_splits * tested // groups,
        tuple(_sharpe(path) for path in paths),
        float(np.mean(ratios)),
        {name: count for name, count in wins.items() if count},
    )


def _training(edges: Any, test: tuple[int, ...], purge: int, embargo: int) -> Any:
    """bool[T]: the periods that trials are chosen on."""
    usable = np.ones(edges[-1], dtype=bool)
    for group in test:
        usable[max(edges[group] - purge, 0) : edges[group + 1] + embargo] = False
    return usable


def _best(values: Floats, usable: Any) -> tuple[int, float]:
    """The column with the largest Sharpe ratio over some periods, and the ratio."""
    seen = values[usable]
    if len(seen) < 2:
        raise StatisticsError("a split leaves fewer than two periods to choose on: use fewer groups, purge less")
    ratios = np.where(is_flat(seen), -np.inf, standardised(seen)[1])
    if not np.isfinite(ratios).any():
        raise StatisticsError("all trials are flat where a split chooses: use fewer groups")
    return int(ratios.argmax()), float(ratios.max())


def _sharpe(path: Floats) -> float:
    column = path[:, None]
    return math.nan if is_flat(column)[0] else float(standardised(column)[1][0])
