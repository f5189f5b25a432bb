"""How often the best trial in one half of the data is below the middle in the other half.

Bailey, Borwein, Lopez de Prado & Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance
20(4), 2017: combinatorially symmetric cross-validation (CSCV), definition 2.2 and sections 2.2, 3.

The fast way: sums of returns and of their squares in each block; the sums of a half are then a matrix product of
0/1 memberships and block sums, and mean / root mean square orders trials as the Sharpe ratio does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optim.errors import StatisticsError, counted
from optim.validation.matrix import FLAT, Floats, checked, distinct, is_flat, whole

_TIE = 1e-12  # of mean / root mean square: what is nearer differs by rounding only
_AT_ONCE = 256  # splits; their matrices stay in the cache


class Overfitting(NamedTuple):
    """What CSCV finds.

    pbo: share of splits whose in-sample winner is at or below the median out of sample (of its logits <= 0).
    probability_of_loss: share of splits whose winner has a negative Sharpe ratio out of sample.
    slope: of the winner's out-of-sample Sharpe ratio on its in-sample one; NaN if those do not vary.
    n_trials: distinct trials ranked. n_splits: splits that had a winner.
    logits, in_sample, out_of_sample: float64[n_splits], ln(w / (1 - w)) of the winner's relative rank w out of sample
        and its Sharpe ratios per period on both sides.
    winners: share of the splits that each trial won, by name, those that won none left out.
    """

    pbo: float
    probability_of_loss: float
    slope: float
    n_trials: int
    n_splits: int
    logits: Floats
    in_sample: Floats
    out_of_sample: Floats
    winners: dict[Hashable, float]


def probability_of_backtest_overfitting(
    returns: Any, n_blocks: int = 16, names: Sequence[Hashable] | None = None
) -> Overfitting:
    """CSCV over all C(n_blocks, n_blocks / 2) splits of the periods into halves; 12,870 for 16 blocks.

    Blocks are contiguous, their lengths differ by one at most. Identical columns are one trial. Ties in rank get the
    average rank; of trials that tie in sample the one that is worst out of sample is taken for the winner. A trial
    that is flat in sample does not win; out of sample its Sharpe ratio counts as 0.

    Args:
        returns: T x N, see `optim.validation.matrix.checked`; T at least 2 n_blocks.
        n_blocks: even, 2 to 20.
        names: the columns' names, unless returns are a DataFrame.

    Raises:
        StatisticsError: unusable returns, an odd or too large number of blocks, or fewer than two distinct trials.
    """
    values, labels = checked(returns, names)
    blocks = whole("n_blocks", n_blocks, 2, 20)
    if blocks % 2:
        raise StatisticsError(f"n_blocks must be even, but is {blocks}: a split has as many blocks on either side")
    if len(values) < 2 * blocks:
        raise StatisticsError(f"{counted(len(values), 'period')} cannot be cut into {blocks} blocks of at least two")
    kept, _ = distinct(values)
    if len(kept) < 2 or is_flat(values[:, kept]).sum() == len(kept):
        raise StatisticsError("returns hold fewer than two distinct trials that vary: there is nothing to rank")
    sums, squares, sizes = _block_sums(values[:, kept], blocks)
    half = list(combinations(range(blocks), blocks // 2))
    member = np.zeros((len(half) // 2, blocks))  # splits with block 0 in sample; turned round they are all others
    np.put_along_axis(member, np.array(half[: len(member)]), 1.0, axis=1)
    parts = []
    for first in range(0, len(member), _AT_ONCE):
        one = member[first : first + _AT_ONCE]
        sides = [_Side(side @ sizes, _ratios(side, sums, squares, sizes)) for side in (one, 1 - one)]
        parts += [_judge(*sides), _judge(*sides[::-1])]
    split = _Splits(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return _summary(split, tuple(labels[column] for column in kept))


class _Side(NamedTuple):
    """One half of each of K splits: its periods [K], each trial's mean / root mean square [K, N], NaN where flat."""

    periods: Floats
    ratios: Floats


class _Splits(NamedTuple):
    """Of each split with a winner: its column, its rank out of sample, its Sharpe ratios on both sides."""

    winner: NDArray[np.intp]
    rank: Floats
    in_sample: Floats
    out_of_sample: Floats


def _block_sums(values: Floats, blocks: int) -> tuple[Floats, Floats, Floats]:
    """Sums of returns and of their squares [blocks, N], of columns scaled to a largest value of 1; periods [blocks]."""
    edges = np.linspace(0, len(values), blocks + 1).astype(np.intp)
    scaled = values / np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    sums = np.add.reduceat(scaled, edges[:-1], axis=0)
    return sums, np.add.reduceat(scaled**2, edges[:-1], axis=0), np.diff(edges).astype(float)


def _ratios(side: Floats, sums: Floats, squares: Floats, sizes: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (side @ sums) / np.sqrt((side @ squares) * (side @ sizes)[:, None])
    ratios[1 - ratios**2 <= FLAT] = np.nan  # 1 - ratio^2 is variance / mean square
    return np.asarray(ratios)


def _judge(inside: _Side, outside: _Side) -> _Splits:
    """The in-sample winners and what became of them; splits in which every trial is flat in sample are left out."""
    there = np.where(np.isnan(inside.ratios), -np.inf, inside.ratios)
    later = np.where(np.isnan(outside.ratios), 0.0, outside.ratios)
    top = there.max(axis=1, keepdims=True)
    winner = np.where(there >= top - _TIE, later, np.inf).argmin(axis=1)
    split = np.arange(len(winner))
    chosen = later[split, winner]
    below = np.count_nonzero(later < chosen[:, None] - _TIE, axis=1)
    upto = np.count_nonzero(later <= chosen[:, None] + _TIE, axis=1)
    ratio = there[split, winner]
    good = np.isfinite(top[:, 0])
    won, held = _sharpe(ratio[good], inside.periods[good]), _sharpe(chosen[good], outside.periods[good])
    return _Splits(winner[good], ((below + upto + 1) / 2)[good], won, held)


def _sharpe(ratio: Floats, periods: Floats) -> Floats:
    """Sharpe ratio (ddof 1) of a mean / root mean square."""
    return np.asarray(ratio / np.sqrt(1 - ratio**2) * np.sqrt((periods - 1) / periods))


def _summary(split: _Splits, names: tuple[Hashable, ...]) -> Overfitting:
    if not len(split.winner):
        raise StatisticsError("in every split all trials are flat in sample: use fewer blocks")
    logits = np.log(split.rank / (len(names) + 1 - split.rank))
    gap = split.in_sample - split.in_sample.mean()
    spread = float(gap @ gap)
    slope = float(gap @ split.out_of_sample) / spread if spread > 0 else float("nan")
    wins = np.bincount(split.winner, minlength=len(names)) / len(split.winner)
    return Overfitting(
        pbo=float((logits <= 0).mean()),
        probability_of_loss=float((split.out_of_sample < 0).mean()),
        slope=slope,
        n_trials=len(names),
        n_splits=len(logits),
        logits=logits,
        in_sample=split.in_sample,
        out_of_sample=split.out_of_sample,
        winners={name: float(share) for name, share in zip(names, wins, strict=True) if share > 0},
    )
