"""Tests against a benchmark: by their definitions, of the right size on noise, with power on an edge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optim.errors import StatisticsError
from optim.validation.bootstrap import block_lengths, bootstrap_counts
from optim.validation.reality import reality_check, romano_wolf, spa
from tests.validation import naive

NAMES = list("abcde")


def market(seed: int, rows: int = 60, edge: float = 0.0, rho: float = 0.0) -> pd.DataFrame:
    """A benchmark, a ... e around it; c has the edge."""
    x = naive.autoregressive(seed, rows, 6, rho)
    x[:, 1:] += 0.5 * x[:, [0]]
    x[:, 3] += edge
    return pd.DataFrame(x, columns=["market", *NAMES])


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(1, 8), st.floats(-0.01, 0.01), st.floats(-0.5, 0.5))
def test_p_values_are_those_of_the_definitions(seed: int, length: float, edge: float, rho: float) -> None:
    frame = market(seed, 40, edge, rho)
    excess = frame[NAMES].to_numpy() - frame[["market"]].to_numpy()
    counts = bootstrap_counts(40, length, 99, seed)
    given_ = {"n_draws": 99, "block_length": length, "seed": seed}
    found = spa(frame, "market", **given_)  # type: ignore[arg-type]
    assert (found.lower, found.consistent, found.upper) == naive.spa(excess, counts, length)
    stepped = romano_wolf(frame, "market", **given_)  # type: ignore[arg-type]
    assert list(stepped.p_values) == NAMES
    assert list(stepped.p_values.values()) == naive.step_down(excess, counts, length)
    checked = reality_check(frame, "market", **given_)  # type: ignore[arg-type]
    largest = np.max([naive.drawn_means(x - x.mean(), counts) for x in excess.T], axis=0)
    assert checked.p_value == (1 + (largest >= excess.mean(axis=0).max()).sum()) / 100
    assert checked.best == NAMES[int(excess.mean(axis=0).argmax())]


def test_the_block_length_is_the_mean_of_the_columns_best() -> None:
    frame = market(3, 200, rho=0.4)
    excess = frame[NAMES].to_numpy() - frame[["market"]].to_numpy()
    for test in (spa, romano_wolf, reality_check):
        assert test(frame, "market", n_draws=10).block_length == pytest.approx(block_lengths(excess).mean())


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.permutations(["market", *NAMES]), st.floats(1e-6, 1e6))
def test_neither_the_order_of_columns_nor_the_currency_matters(seed: int, order: list[str], scale: float) -> None:
    frame = market(seed, 60, 0.002)
    other = (frame * scale)[order]
    one, two = (romano_wolf(x, "market", n_draws=99, block_length=2) for x in (frame, other))
    assert one.p_values == two.p_values
    assert list(two.p_values) == [name for name in order if name != "market"]
    assert spa(frame, "market", n_draws=99, block_length=2)[:4] == spa(other, "market", n_draws=99, block_length=2)[:4]


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_step_down_is_never_stricter_than_the_joint_test(seed: int) -> None:
    frame = market(seed, 60, 0.003)
    stepped, joint = romano_wolf(frame, "market", n_draws=99), spa(frame, "market", n_draws=99)
    best = max(stepped.statistics, key=lambda name: stepped.statistics[name])
    assert joint.best == best
    assert joint.lower <= joint.consistent <= joint.upper
    if stepped.statistics[best] > 0:
        assert min(stepped.p_values.values()) == stepped.p_values[best] == joint.upper
    ordered = sorted(NAMES, key=lambda name: -stepped.statistics[name])
    assert [stepped.p_values[name] for name in ordered] == sorted(stepped.p_values.values())


def test_copies_count_once_and_keep_their_names() -> None:
    frame = market(1, 60, 0.003)
    copied = frame.assign(copy=frame["c"], zero=-0.0 * frame["c"])
    one, two = (romano_wolf(x, "market", n_draws=199, block_length=2) for x in (frame, copied))
    assert two.p_values == one.p_values | {"copy": one.p_values["c"], "zero": 1.0}
    assert spa(copied, "market", n_draws=199, block_length=2) == spa(frame, "market", n_draws=199, block_length=2)


@given(st.integers(0, 6), st.sampled_from([0.0, 0.05]))
@settings(max_examples=15)
def test_a_flat_trial_never_wins_and_shifts_no_other(place: int, value: float) -> None:
    """Even where cash beats a falling market by far."""
    frame = market(1) - 0.02
    with_cash = frame.copy()
    with_cash.insert(place, "cash", value)
    one, two = (romano_wolf(x, "market", n_draws=99, block_length=2) for x in (frame, with_cash))
    assert two.p_values == one.p_values | {"cash": 1.0}
    assert spa(frame, "market", n_draws=99, block_length=2) == spa(with_cash, "market", n_draws=99, block_length=2)
    assert reality_check(with_cash, "market", n_draws=99).best != "cash"


def test_a_trial_that_is_the_benchmark_but_for_rounding_is_no_evidence() -> None:
    frame = market(2)
    frame["same"] = frame["market"] + 1e-17 * np.sign(frame["a"]) + 1e-18
    found = romano_wolf(frame, "market", n_draws=99)
    assert found.p_values["same"] == 1
    assert found.statistics["same"] == 0


def test_cash_and_the_market_are_different_benchmarks() -> None:
    """A rising market and its followers: far better than cash, no better than holding it."""
    frame = market(4, 250)
    followers = frame[NAMES].mul(0.2).add(frame["market"], axis=0)
    frame = pd.concat([frame[["market"]], followers], axis=1) + 0.003
    frame["cash"] = 0.0
    against_cash, against_market = (spa(frame, name) for name in ("cash", "market"))
    assert against_cash.consistent < 0.01
    assert against_market.consistent > 0.1
    assert (against_cash.benchmark, against_market.benchmark) == ("cash", "market")


def test_one_column_of_much_risk_hides_an_edge_from_whites_test_only() -> None:
    frame = market(5, 250, 0.004)
    levered = frame.assign(levered=100 * naive.noise(99, 250, 1)[:, 0])
    assert spa(frame, "market").consistent < 0.01
    assert spa(levered, "market").consistent < 0.01
    assert reality_check(frame, "market").p_value < 0.01
    assert reality_check(levered, "market").p_value > 0.1


def test_trials_worse_than_the_benchmark_prove_nothing() -> None:
    found = spa(market(6).sub([0, 0.02, 0.02, 0.02, 0.02, 0.02]), "market")
    assert found[:3] == (1, 1, 1)


def test_a_hopeless_trial_weighs_on_the_upper_p_value_only() -> None:
    frame = market(8, 120, 0.002)
    hopeless = frame.assign(**{f"bad {i}": naive.noise(100 + i, 120, 1)[:, 0] - 0.02 for i in range(40)})
    given_ = {"n_draws": 999, "block_length": 2.0}
    one, many = (spa(x, "market", **given_) for x in (frame, hopeless))  # type: ignore[arg-type]
    assert many.consistent == pytest.approx(one.consistent, abs=0.01)
    assert many.upper > one.upper + 0.05


def test_size_on_noise_and_power_on_an_edge() -> None:
    """At 5 %: of 300 markets without an edge, and of 60 in which c has one of an annual Sharpe ratio of about 4."""
    false = {"spa": 0, "romano_wolf": 0, "reality_check": 0}
    for seed in range(300):
        frame = market(seed, 250)
        false["spa"] += spa(frame, "market", n_draws=199, seed=seed).consistent <= 0.05
        false["romano_wolf"] += bool(romano_wolf(frame, "market", n_draws=199, seed=seed).better())
        false["reality_check"] += reality_check(frame, "market", n_draws=199, seed=seed).p_value <= 0.05
    for name, hits in false.items():
        low, high = naive.wilson(hits, 300)
        assert low <= 0.05 <= high, name
    found = [romano_wolf(market(seed, 250, 0.0035), "market", n_draws=199, seed=seed).better() for seed in range(60)]
    assert sum("c" in better for better in found) > 45
    assert sum(better not in (["c"], []) for better in found) <= 9  # false ones beside it, 5 % expected


def test_nothing_to_compare_is_refused() -> None:
    frame = market(0)[["market"]].assign(cash=0.0, same=lambda x: x["market"])
    for test in (spa, romano_wolf, reality_check):
        with pytest.raises(StatisticsError, match="nothing to compare"):
            test(frame, "market")
    with pytest.raises(StatisticsError, match="n_draws must be"):
        spa(market(0), "market", n_draws=0)
