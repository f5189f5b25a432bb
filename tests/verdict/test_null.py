"""The p-value of the whole-search null: by hand, by its definition, and uniform where there is nothing to find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.verdict.null import ENOUGH, Null, null_of

WINNERS = st.lists(st.one_of(st.none(), st.integers(-5, 5).map(float)), min_size=1, max_size=120)


def test_by_hand() -> None:
    null = null_of(2.0, "maximize", {"single": [1.0, 2.0, None, 3.0], "volatility": [0.0, 1.0, 1.5, 1.0]}, 4)
    assert null is not None
    single, like = null.arms
    assert (single.as_good, single.p_value) == (2, 3 / 5)  # 2 and 3 are at least as good, and the real one counts
    assert (like.as_good, like.p_value) == (0, 1 / 5)
    assert (null.p_value, null.leading, null.complete) == (3 / 5, single, True)
    assert (null.luck, null.skill) == (2.0, 0.0)  # the median of 1, 2, 3


@given(winners=WINNERS, value=st.integers(-5, 5).map(float), direction=st.sampled_from(["maximize", "minimize"]))
def test_as_besag_and_clifford_have_it(winners: list[float | None], value: float, direction: str) -> None:
    """Their rule said again: go through the markets until ENOUGH were as good."""
    sign = 1.0 if direction == "maximize" else -1.0
    good = [w is not None and sign * w >= sign * value for w in winners]
    null = null_of(value, direction, {"single": winners}, len(winners))
    assert null is not None
    if sum(good) >= ENOUGH:
        number = next(n for n in range(1, len(good) + 1) if sum(good[:n]) == ENOUGH)
        assert null.p_value == ENOUGH / number
        assert len(null.arms[0].winners) == number
    else:
        assert null.p_value == (1 + sum(good)) / (1 + len(good))
    assert null.complete


@given(winners=WINNERS, more=WINNERS)
def test_what_comes_after_the_answer_is_certain_changes_nothing(
    winners: list[float | None], more: list[float | None]
) -> None:
    enough = [*winners, *[1.0] * ENOUGH]
    first = null_of(0.0, "maximize", {"single": enough}, 1000)
    assert first is not None
    assert first.complete
    assert null_of(0.0, "maximize", {"single": [*enough, *more]}, 1000) == first


def test_uniform_where_the_winner_is_one_of_them() -> None:
    """P(p <= a) <= a for every a that p can take, and not much less; 4,000 studies of 99 markets, 4 standard errors."""
    rng = np.random.default_rng(7)
    nulls: list[Null] = []
    for _ in range(4000):
        value, *winners = rng.normal(size=100).tolist()
        null = null_of(value, "maximize", {"single": winners}, 99)
        assert null is not None
        nulls.append(null)
    p = np.array([null.p_value for null in nulls])
    for level in (0.01, 0.05, 0.1, 0.2, 0.5):
        error = math.sqrt(level * (1 - level) / len(p))
        assert abs(float(np.mean(p <= level)) - level) < 4 * error, level
    searched = np.mean([len(null.arms[0].winners) for null in nulls])
    assert searched < 60  # it ends early where it can


def test_nothing_is_known_before_every_kind_has_a_market() -> None:
    assert null_of(1.0, "maximize", {"single": [0.5], "volatility": []}, 9) is None
    assert null_of(1.0, "maximize", {}, 9) is None


def test_a_market_without_a_winner_is_not_as_good() -> None:
    null = null_of(-3.0, "maximize", {"single": [None] * 19}, 19)
    assert null is not None
    assert null.p_value == pytest.approx(0.05)
    assert math.isnan(null.luck)
