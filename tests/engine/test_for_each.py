"""Indicators of one column for many numbers: computed once, read-only, compared pair by pair."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engine import above_each, for_each, sma
from engine.compiled import each
from engine.compiled.arrays import Array
from engine.compiled.shared import Shared
from tests.forms import BARS


def test_pairs_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="equally many and equally long"):
        above_each(for_each(sma, BARS.close, np.arange(2, 99)), for_each(sma, BARS.close, np.array([100])))
    with pytest.raises(ValueError, match="equally many and equally long"):
        above_each(for_each(sma, BARS.close, np.array([2])), for_each(sma, BARS.close[:100], np.array([9])))


def test_numbers_may_be_of_any_width() -> None:
    for kind in (np.int16, np.int32, np.int64):
        found = for_each(sma, BARS.close, np.array([5, 9, 5], kind))
        for at, window in zip(found.at, (5, 9, 5), strict=True):
            np.testing.assert_array_equal(found.results[at], sma(BARS.close, window))


def test_each_number_is_computed_once_and_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "TABLE", 4 * BARS.close.nbytes)  # room for four

    class Counted:
        runs = 0

        def kernel(self, values: Array, by: float) -> Array:
            self.runs += 1
            return values * by

    counted = Counted()
    with Shared(BARS):
        for numbers, runs in (([1.0, 2.0, 1.0], 2), ([2.0, 3.0], 3), ([4.0, 1.0], 4), ([5.0, 1.0], 6), ([1.0], 6)):
            found = for_each(counted, BARS.close, np.array(numbers))
            assert counted.runs == runs
            for at, number in zip(found.at, numbers, strict=True):
                np.testing.assert_array_equal(found.results[at], BARS.close * number)
        assert len(for_each(counted, BARS.close, np.arange(9.0)).results) == 9  # as many as are asked for at least
        with pytest.raises(ValueError, match="read-only"):
            found.results[0, 0] = 1.0
        np.testing.assert_array_equal(for_each(counted, BARS.close * 2.0, np.array([3.0])).results[0], BARS.close * 6.0)
        signs = for_each(counted, BARS.close, np.array([0.0, -0.0]))
        np.testing.assert_array_equal(np.signbit(signs.results[signs.at, 0]), [False, True])
        assert len(for_each(counted, BARS.close, np.empty(0)).at) == 0


def test_threads_share_a_table_that_is_full_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "TABLE", 6 * BARS.close.nbytes)
    means = {n: sma(BARS.close, n) for n in range(2, 30)}
    common = Shared(BARS)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            windows = rng.integers(2, 30, 5)
            with common:
                found = for_each(sma, BARS.close, windows)
            for at, window in zip(found.at, windows, strict=True):
                np.testing.assert_array_equal(found.results[at], means[int(window)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_threads_compute_different_numbers_side_by_side() -> None:
    both_compute = threading.Barrier(2)

    class Slow:
        def kernel(self, values: Array, by: int) -> Array:
            both_compute.wait(60)  # broken, and the test with it, unless another thread computes meanwhile
            return values * by

    slow, common = Slow(), Shared(BARS)

    def ask(_: int) -> Any:
        with common:
            return for_each(slow, BARS.close, np.array([3, 4]))

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(ask, range(2)):
            np.testing.assert_array_equal(found.results[found.at], [BARS.close * 3, BARS.close * 4])


def test_a_number_that_fails_fails_whoever_asks_for_it_and_no_other() -> None:
    asked = threading.Barrier(2)

    class Picky:
        runs = 0

        def kernel(self, values: Array, by: int) -> Array:
            if by == 0:
                self.runs += 1
                if self.runs == 1:
                    asked.wait(60)  # the other thread waits for this one's number
                raise ZeroDivisionError
            return values / by

    picky, common = Picky(), Shared(BARS)

    def ask(first: bool) -> None:
        if not first:
            asked.wait(60)
        with common, pytest.raises(ZeroDivisionError):
            for_each(picky, BARS.close, np.array([0, 2]))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, (True, False)))
    assert picky.runs == 2
    with common:
        found = for_each(picky, BARS.close, np.array([2]))
    np.testing.assert_array_equal(found.results[found.at[0]], BARS.close / 2)


def test_what_is_interrupted_is_left_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between a number's claim and its computation."""
    claim = each._Rows._claim

    def interrupted(rows: Any, name: int, mine: set[int]) -> bool:
        claim(rows, name, mine)
        raise KeyboardInterrupt

    with Shared(BARS):
        monkeypatch.setattr(each._Rows, "_claim", interrupted)
        with pytest.raises(KeyboardInterrupt):
            for_each(sma, BARS.close, np.array([3]))
        monkeypatch.undo()
        np.testing.assert_array_equal(for_each(sma, BARS.close, np.array([3])).results[0], sma(BARS.close, 3))
