"""The form of a strategy for many parameter sets: bit for bit what it says of each alone, whatever goes wrong."""

from __future__ import annotations

import math
import pickle
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Signal, above, sma, strategy, sweep
from engine.check import draw_params, random_bars
from engine.compiled.arrays import Array
from engine.compiled.shared import Shared
from engine.data.bars import Bars, slice_bars
from engine.strategies.base import builtin_names, load_strategy
from engine.strategies.many import bind_many, targets_of_many
from tests.engine.test_detail import detailed
from tests.engine.test_income import paying
from tests.forms import BARS, held_equal, made

FORMS = [name for name in builtin_names() if load_strategy(name).many is not None]


class Choices(NamedTuple):
    window: int
    choice: Literal[False, 0, 1, True]


class Stopped(NamedTuple):
    window: int
    stop_pct: float = 0.0


class Defaults(NamedTuple):
    window: int = 5


class Seeded(NamedTuple):
    seed: int


class Leaving(NamedTuple):
    window: int

    def rules(self) -> tuple[tuple[bool, str], ...]:
        raise SystemExit(3)


class Choosy(NamedTuple):
    window: int

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((2 <= self.window < 20, "2 <= window < 20"),)


ROWS = st.fixed_dictionaries(
    {"window": st.one_of(st.integers(-1, 40), st.sampled_from([7.0, 7.5, "7", True, 10**30]))},
    optional={
        "sign": st.sampled_from([1, 1.0, -1.0, 0.5, 2.0, math.nan]),
        "mean": st.sampled_from(["sma", "ema", "wma"]),
        "inverse": st.sampled_from([True, False, 1]),
        "fee_bps": st.sampled_from([0.0, 10.0, -1.0]),
        "stop_pct": st.sampled_from([0.0, 0.02]),
        "other": st.just(1),
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=8), st.sampled_from([1, 3]))
def test_a_sweep_gives_what_each_row_gives_alone(rows: list[dict[str, Any]], n_jobs: int) -> None:
    held_equal(made()[0], rows, n_jobs)


RULES: list[dict[str, Any]] = [
    {},
    {"trailing_stop_pct": 0.03},
    {"stop_pct": 0.02},
    {"trade_on": "close"},
    {"max_holding_bars": 5},
    {"borrow_bps": 50.0, "fixed_fraction": 2.0, "max_leverage": 2.0},
]
MARKETS = {
    "plain": BARS,
    "paying": paying(BARS, [(int(when), "dividends", 0.2) for when in BARS.timestamp[::7]]),
    "detailed": detailed(np.random.default_rng(2), 300),
}


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("form", ["", "sides"])
def test_rows_of_every_account_are_what_they_are_alone_on_every_kind_of_bars(market: str, form: str) -> None:
    rows = [{"window": window, **rules} for window in (3, 9) for rules in RULES]
    held_equal(made(form)[0], rows, bars=MARKETS[market])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 40), st.sampled_from([1.0, -1.0, 0.5, 2.0])), min_size=1, max_size=20),
    st.booleans(),
)
def test_rows_that_break_a_rule_are_left_to_be_asked_alone(sets: list[tuple[int, float]], table: bool) -> None:
    one, calls = made()
    held_equal(one, [{"window": window, "sign": sign} for window, sign in sets], table=table)
    assert sum(calls) == sum(2 <= window < 30 for window, _ in sets)


@pytest.mark.parametrize("name", FORMS)
def test_a_built_in_form_says_what_the_strategy_says(name: str) -> None:
    one, rng = load_strategy(name), np.random.default_rng(4)
    sets = list(draw_params(one, rng, 60))
    for bars in (BARS, slice_bars(BARS, 0, 20)):
        with Shared(bars):
            for many in bind_many(one, sets) + bind_many(one, sets):
                for i, target in zip(many.at, targets_of_many(one, bars, many), strict=True):
                    np.testing.assert_array_equal(target, one.target(bars, one.bind(sets[i])))


def test_it_is_asked_once_for_all_that_are_alike_in_what_is_no_number() -> None:
    one, calls = made()
    rows = [{"window": n, "mean": mean} for n in range(3, 13) for mean in ("sma", "ema")]
    held_equal(one, rows)
    assert calls == [10, 10]


@pytest.mark.parametrize("row", [{}, {"fee_bps": 5.0}])
@pytest.mark.parametrize("table", [False, True])
def test_rows_may_name_no_parameter(row: dict[str, Any], table: bool) -> None:
    @strategy
    def rising(bars: Bars, p: Defaults) -> Array:
        return above(bars.close, sma(bars.close, p.window))

    for one in (rising, made()[0]):  # which needs a window
        held_equal(one, [row] * 3, table=table)

    @rising.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([above(bars.close, sma(bars.close, window)) for window in p.window.tolist()])

    held_equal(rising, [row] * 3, table=table)


@pytest.mark.parametrize("table", [False, True])
def test_rows_that_set_rules_of_the_account_are_asked_together_too(table: bool) -> None:
    one, calls = made()
    fees, stops, targets = (0.0, 5.0, -5.0), (0.01, 0.05), (0.0, 0.2)
    rows = [
        {"window": n, "fee_bps": fee, "stop_pct": stop, "volatility_target": target}
        for n, fee, stop, target in product((5, 9), fees, stops, targets)
    ]
    held_equal(one, rows, table=table)
    assert calls == [sum(row["fee_bps"] >= 0.0 for row in rows)]  # the others are refused, each by itself


def test_a_row_that_is_refused_takes_no_other_with_it() -> None:
    one, calls = made()
    good = [{"window": n} for n in range(3, 13)]
    held_equal(one, [*good, {"window": 7.5}, {"window": 5, "other": 1}, {"sign": 1.0}, {"window": 5, "fee_bps": -1.0}])
    assert calls == [10]


def test_choices_that_are_equal_and_not_the_same_come_in_calls_of_their_own() -> None:
    @strategy
    def choosing(bars: Bars, p: Choices) -> Array:
        share = {False: 0.1, True: 0.2}[p.choice] if isinstance(p.choice, bool) else 0.3 + 0.1 * p.choice
        return share * above(bars.close, sma(bars.close, p.window))

    @choosing.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([choosing.signal(bars, Choices(window, p.choice)) for window in p.window.tolist()])

    held_equal(choosing, [{"window": n, "choice": choice} for n in (5, 9) for choice in (0, False, 1, True)])


def test_a_parameter_called_like_a_rule_of_the_account_stays_a_rule() -> None:
    @strategy
    def stopped(bars: Bars, p: Stopped) -> Array:
        return above(bars.close, (1.0 - p.stop_pct) * sma(bars.close, p.window))

    @stopped.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([stopped.signal(bars, Stopped(*one)) for one in zip(p.window, p.stop_pct, strict=True)])

    rows = [{"window": n, "stop_pct": stop} for n in (5, 10) for stop in (0.01, 0.03)]
    held_equal(stopped, rows)


def test_levels_are_not_lost_by_a_form_that_cannot_say_them() -> None:
    @strategy
    def levels(bars: Bars, p: Seeded) -> Signal:
        return Signal(above(bars.close, sma(bars.close, p.seed)), stop=bars.close * 0.99)

    @levels.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([above(bars.close, sma(bars.close, int(window))) for window in p.seed])

    held_equal(levels, [{"seed": window} for window in (5, 9, 20)])


def test_numbers_of_any_size_are_what_they_are() -> None:
    @strategy
    def seeded(bars: Bars, p: Seeded) -> Array:
        return np.full(len(bars.close), (p.seed % 8) / 8)

    @seeded.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.repeat((p.seed % 8 / 8)[:, None], len(bars.close), axis=1)

    held_equal(seeded, [{"seed": 2**63 + 5}, {"seed": -3}, {"seed": 2**62 + 1}])


@pytest.mark.parametrize("fault", ["raises", "exits", "another shape", "sides", "differs"])
def test_a_form_that_fails_costs_time_only(fault: str) -> None:
    one, calls = made(fault)
    held_equal(one, [{"window": n} for n in range(3, 13)])
    assert calls == [10]


def test_rules_that_no_array_can_be_asked_for_are_asked_one_at_a_time() -> None:
    @strategy
    def choosy(bars: Bars, p: Choosy) -> Array:
        return above(bars.close, sma(bars.close, p.window))

    choosy.for_many(lambda bars, p: np.zeros((len(p.window), len(bars.close))))
    held_equal(choosy, [{"window": n} for n in (1, 5, 19, 20)])


@pytest.mark.parametrize("n_bars", [300, 60_000])
def test_rules_that_exit_fail_their_rows(n_bars: int) -> None:
    @strategy
    def leaving(bars: Bars, p: Leaving) -> Array:
        return np.zeros(len(bars.close))

    leaving.for_many(lambda bars, p: np.zeros((len(p.window), len(bars.close))))
    bars = random_bars(np.random.default_rng(0), n_bars)
    for n_jobs in (1, 2):
        found = sweep(bars, leaving, [{"window": n} for n in (2, 3)], n_jobs=n_jobs, periods_per_year=252)
        assert all("leaving raised SystemExit at test_many.py:" in error for error in found["error"])


def test_rules_are_computed_as_python_computes_them() -> None:
    """2 ** 62 squared is 0 in 64 bits."""
    one, calls = made()
    held_equal(one, [{"window": 2**62}, {"window": 5}])
    assert calls == [1]


def test_a_strategy_file_brings_its_form_along(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from typing import NamedTuple\n"
        "from engine import above_each, above, for_each, sma, strategy\n"
        "class Params(NamedTuple):\n    fast: int\n    slow: int\n"
        "@strategy\n"
        "def mine(bars, p: Params):\n    return above(sma(bars.close, p.fast), sma(bars.close, p.slow))\n"
        "@mine.for_many\n"
        "def many(bars, p):\n"
        "    return above_each(for_each(sma, bars.close, p.fast), for_each(sma, bars.close, p.slow))\n"
    )
    one = load_strategy(f"{file}:mine")
    assert pickle.loads(pickle.dumps(one)).many is not None
    held_equal(one, [{"fast": f, "slow": s} for f in (2, 5) for s in (8, 13)])
