"""Building blocks of strategies: indicators -> target exposure. Compiled, causal, NaN counts as 'no'.

Numbers that differ by rounding only are equal: engine/compiled/tolerance.py has the rule, each function here says what
its scale is. So a target does not hang on the last digit of a mean, nor on whether prices are in cents or dollars.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.compiled.arrays import Array, Sides
from engine.compiled.each import Each
from engine.compiled.jit import inner, kernel
from engine.compiled.refused import refuse_lengths
from engine.compiled.shared import Indicator, sharing
from engine.compiled.tolerance import exceeds, reaches
from engine.strategies.indicators import sma

# An index or a score is a ratio of price changes: the prices' rounding is as many times larger in it as the prices are
# larger than their changes. 1e5 makes the tolerance 1e-7, enough for cents at a price of a million.
MAGNIFIED = 1e5
# Of the largest value so far: what the rounding of running sums cannot reach. A step adds at most 7e-16 of it to the
# difference of two means, so this holds for ten million bars.
DRIFT = 1e-8


@inner
def _larger(left: float, right: float) -> float:
    """The scale of two numbers that were computed from numbers of their own size."""
    return max(abs(left), abs(right))


@kernel
def above(left: Array, right: Array, scale: Array | None = None) -> Array:
    """1.0 where left > right, else 0.0; shape (n_bars,).

    scale: (n_bars,), the numbers whose differences left and right are, such as the prices behind a MACD; without it
    the two themselves.
    """
    refuse_lengths(len(left), (len(right), len(left) if scale is None else len(scale)))
    target = np.empty(len(left))
    for t in range(len(left)):  # chosen, not jumped over: so it goes several bars at a time
        size = _larger(left[t], right[t]) if scale is None else abs(scale[t])
        target[t] = 1.0 if exceeds(left[t], right[t], size) else 0.0
    return target


@kernel
def above_each(left: Each, right: Each) -> Sides:
    """above(left, right) for many: row i of (k, n_bars) compares left.results[left.at[i]] with right's i-th.

    Raises ValueError where they are not equally many, or not equally long.
    """
    if len(left.at) != len(right.at) or left.results.shape[1] != right.results.shape[1]:
        raise ValueError("above_each compares results that are equally many and equally long")
    targets = np.empty((len(left.at), left.results.shape[1]), np.int8)
    for i in range(len(targets)):
        early, late, target = left.results[left.at[i]], right.results[right.at[i]], targets[i]
        for t in range(len(target)):
            target[t] = exceeds(early[t], late[t], _larger(early[t], late[t]))
    return targets


class _MeanAbove(Indicator):
    """Means that are asked for again, in other pairs, are kept; where they are not, both cost one pass."""

    def __call__(self, *arguments: Any, **named: Any) -> Array:
        shared = sharing()
        if shared is not None and len(arguments) == 3 and 1 <= arguments[1] <= arguments[2]:
            values, fast, slow = arguments
            early = shared.result(sma, (values, fast), at_once=False)
            late = shared.result(sma, (values, slow), at_once=False)
            if early is not None and late is not None:
                return above(early, late)
        found: Array = self.kernel(*arguments, **named)
        return found


@_MeanAbove
def mean_above(values: Array, fast: int, slow: int) -> Array:
    """above(sma(values, fast), sma(values, slow)) in one pass, fast < slow; shape (n_bars,).

    Running sums answer where their rounding cannot matter; where the means are closer, or NaN, the window is summed
    anew, and the running sums go on from there.
    """
    if not 1 <= fast <= slow:
        raise ValueError("mean_above takes windows with 1 <= fast <= slow")
    n = len(values)
    target = np.zeros(n)
    if n < slow:
        return target
    share, late_share = 1.0 / slow, 1.0 / fast
    new, old, old_late, out = values[slow:], values[: n - slow], values[slow - fast : n - fast], target[slow:]
    target[slow - 1], total, late, largest = _sum_window(values[:slow], fast)
    for i in range(len(out)):
        entering = new[i] - old[i]
        entering_late = new[i] - old_late[i]
        total += entering
        late += entering_late
        size = abs(new[i])
        largest = size if size > largest else largest
        lead = late * late_share - total * share
        if abs(lead) > DRIFT * largest:
            out[i] = 1.0 if lead > 0.0 else 0.0
        elif entering == 0.0 and entering_late == 0.0:  # the same numbers in both windows
            out[i] = target[slow + i - 1]
        else:
            out[i], total, late, largest = _sum_window(values[i + 1 : slow + i + 1], fast)
    return target


@inner
def _sum_window(values: Array, fast: int) -> tuple[float, float, float, float]:
    """Whether the mean of the last `fast` values is above that of all; the sums of all and of the last; the largest."""
    slow = len(values)
    anchor, largest, total, late = values[slow - 1], 0.0, 0.0, 0.0
    for i in range(slow):
        total += values[i] - anchor
        largest = max(largest, abs(values[i]))
    for i in range(slow - fast, slow):
        late += values[i] - anchor
    mean, late_mean = anchor + total / slow, anchor + late / fast
    higher = exceeds(late_mean, mean, _larger(late_mean, mean))
    return 1.0 if higher else 0.0, mean * slow, late_mean * fast, largest


@kernel
def latch_below(values: Array, enter: float, leave: float) -> Array:
    """1.0 from values < enter until values > leave; shape (n_bars,). Scale: MAGNIFIED * (1 + |level|)."""
    target = np.zeros(len(values))
    held = 0.0
    for t in range(len(values)):
        if exceeds(enter, values[t], MAGNIFIED * (1.0 + abs(enter))):
            held = 1.0
        elif exceeds(values[t], leave, MAGNIFIED * (1.0 + abs(leave))):
            held = 0.0
        target[t] = held
    return target


@kernel
def latch_channels(close: Array, enter: Array, leave: Array) -> Array:
    """1.0 from close > the previous bar's `enter` until close < the previous bar's `leave`; shape (n_bars,).

    Scale: the larger of the two compared.
    """
    refuse_lengths(len(close), (len(enter), len(leave)))
    target = np.zeros(len(close))
    held = 0.0
    for t in range(1, len(close)):
        if exceeds(close[t], enter[t - 1], _larger(close[t], enter[t - 1])):
            held = 1.0
        elif exceeds(leave[t - 1], close[t], _larger(leave[t - 1], close[t])):
            held = 0.0
        target[t] = held
    return target


@kernel
def fade(score: Array, enter: float, leave: float) -> Array:
    """1.0 from score < -enter until score >= -leave, -1.0 from score > enter until score <= leave; shape (n_bars,).

    Scale: MAGNIFIED * (1 + enter).
    """
    target = np.zeros(len(score))
    held = 0.0
    for t in range(len(score)):
        held = _faded(held, score[t], enter, leave, MAGNIFIED * (1.0 + enter))
        target[t] = held
    return target


@kernel
def fade_bands(
    values: Array, centre: Array, width: Array, enter: float, leave: float, scale: Array | None = None
) -> Array:
    """fade((values - centre) / width, enter, leave) where nothing is divided: safe however narrow the bands are.

    Scale: the larger of value and centre, or `scale`, shape (n_bars,): 1 for logarithms.
    """
    n = len(values)
    refuse_lengths(n, (len(centre), len(width), n if scale is None else len(scale)))
    target = np.zeros(n)
    held = 0.0
    for t in range(n):
        size = _larger(values[t], centre[t]) if scale is None else abs(scale[t])
        held = _faded(held, values[t] - centre[t], enter * width[t], leave * width[t], size)
        target[t] = held
    return target


@inner
def _faded(held: float, distance: float, enter: float, leave: float, scale: float) -> float:
    """What is held against a distance from the centre: 1.0 below it, -1.0 above it, 0.0 near it."""
    if held != 0.0 and reaches(held * distance, -leave, scale):
        held = 0.0
    if exceeds(-enter, distance, scale):
        return 1.0
    return -1.0 if exceeds(distance, enter, scale) else held


@kernel
def breakout(close: Array, centre: Array, width: Array, multiple: float) -> Array:
    """1.0 from close > centre + multiple * width, both of the previous bar, until close < centre; shape (n_bars,).

    Scale: the larger of the two compared.
    """
    refuse_lengths(len(close), (len(centre), len(width)))
    target = np.zeros(len(close))
    held = 0.0
    for t in range(1, len(close)):
        level = centre[t - 1] + multiple * width[t - 1]
        if exceeds(close[t], level, _larger(close[t], level)):
            held = 1.0
        elif exceeds(centre[t - 1], close[t], _larger(centre[t - 1], close[t])):
            held = 0.0
        target[t] = held
    return target


@kernel
def side_of(values: Array, threshold: float) -> Array:
    """1.0 where value > threshold, -1.0 where value < -threshold, else 0.0; shape (n_bars,).

    Scale: 1 + threshold, as fits returns: 1 + return is a ratio of prices.
    """
    scale = 1.0 + abs(threshold)
    target = np.zeros(len(values))
    for t in range(len(values)):
        if exceeds(values[t], threshold, scale):
            target[t] = 1.0
        elif exceeds(-threshold, values[t], scale):
            target[t] = -1.0
    return target
