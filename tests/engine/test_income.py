"""What holding brings, held to the naive simulator and to hand; splits, held to prices that never had one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import config

from engine import BacktestEngine, Bars, load_bars, resample, sweep, to_frame, with_income
from engine.data.bars import INCOME, add_features, features_of, make_bars, plain_bars, slice_bars
from engine.data.calendar import union
from engine.data.frames import unframed
from engine.data.income import Due, income_of, pay, unsplit
from engine.data.shuffle import shuffled
from engine.errors import DataError
from engine.evaluate import run_portfolio
from engine.simulator.account import Account
from engine.simulator.fills import room_for_fills
from engine.simulator.rules import pack_rules
from engine.simulator.simulate import Simulation, simulate_levels
from engine.simulator.sizing import volatility_scale
from engine.strategies.levels import without_levels
from tests.engine.test_calendar import plain, with_holes
from tests.engine.test_simulate import CONTRACTS, DAY, PERIODS, accounts, check_equal, random_bars, random_target
from tests.naive import Simulator

EXAMPLES = 20 if config.DISABLE_JIT else 80


def random_dues(rng: np.random.Generator, bars: Bars) -> list[tuple[int, str, float]]:
    """Some at the open of a bar, some between, some before the first and after the last, some nothing."""
    first, last = int(bars.timestamp[0]), int(bars.timestamp[-1])
    when = np.concatenate([rng.choice(bars.timestamp, 4), rng.integers(first - DAY, last + DAY, 4)])
    amounts = rng.choice([0.002, -0.001, 0.05, np.nan], len(when))
    return [(int(t), str(rng.choice(["dividends", "funding"])), float(x)) for t, x in zip(when, amounts, strict=True)]


def due(dues: list[tuple[int, str, float]], kind: str) -> Due | None:
    found = sorted((when, amount) for when, what, amount in dues if what == kind)
    if not found:
        return None
    return Due(np.array([when for when, _ in found]), np.array([amount for _, amount in found]))


def paying(bars: Bars, dues: list[tuple[int, str, float]]) -> Bars:
    return pay(bars, due(dues, "funding"), due(dues, "dividends"))


def run(bars: Bars, target: np.ndarray, account: Account) -> Simulation:
    scale, room = volatility_scale(bars.close, account, PERIODS), room_for_fills(len(target))
    levels = without_levels(target).moving
    return simulate_levels(plain_bars(bars), target, levels, None, income_of(bars), scale, pack_rules(account), room)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(4, 40), st.sampled_from([0.02, 0.15]))
def test_one_instrument_equals_the_naive_simulator(account: Account, seed: int, n: int, volatility: float) -> None:
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n, volatility), random_target(rng, n, True)
    dues = random_dues(rng, bars)
    columns = [{name: getattr(bars, name).tolist() for name in Bars._fields[1:]}]
    expected = Simulator(columns, [target.tolist()], account, PERIODS, times=bars.timestamp.tolist(), dues=[dues]).run()
    check_equal(run(paying(bars, dues), target, account), expected, account)


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(4, 30), st.integers(2, 3))
def test_a_portfolio_with_holes_equals_the_naive_simulator(account: Account, seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    instruments = [with_holes(rng, random_bars(rng, n, 0.05)) for _ in range(k)]
    times = np.unique(np.concatenate([bars.timestamp for bars in instruments]))
    weights = np.stack([random_target(rng, len(times), True) for _ in range(k)], axis=1)
    each = [account._replace(**CONTRACTS[i % 3]) for i in range(k if seed % 2 else 0)]
    dues = [random_dues(rng, bars) for bars in instruments[:-1]]  # the last one brings nothing
    paid = [*map(paying, instruments, dues), instruments[-1]]
    found, _ = run_portfolio(union(paid), 0, without_levels(weights), account, PERIODS, each, fills=True)
    columns = [plain(bars, times) for bars in instruments]
    expected = Simulator(
        columns, weights.T.tolist(), account, PERIODS, contracts=each or None, times=times.tolist(), dues=dues
    ).run()
    check_equal(found, expected, account)


def test_nothing_is_the_same_as_no_income() -> None:
    rng = np.random.default_rng(3)
    bars, target = random_bars(rng, 60, 0.05), random_target(rng, 60, True)
    account = Account(stop_pct=0.03, fee_bps=3)
    without, with_none = run(bars, target, account), run(paying(bars, []), target, account)
    np.testing.assert_array_equal(without.equity, with_none.equity)
    np.testing.assert_array_equal(without.fills, with_none.fills)


def daily(open_: list[float], **features: list[float]) -> Bars:
    p = np.array(open_)
    return make_bars(np.arange(len(p)) * DAY, p, p, p, p, np.full(len(p), 10.0), features=features)


def always(side: float):
    return lambda df, params: pd.Series(side, index=df.index)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_dividend_by_hand(side: float) -> None:
    """100 units bought (sold short) at 10 on day 1: 0.5 each on day 3 are 50; what fell due before is not paid."""
    bars = with_income(daily([10.0] * 5, dividends=[0.0, 7.0, np.nan, 0.5, 0.0]), dividends="dividends")
    result = BacktestEngine(initial_cash=1000).run_realistic(bars, always(side), {})
    assert result.equity.tolist() == pytest.approx([1000, 1000, 1000, 1000 + side * 50, 1000 + side * 50])
    assert result.metrics["financing_paid"] == pytest.approx(-side * 50)
    assert result.trades["pnl"].tolist() == pytest.approx([side * 50])


def test_funding_every_eight_hours_by_hand() -> None:
    """Three rates of 1, 2 and 3 basis points fall due between two days' opens: longs pay 6 of what they hold."""
    hours = pd.date_range("1970-01-01", periods=13, freq="8h")
    rates = np.array([1e-4, 2e-4, 3e-4] * 4 + [1e-4])
    bars = daily([100.0, 100.0, 200.0, 100.0, 100.0])
    funded = pay(bars, Due(hours.to_numpy("datetime64[ns]").view(np.int64), rates), None)
    # bar t pays what is due at 08:00 and 16:00 of the day before, and at its own 00:00
    np.testing.assert_allclose(funded.holding_income, [-1e-4, *[-6e-4] * 4])
    result = BacktestEngine(initial_cash=1000).run_realistic(funded, always(1.0), {})
    assert result.equity.iloc[-1] == pytest.approx(1000 - 6e-4 * (2000 + 1000 + 1000))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["3m", "15m", "1h", "1D"]))
def test_no_money_is_lost_or_doubled_by_a_longer_time_frame(seed: int, frame: str) -> None:
    rng = np.random.default_rng(seed)
    fine = random_bars(rng, 60, 0.05)
    fine = fine._replace(timestamp=np.sort(rng.choice(np.arange(1, 400), 60, replace=False)) * 60_000_000_000)
    amounts = rng.choice([0.0, 0.1, -0.2], 60)
    paid = pay(fine, None, Due(fine.timestamp, amounts))
    coarse = unframed(resample(paid, frame))
    per_unit = coarse.holding_income * coarse.open
    for t, opens in enumerate(coarse.timestamp):
        before = coarse.timestamp[t - 1] if t else -1
        due_here = amounts[(fine.timestamp > before) & (fine.timestamp <= opens)]
        if t > 0:
            assert per_unit[t] == pytest.approx(due_here.sum(), abs=1e-12)


def test_every_door_gives_the_same() -> None:
    rng = np.random.default_rng(5)
    bars = paying(random_bars(rng, 400, 0.03), [(t * DAY, "dividends", 0.2) for t in range(0, 400, 7)])
    params = {"fast_window": 5, "slow_window": 20}
    swept = sweep(bars, "ma_crossover", [params], periods_per_year=252).iloc[0]
    result = BacktestEngine(periods_per_year=252).run_realistic(bars, "ma_crossover", params)
    for name in ("total_return", "sharpe_ratio", "financing_paid"):
        assert swept[name] == pytest.approx(result.metrics[name], rel=1e-12), name
    assert result.metrics["financing_paid"] < 0


def test_income_goes_with_its_bar_in_a_shuffled_market() -> None:
    dues = [(7 * DAY, "dividends", 1.0), (30 * DAY, "funding", 0.01)]
    bars = paying(random_bars(np.random.default_rng(1), 50, 0.05), dues)
    (mixed,) = shuffled((bars,), np.random.default_rng(2))
    np.testing.assert_allclose(np.sort(mixed.holding_income), np.sort(bars.holding_income))
    assert not np.array_equal(mixed.holding_income, bars.holding_income)
    moves = [np.round(np.diff(np.log(one.close)), 9) for one in (bars, mixed)]
    for t in (7, 30):
        assert mixed.holding_income[1:][moves[1] == moves[0][t - 1]] == bars.holding_income[t]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_prices_with_splits_are_those_that_never_had_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bars = random_bars(rng, 40, 0.02)
    ratio = np.where(rng.random(40) < 0.1, rng.choice([2.0, 3.0, 0.1], 40), rng.choice([0.0, 1.0, np.nan], 40))
    ratio[0] = 0.0
    money = rng.choice([0.0, 0.3], 40)
    so_far = np.array([np.prod([r for r in ratio[: t + 1] if r > 0]) for t in range(40)])
    raw = Bars(bars.timestamp, *(price / so_far for price in bars[1:5]), bars.volume * so_far)
    raw = add_features(raw, {"splits": ratio, "dividends": money / so_far})
    wanted = pay(bars, None, Due(bars.timestamp, money))
    found = with_income(raw, dividends="dividends", splits="splits")
    for name in (*Bars._fields, INCOME):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-12)


def test_what_cannot_be_is_refused() -> None:
    raw = daily([100.0, 102.0, 50.5, 51.0], splits=[0, 0, 2.0, 0], score=[1, 2, 3, 4])
    assert unsplit(raw, "splits").close.tolist() == [100.0, 102.0, 101.0, 102.0]
    assert unsplit(raw, "splits").volume.tolist() == [10.0, 10.0, 5.0, 5.0]
    with pytest.raises(DataError, match=r"row 3: splits has 2 on 1970-01-03, but the price goes from 51 to 50\.5"):
        unsplit(daily([50.0, 51.0, 50.5, 51.0], splits=[0, 0, 2.0, 0]), "splits")
    for bad in (-2.0, np.inf):
        with pytest.raises(DataError, match="row 2: splits is no ratio of a split"):
            unsplit(daily([50.0, 51.0], splits=[0, bad]), "splits")
    with pytest.raises(DataError, match="there is no column 'funding'; there is splits, score"):
        with_income(raw, funding="funding")
    with pytest.raises(DataError, match="the name of what holding brings"):
        load_bars(to_frame(daily([1.0, 2.0], holding_income=[0, 0])))


def test_a_part_of_the_bars_keeps_its_income() -> None:
    bars = paying(random_bars(np.random.default_rng(1), 50, 0.05), [(30 * DAY, "dividends", 1.0)])
    part = slice_bars(bars, 20, 45)
    assert features_of(part)[INCOME][10] == bars.holding_income[30] > 0
    np.testing.assert_array_equal(income_of(bars, 20)[:25], part.holding_income)
