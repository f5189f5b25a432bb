"""Finer bars inside each bar: what was touched first is looked up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Signal, sweep
from engine.backtest import BacktestEngine
from engine.data.bars import Bars, add_features, detail_of, make_bars, slice_bars, without_detail
from engine.data.cells import Cell
from engine.data.detail import attach, with_detail
from engine.data.frames import resample, unframed
from engine.data.load import content_hash, to_frame
from engine.data.shuffle import noisy, resampled, shuffled
from engine.errors import DataError, EngineError
from engine.evaluate import evaluate
from engine.simulator.account import Account
from engine.simulator.fills import room_for_fills
from engine.simulator.rules import pack_rules
from engine.simulator.simulate import Simulation, simulate_levels
from engine.simulator.sizing import volatility_scale
from engine.strategies.base import Strategy, load_strategy
from tests.engine.test_levels import NAMES, ladder_levels, levels_of
from tests.engine.test_simulate import EXAMPLES, PERIODS, accounts, check_equal, random_bars, random_target
from tests.naive import Simulator

HOUR, MINUTE = 3_600_000_000_000, 60_000_000_000
Rows = list[tuple[float, float, float, float]]


def fine_bars(rng: np.random.Generator, n: int, volatility: float, *, gaps: bool = True) -> Bars:
    """Bars of a quarter of an hour; without gaps each opens where the last one closed."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, volatility / 2, n)))
    open_ = np.r_[100.0, close[:-1]] * (np.exp(rng.normal(0, volatility / 4, n)) if gaps else 1.0)
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, volatility / 4, n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, volatility / 4, n)))
    return make_bars(np.arange(n) * HOUR // 4, open_, high, low, close, rng.integers(0, 100, n).astype(float))


def hours_of(fine: Bars) -> Bars:
    return make_bars(*unframed(resample(fine, "1h")))


def detailed(rng: np.random.Generator, n: int, volatility: float = 0.03, *, gaps: bool = True) -> Bars:
    """n hours with their quarters inside; of some hours there are none."""
    fine = fine_bars(rng, 4 * n, volatility, gaps=gaps)
    keep = np.repeat(rng.random(n) < 0.8, 4)
    keep[:4] = True
    return with_detail(hours_of(fine), Bars(*(column[keep] for column in fine)))


def run(bars: Bars, target: np.ndarray, account: Account, moving: np.ndarray, rungs: int = 0) -> Simulation:
    scale, room = volatility_scale(bars.close, account, PERIODS), room_for_fills(len(target), n_rungs=rungs)
    return simulate_levels(
        without_detail(bars), target, moving, detail_of(bars), None, scale, pack_rules(account), room
    )


def some_levels(
    rng: np.random.Generator, bars: Bars, target: np.ndarray, account: Account, used: set[str], shares: list[float]
) -> tuple[dict[str, np.ndarray], list[tuple[np.ndarray, float]], np.ndarray]:
    entries = account.trade_on != "close"
    found = levels_of(rng, bars, target)
    levels = {k: v for k, v in found.items() if k in used and (entries or not k.startswith("entry"))}
    ladder = [(ladder_levels(rng, bars, target), share) for share in shares]
    n = len(target)
    rows = [row for level, share in ladder for row in (level, np.full(n, share))]
    none = not levels and not rows
    moving = np.array([*(levels.get(name, np.full(n, np.nan)) for name in NAMES), *rows])
    return levels, ladder, np.empty((0, 0)) if none else moving


CASES = given(
    accounts(),
    st.integers(0, 2**32 - 1),
    st.integers(2, 40),
    st.sampled_from([0.01, 0.04]),
    st.sets(st.sampled_from(NAMES)),
    st.sampled_from([[], [], [1.0], [0.3, 0.2]]),
)


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@CASES
def test_it_equals_the_naive_simulator(
    account: Account, seed: int, n: int, volatility: float, used: set[str], shares: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    bars, target = detailed(rng, n, volatility), random_target(rng, n, True)
    levels, ladder, moving = some_levels(rng, bars, target, account, used, shares)
    inside = [[tuple(row) for row in rows if not np.isnan(row[0])] for rows in detail_of(bars).tolist()]
    columns = {name: getattr(bars, name).tolist() for name in Bars._fields[1:]}
    expected = Simulator(
        [columns],
        [target.tolist()],
        account,
        PERIODS,
        [{name: values.tolist() for name, values in levels.items()}],
        [[(level.tolist(), share) for level, share in ladder]],
        detail=inside,
    )
    check_equal(run(bars, target, account, moving, len(shares)), expected.run(), account)


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@CASES
def test_bars_that_are_their_own_detail_trade_as_without(
    account: Account, seed: int, n: int, volatility: float, used: set[str], shares: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n, volatility), random_target(rng, n, True)
    _, _, moving = some_levels(rng, bars, target, account, used, shares)
    plain, inside = (run(one, target, account, moving, len(shares)) for one in (bars, attach(bars, bars)[0]))
    np.testing.assert_allclose(plain.equity, inside.equity, rtol=1e-12)
    np.testing.assert_allclose(plain.fills, inside.fills, rtol=1e-12)


@pytest.mark.parametrize("rules", [{"stop_pct": 0.02, "take_profit_pct": 0.03}, {"trailing_stop_pct": 0.02}])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_position_is_left_as_on_the_finer_bars(rules: dict[str, float], side: float) -> None:
    """Bought at the open of the second hour, nothing but exits after it: the same fills on quarters as inside hours."""
    account, found = Account(fee_bps=5.0, slippage_bps=3.0, **rules), 0  # type: ignore[arg-type]
    none = np.empty((0, 0))
    for seed in range(40):
        fine = fine_bars(np.random.default_rng(seed), 80, 0.02)
        inside = run(with_detail(hours_of(fine), fine), np.full(20, side), account, none)
        there = np.full(80, side)
        there[:3] = 0.0
        finer = run(fine, there, account, none)
        np.testing.assert_allclose(inside.fills[:, 2:], finer.fills[:, 2:], rtol=1e-12)
        np.testing.assert_array_equal(inside.fills[:, 1], finer.fills[:, 1] // 4)
        np.testing.assert_allclose(inside.equity, finer.equity[3::4], rtol=1e-12)
        found += len(inside.fills) == 2
    assert found > 20


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, -1.0]))
def test_the_two_readings_of_a_bar_bracket_it(seed: int, side: float) -> None:
    bars = detailed(np.random.default_rng(seed), 30, gaps=False)
    none = np.empty((0, 0))
    rules = {"stop_pct": 0.03, "take_profit_pct": 0.03}
    worst, best = (Account(intrabar=word, **rules) for word in ("worst", "best"))  # type: ignore[arg-type]
    whole = without_detail(bars)
    ends = [run(*given, none).equity[-1] for given in (
        (whole, np.full(30, side), worst), (bars, np.full(30, side), worst),
        (bars, np.full(30, side), best), (whole, np.full(30, side), best),
    )]  # fmt: skip
    assert all(left <= right * (1 + 1e-12) for left, right in pairwise(ends))


def bars_of(rows: Rows, step: int = HOUR, first: int = 0) -> Bars:
    open_, high, low, close = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return make_bars(first + np.arange(len(rows)) * step, open_, high, low, close, np.ones(len(rows)))


FLAT = (100, 100, 100, 100)
WILD = (100, 112, 88, 100)
UP_FIRST = [(100, 112, 99, 111), (111, 111, 88, 90), (90, 100, 90, 100), FLAT]
DOWN_FIRST = [(100, 101, 94, 95), (92, 96, 88, 90), (90, 112, 90, 100), FLAT]


@pytest.mark.parametrize(
    ("quarters", "levels", "fills"),
    [
        (UP_FIRST, {"stop": 95.0, "take_profit": 110.0}, [100.0, 110.0]),
        (DOWN_FIRST, {"stop": 95.0, "take_profit": 110.0}, [100.0, 95.0]),
        (DOWN_FIRST, {"stop": 93.0}, [100.0, 92.0]),  # a gap between two quarters is one
        (UP_FIRST, {"trailing": 9.0}, [100.0, 103.0]),  # from the 112 of the quarter before
        (DOWN_FIRST, {"trailing": 9.0}, [100.0, 92.0]),  # from the 101 of the quarter before
        (UP_FIRST, {"entry_limit": 95.0, "take_profit": 99.0}, [95.0, 99.0]),
        (UP_FIRST, {"entry_stop": 105.0, "stop": 98.0}, [105.0, 98.0]),  # two quarters: before or after is known
        (DOWN_FIRST, {"entry_stop": 105.0, "stop": 98.0}, [105.0, 98.0]),  # one quarter: the worse
        (DOWN_FIRST, {"entry_limit": 93.0}, [92.0]),  # better than asked for, at the open of the second quarter
        (UP_FIRST, {"take_profit": ((104.0, 0.5), (110.0, 0.5))}, [100.0, 104.0, 110.0]),
        (DOWN_FIRST, {"stop": 95.0, "take_profit": ((104.0, 0.5),)}, [100.0, 95.0]),
    ],
)
def test_quarters_by_hand(quarters: Rows, levels: dict[str, Any], fills: list[float]) -> None:
    """A flat hour, then one from 88 to 112 in which the position is opened; nothing happens after."""
    hours = bars_of([FLAT, WILD, FLAT, FLAT])

    def wants(df: Any, params: Any) -> Signal:
        def each(level: Any) -> Any:
            return tuple((np.full(4, price), share) for price, share in level) if isinstance(level, tuple) else level

        return Signal(
            np.array([1.0, 1.0, 1.0, 1.0]),
            **{name: level if isinstance(level := each(given), tuple) else np.full(4, level)
               for name, given in levels.items()},
        )  # fmt: skip

    inside = BacktestEngine(detail=bars_of(quarters, HOUR // 4, HOUR)).run_realistic(hours, wants, {})
    assert list(inside.fills["price"])[: len(fills)] == pytest.approx(fills)
    assert inside.config["detail"] == {"share": 0.25, "differing": 0, "rows": ""}


def test_every_door_gives_the_same() -> None:
    bars = detailed(np.random.default_rng(5), 400, 0.02)
    account = {"fee_bps": 5.0, "stop_pct": 0.01, "take_profit_pct": 0.01, "periods_per_year": 8760}
    params = {"fast_window": 3, "slow_window": 8}
    result = BacktestEngine(**account).run_realistic(bars, "ma_crossover", params)
    table = sweep(bars, "ma_crossover", [params] * 2, **account)
    rules = Account(fee_bps=5.0, stop_pct=0.01, take_profit_pct=0.01)
    outcome = evaluate(load_strategy("ma_crossover"), params, rules, (bars,), Cell(0, 0, 400), 8760.0)
    without = BacktestEngine(**account).run_realistic(without_detail(bars), "ma_crossover", params)
    for name in ("total_return", "sharpe_ratio", "n_trades"):
        assert list(table[name]) == [result.metrics[name]] * 2 == [outcome.metrics[name]] * 2
    assert result.metrics["total_return"] != without.metrics["total_return"]


def test_a_bar_has_the_finer_ones_from_its_open_to_its_end() -> None:
    fine = fine_bars(np.random.default_rng(1), 40, 0.01)
    hours = hours_of(fine)
    bars, coverage = attach(hours, fine)
    assert coverage.share == 1.0
    assert detail_of(bars).shape == (10, 4, 3)
    np.testing.assert_array_equal(detail_of(bars)[:, :, 1].ravel(), fine.high)
    late = make_bars(hours.timestamp + np.where(np.arange(10) > 4, 60 * HOUR, 0), *hours[1:])  # a weekend after the 5th
    between = make_bars(np.r_[fine.timestamp[:20], late.timestamp[4] + 2 * HOUR], *(c[:21] for c in fine[1:]))
    assert attach(late, between)[1].detailed.tolist() == [True] * 5 + [False] * 5


def test_finer_bars_that_make_another_bar_do_not_count() -> None:
    fine = fine_bars(np.random.default_rng(1), 40, 0.01)
    hours = hours_of(fine)
    high = fine.high.copy()
    high[[8, 9, 10, 11, 20, 21, 22, 23]] *= 1.1
    off = make_bars(*fine[:2], high, *fine[3:])
    bars, coverage = attach(hours, off)
    assert (coverage.share, coverage.rows()) == (0.8, "3, 6")
    assert np.isnan(detail_of(bars)[[2, 5]]).all()
    with pytest.raises(DataError, match=r"in 10 of the 10 bars that have detail \(100%; rows 1, 2, 3, 4, 5, \.\.\.\)"):
        with_detail(hours, make_bars(fine.timestamp, *(column * 2 for column in fine[1:5]), fine.volume))
    with pytest.raises(DataError, match="no bar of the detail lies in one of the bars"):
        with_detail(hours, make_bars(fine.timestamp + 999 * HOUR, *fine[1:]))
    with pytest.raises(DataError, match="give bars of a finer time frame"):
        with_detail(hours, hours)
    with pytest.raises(DataError, match="a feature is called 'detail'"):
        with_detail(add_features(hours, {"detail": np.ones(10)}), fine)


def test_prices_that_round_differently_reach_the_bars_own() -> None:
    fine = fine_bars(np.random.default_rng(1), 40, 0.01)
    single = make_bars(fine.timestamp, *(column.astype(np.float32).astype(float) for column in fine[1:]))
    hours = hours_of(fine)
    detail = detail_of(with_detail(hours, single))
    np.testing.assert_array_equal(detail[:, :, 1].max(axis=1), hours.high)
    np.testing.assert_array_equal(detail[:, :, 2].min(axis=1), hours.low)


def test_it_goes_where_its_bar_goes() -> None:
    bars = detailed(np.random.default_rng(2), 200)
    rng = np.random.default_rng(0)
    for other in (*shuffled([bars], rng), *resampled([bars], rng, 10), *noisy([bars], rng, 0.1)):
        here = ~np.isnan(detail_of(other)[:, 0, 0])
        assert 0.6 < here.mean() < 0.95
        inside = detail_of(other)[here]
        np.testing.assert_array_equal(inside[:, 0, 0], other.open[here])
        np.testing.assert_allclose(np.nanmax(inside[:, :, 1], axis=1), other.high[here], rtol=1e-12)
        np.testing.assert_allclose(np.nanmin(inside[:, :, 2], axis=1), other.low[here], rtol=1e-12)


def test_strategies_and_frames_do_not_see_it_and_the_hash_knows_the_bars_alone() -> None:
    bars = add_features(detailed(np.random.default_rng(2), 50), {"score": np.ones(50)})
    assert list(to_frame(bars)) == ["open", "high", "low", "close", "volume", "score"]
    seen: list[Any] = []
    Strategy(lambda df, params: seen.append(df) or np.zeros(len(df)), compiled=False).answer(bars, {})
    assert list(seen[0]) == list(to_frame(bars))
    assert content_hash(bars) != content_hash(without_detail(bars))
    fine = fine_bars(np.random.default_rng(1), 80, 0.01)
    hours, more = hours_of(fine), fine.timestamp[-1] - HOUR // 8  # an hour of more finer bars at the end
    extra = (more, *(column[79] for column in fine[1:]))
    crowded = make_bars(*(np.insert(column, 79, new) for column, new in zip(fine, extra, strict=True)))
    one, other = with_detail(hours, fine), with_detail(hours, crowded)
    assert detail_of(one).shape != detail_of(other).shape
    assert content_hash(slice_bars(one, 0, 19)) == content_hash(slice_bars(other, 0, 19))
    assert content_hash(one) != content_hash(other)


def test_a_portfolio_refuses_it() -> None:
    bars = detailed(np.random.default_rng(2), 50)
    with pytest.raises(EngineError, match="detail is of one instrument"):
        BacktestEngine(detail=bars).run_realistic([without_detail(bars)] * 2, "buy_and_hold", {})
    with pytest.raises(EngineError, match="detail is of one instrument"):
        sweep([bars, bars], "buy_and_hold", [{}])
