"""The form of a strategy for many parameter sets: bit for bit what it says of each alone, whatever goes wrong."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Signal, above, above_each, ema, sma, strategy, sweep
from engine.check import check_strategy, draw_params, random_bars
from engine.compiled import shared
from engine.compiled.arrays import Array
from engine.compiled.shared import Shared, for_each
from engine.data.bars import Bars, slice_bars
from engine.data.cells import Cell
from engine.errors import ParameterError, StrategyError
from engine.evaluate import Outcome, evaluate
from engine.metrics.catalogue import METRICS
from engine.simulator.account import SEARCHABLE, make_account
from engine.strategies.base import Strategy, builtin_names, load_strategy
from engine.strategies.many import bind_many, targets_of_many

BARS = random_bars(np.random.default_rng(3), 300)
FORMS = [name for name in builtin_names() if load_strategy(name).many is not None]


class Params(NamedTuple):
    window: int
    sign: float = 1.0
    mean: Literal["sma", "ema"] = "sma"
    inverse: bool = False

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.window >= 2, "window >= 2"),
            (self.window * self.window < 900, "window ** 2 < 900"),
            (self.mean == "sma" or self.window < 20, "window < 20 for ema"),
        )


class Choices(NamedTuple):
    window: int
    choice: Literal[False, 0, 1, True]


class Stopped(NamedTuple):
    window: int
    stop_pct: float = 0.0


class Seeded(NamedTuple):
    seed: int


class Choosy(NamedTuple):
    window: int

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return ((2 <= self.window < 20, "2 <= window < 20"),)


def made(fault: str = "") -> tuple[Strategy, list[int]]:
    """A strategy, and how many sets each call of its form for many had."""
    calls: list[int] = []

    @strategy
    def trend(bars: Bars, p: Params) -> Array:
        mean = (sma if p.mean == "sma" else ema)(bars.close, p.window)
        return p.sign * (above(mean, bars.close) if p.inverse else above(bars.close, mean))

    @trend.for_many
    def many(bars: Bars, p: Any) -> Any:
        calls.append(len(p.window))
        means = for_each(sma if p.mean == "sma" else ema, bars.close, p.window)
        rows = [means.results[i] for i in means.at]
        found = [above(row, bars.close) if p.inverse else above(bars.close, row) for row in rows]
        targets = p.sign[:, None] * np.array(found)
        if fault == "raises":
            raise ZeroDivisionError("in the form for many")
        if fault == "exits":
            raise SystemExit(3)
        if fault == "another shape":
            return targets.T
        if fault == "differs":
            targets[-1, 200] = 0.25
        if fault == "sides":
            return targets.astype(np.int8)
        return targets

    return trend, calls


def alone(one: Strategy, row: dict[str, Any]) -> Outcome:
    params = {name: value for name, value in row.items() if name not in SEARCHABLE}
    try:
        account = make_account({name: value for name, value in row.items() if name in SEARCHABLE})
    except ParameterError as error:
        return Outcome({}, str(error))
    return evaluate(one, params, account, (BARS,), Cell(0, 0, len(BARS.close)), 252.0)


def held_equal(one: Strategy, rows: list[dict[str, Any]], n_jobs: int = 1) -> None:
    found = sweep(BARS, one, rows, n_jobs=n_jobs, periods_per_year=252)
    for i, row in enumerate(rows):
        expected = alone(one, row)
        assert (found["error"][i] if "error" in found else "") == expected.error
        metrics = [expected.metrics.get(name, math.nan) for name in METRICS]
        np.testing.assert_array_equal(found.loc[i, list(METRICS)].to_numpy(float), metrics)


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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 40), st.sampled_from([1.0, -1.0, 0.5, 2.0])), min_size=1, max_size=20))
def test_rows_that_break_a_rule_are_left_to_be_asked_alone(sets: list[tuple[int, float]]) -> None:
    one, calls = made()
    held_equal(one, [{"window": window, "sign": sign} for window, sign in sets])
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


def test_rows_that_set_rules_of_the_account_are_asked_together_too() -> None:
    one, calls = made()
    fees, stops, targets = (0.0, 5.0, -5.0), (0.01, 0.05), (0.0, 0.2)
    rows = [
        {"window": n, "fee_bps": fee, "stop_pct": stop, "volatility_target": target}
        for n, fee, stop, target in product((5, 9), fees, stops, targets)
    ]
    held_equal(one, rows)
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


def test_numbers_of_any_size_are_what_they_are() -> None:
    @strategy
    def seeded(bars: Bars, p: Seeded) -> Array:
        return np.full(len(bars.close), (p.seed % 8) / 8)

    @seeded.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.repeat((p.seed % 8 / 8)[:, None], len(bars.close), axis=1)

    held_equal(seeded, [{"seed": 2**63 + 5}, {"seed": -3}, {"seed": 2**62 + 1}])


def test_pairs_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="equally many and equally long"):
        above_each(for_each(sma, BARS.close, np.arange(2, 99)), for_each(sma, BARS.close, np.array([100])))
    with pytest.raises(ValueError, match="equally many and equally long"):
        above_each(for_each(sma, BARS.close, np.array([2])), for_each(sma, BARS.close[:100], np.array([9])))


@pytest.mark.parametrize("fault", ["raises", "exits", "another shape", "sides"])
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


def test_rules_are_computed_as_python_computes_them() -> None:
    """2 ** 62 squared is 0 in 64 bits."""
    one, calls = made()
    held_equal(one, [{"window": 2**62}, {"window": 5}])
    assert calls == [1]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "ZeroDivisionError at test_many.py:.*: in the form for many, in its form for many parameter sets"),
        ("exits", "trend raised SystemExit at test_many.py:.*: 3, in its form for many parameter sets"),
        ("another shape", r"trend returned target of shape \(700, \d+\), expected \(\d+, 700\)"),
        ("differs", r"trend\({'window': .*}\) differs in its form for many parameter sets: bar 200 is .* and 0.25"),
    ],
)
def test_the_conformance_suite_finds_a_form_that_is_wrong(
    fault: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [{"window": n, "sign": 1.0} for n in (2, 4, 6, 8)]
    monkeypatch.setattr("engine.check.draw_params", lambda *_: iter(sets))
    with pytest.raises(StrategyError, match=said):
        check_strategy(made(fault)[0])
    with pytest.raises(StrategyError, match="differs in its form"):  # sides cannot say 0.75
        check_strategy(made("sides")[0])
    report = check_strategy(made()[0])
    assert "The form for many parameter sets says of each what the strategy says of it alone" in str(report)


def test_one_set_alone_proves_nothing() -> None:
    """A form that says the same of all is found even where a single set is checked."""
    one, _ = made()
    one.for_many(lambda bars, p: np.array([above(bars.close, sma(bars.close, int(p.window[0])))] * len(p.window)))
    with pytest.raises(StrategyError, match="differs in its form for many parameter sets"):
        check_strategy(one, {"window": 8})


def test_levels_have_no_form_for_many() -> None:
    @strategy
    def levels(bars: Bars, p: Stopped) -> Signal:
        return Signal(above(bars.close, sma(bars.close, p.window)), stop=bars.close * 0.9)

    @levels.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([above(bars.close, sma(bars.close, int(window))) for window in p.window])

    with pytest.raises(StrategyError, match="levels answers with levels, which its form for many cannot say"):
        check_strategy(levels, {"window": 8, "stop_pct": 0.1})


@pytest.mark.parametrize("name", ["zscore_pairs", "textual"])
def test_a_strategy_that_can_have_no_such_form_says_so(name: str) -> None:
    class Texts(NamedTuple):
        mean: str = "sma"

    def textual(bars: Bars, p: Any) -> Array:
        return np.ones(len(bars.close))

    textual.__annotations__["p"] = Texts
    one = strategy(textual) if name == "textual" else load_strategy(name)
    with pytest.raises(StrategyError, match=f"{name} has no form for many parameter sets"):
        one.for_many(lambda bars, p: np.empty(0))


def test_each_number_is_computed_once_and_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_TABLE", 4 * BARS.close.nbytes)  # room for four

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
    monkeypatch.setattr(shared, "_TABLE", 6 * BARS.close.nbytes)
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
