"""Levels inside a bar: what is touched first where a bar touches two, and levels that a strategy moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import Signal, atr, sma, strategy, sweep
from engine.backtest import BacktestEngine
from engine.data.bars import Bars, make_bars
from engine.data.cells import Cell
from engine.errors import EngineError
from engine.evaluate import evaluate, run_portfolio
from engine.metrics.catalogue import METRICS
from engine.simulator.account import Account
from engine.simulator.fills import room_for_fills
from engine.simulator.rules import pack_rules
from engine.simulator.simulate import simulate_levels
from engine.simulator.sizing import volatility_scale
from engine.strategies.base import Strategy
from engine.strategies.delay import Delayed
from engine.strategies.levels import Answer
from engine.strategies.lookahead import probe_lookahead
from tests.engine.test_simulate import EXAMPLES, PERIODS, accounts, check_equal, random_bars, random_target
from tests.naive import Simulator

DAY = 86_400_000_000_000
NAMES = Signal._fields[1:]


def bars_of(rows: list[tuple[float, float, float, float]]) -> Bars:
    """Daily bars from (open, high, low, close)."""
    open_, high, low, close = (np.array(column) for column in zip(*rows, strict=True))
    return make_bars(np.arange(len(rows)) * DAY, open_, high, low, close, np.ones(len(rows)))


@pytest.mark.parametrize(
    ("intrabar", "side", "left_at", "reason"),
    [
        ("worst", 1.0, 95.0, "stop_loss"),
        ("best", 1.0, 110.0, "take_profit"),
        ("worst", -1.0, 105.0, "stop_loss"),
        ("best", -1.0, 90.0, "take_profit"),
    ],
)
def test_a_bar_that_touches_both_is_read_as_the_account_says(
    intrabar: str, side: float, left_at: float, reason: str
) -> None:
    bars = bars_of([(100, 100, 100, 100), (100, 101, 99, 100), (100, 112, 88, 100), (100, 100, 100, 100)])
    engine = BacktestEngine(stop_pct=0.05, take_profit_pct=0.1, intrabar=intrabar)
    trade = engine.run_realistic(bars, lambda df, p: np.full(len(df), side), {}).trades.iloc[0]
    assert (trade["exit_price"], trade["exit_reason"]) == (pytest.approx(left_at), reason)


@pytest.mark.parametrize("intrabar", ["worst", "best"])
@pytest.mark.parametrize(("opened", "left_at", "reason"), [(94.0, 94.0, "stop_loss"), (111.0, 111.0, "take_profit")])
def test_a_gap_leaves_nothing_open(intrabar: str, opened: float, left_at: float, reason: str) -> None:
    bars = bars_of([(100, 100, 100, 100), (100, 101, 99, 100), (opened, 115, 85, 100), (100, 100, 100, 100)])
    engine = BacktestEngine(stop_pct=0.05, take_profit_pct=0.1, intrabar=intrabar)
    trade = engine.run_realistic(bars, lambda df, p: np.ones(len(df)), {}).trades.iloc[0]
    assert (trade["exit_price"], trade["exit_reason"]) == (pytest.approx(left_at), reason)


def levels_of(rng: np.random.Generator, bars: Bars, target: np.ndarray) -> dict[str, np.ndarray]:
    """Levels near the closes, on either side, each there for some bars only; no bar has both entry orders."""

    def sometimes(values: np.ndarray) -> np.ndarray:
        return np.where(np.repeat(rng.random(len(values)), 3)[: len(values)] < 0.6, values, np.nan)

    close, n = bars.close, len(bars.close)
    side = np.where(target != 0, np.sign(target), 1.0)
    away = np.abs(rng.normal(0, 0.03, (5, n)))
    wrong = np.where(rng.random(n) < 0.1, -1.0, 1.0)  # a level that is passed when it is set
    found = {
        "stop": sometimes(close * (1 - wrong * side * away[0])),
        "take_profit": sometimes(close * (1 + wrong * side * away[1])),
        "trailing": sometimes(close * (0.001 + away[2])),
        "entry_limit": sometimes(close * (1 - wrong * side * away[3] / 3)),
        "entry_stop": sometimes(close * (1 + wrong * side * away[4] / 3)),
    }
    found["entry_stop"][~np.isnan(found["entry_limit"])] = np.nan
    return found


def ladder_levels(rng: np.random.Generator, bars: Bars, target: np.ndarray) -> np.ndarray:
    """A rung: now still, now moving, now on the wrong side, now none."""
    side = np.where(target != 0, np.sign(target), 1.0)
    levels = np.repeat(bars.close, 5)[: len(side)] * (1 + side * np.abs(rng.normal(0, 0.03, len(side))))
    wrong = rng.random(len(side)) < 0.05
    return np.where(rng.random(len(side)) < 0.8, np.where(wrong, bars.close * (1 - 0.01 * side), levels), np.nan)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    accounts(),
    st.integers(0, 2**32 - 1),
    st.integers(2, 60),
    st.booleans(),
    st.sampled_from([0.01, 0.04]),
    st.sets(st.sampled_from(NAMES), min_size=1),
    st.sampled_from([[], [], [1.0], [0.5, 0.5], [0.3, 0.2], [0.1, 0.2, 0.7]]),
)
def test_moving_levels_equal_the_naive_simulator(
    account: Account, seed: int, n: int, fractional: bool, volatility: float, used: set[str], shares: list[float]
) -> None:
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n, volatility), random_target(rng, n, fractional)
    entries = account.trade_on != "close"
    levels = {
        name: values
        for name, values in levels_of(rng, bars, target).items()
        if name in used and (entries or not name.startswith("entry"))
    }
    ladder = [(ladder_levels(rng, bars, target), share) for share in shares]
    rungs = [row for level, share in ladder for row in (level, np.full(n, share))]
    moving = np.array([*(levels.get(name, np.full(n, np.nan)) for name in NAMES), *rungs])
    scale = volatility_scale(bars.close, account, PERIODS)
    room = room_for_fills(n, n_rungs=len(shares))
    run = simulate_levels(bars, target, moving, None, None, scale, pack_rules(account), room)
    columns = {name: getattr(bars, name).tolist() for name in Bars._fields[1:]}
    lists = {name: values.tolist() for name, values in levels.items()}
    naive_ladder = [(level.tolist(), share) for level, share in ladder]
    expected = Simulator([columns], [target.tolist()], account, PERIODS, [lists], [naive_ladder]).run()
    check_equal(run, expected, account)
    if seed % 4 == 0 and account.maintenance_margin == 0 and not levels.keys() & {"entry_limit", "entry_stop"}:
        together, _ = run_portfolio((bars,), 0, Answer(target[:, None], moving[None]), account, PERIODS, fills=True)
        for found, own in zip(together, run, strict=True):
            np.testing.assert_array_equal(found, own)


ROWS = [(100, 100, 100, 100), (100, 101, 99, 100), (100, 112, 88, 100), (103, 104, 102, 103), (103, 103, 103, 103)]


def trades_of(
    rows: list[tuple[float, float, float, float]], side: float, account: dict[str, Any], **levels: Any
) -> Any:
    """What a strategy trades that always wants `side`, with levels that stay where they are."""

    def wants(df: Any, params: Any) -> Signal:
        return Signal(np.full(len(df), side), **{name: np.full(len(df), value) for name, value in levels.items()})

    return BacktestEngine(**account).run_realistic(bars_of(rows), wants, {}).trades


@pytest.mark.parametrize(
    ("side", "levels", "entry", "left", "reason"),
    [
        (1.0, {"stop": 95.0}, 100.0, 95.0, "stop_loss"),
        (-1.0, {"stop": 105.0}, 100.0, 105.0, "stop_loss"),
        (1.0, {"take_profit": 110.0}, 100.0, 110.0, "take_profit"),
        (-1.0, {"take_profit": 90.0}, 100.0, 90.0, "take_profit"),
        (1.0, {"trailing": 5.0}, 100.0, 96.0, "trailing_stop"),  # from 101, the high of the bar before
        (-1.0, {"trailing": 5.0}, 100.0, 104.0, "trailing_stop"),
        (1.0, {"entry_limit": 98.0}, 98.0, 103.0, "open"),
        (-1.0, {"entry_limit": 102.0}, 102.0, 103.0, "open"),
        (1.0, {"entry_limit": 100.5}, 100.0, 103.0, "open"),  # better than asked for, at the first open
        (1.0, {"entry_stop": 105.0}, 105.0, 103.0, "open"),
        (-1.0, {"entry_stop": 95.0}, 95.0, 103.0, "open"),
        (
            1.0,
            {"entry_limit": 95.0, "stop": 90.0},
            95.0,
            90.0,
            "stop_loss",
        ),  # on the way down: first one, then the other
        (1.0, {"entry_stop": 105.0, "take_profit": 110.0}, 105.0, 110.0, "take_profit"),  # likewise on the way up
        (1.0, {"entry_stop": 105.0, "stop": 95.0}, 105.0, 95.0, "stop_loss"),  # before or after? the worse
        (1.0, {"entry_limit": 95.0, "take_profit": 110.0}, 95.0, 103.0, "open"),  # likewise
        (1.0, {"entry_limit": 95.0, "stop": 97.0}, 95.0, 95.0, "stop_loss"),  # passed when it is set
    ],
)
def test_levels_by_hand(side: float, levels: dict[str, float], entry: float, left: float, reason: str) -> None:
    trade = trades_of(ROWS, side, {}, **levels).iloc[0]
    found = (trade["entry_price"], trade["exit_price"], trade["exit_reason"])
    assert found == (pytest.approx(entry), pytest.approx(left), reason)


@pytest.mark.parametrize(
    ("levels", "left", "reason"),
    [
        ({"entry_stop": 105.0, "stop": 95.0}, 103.0, "open"),
        ({"entry_limit": 95.0, "take_profit": 110.0}, 110.0, "take_profit"),
        ({"entry_limit": 95.0, "stop": 90.0}, 90.0, "stop_loss"),  # there is no other way
    ],
)
def test_the_better_reading_of_the_bar_of_an_entry(levels: dict[str, float], left: float, reason: str) -> None:
    trade = trades_of(ROWS, 1.0, {"intrabar": "best"}, **levels).iloc[0]
    assert (trade["exit_price"], trade["exit_reason"]) == (pytest.approx(left), reason)


def test_a_limit_pays_no_slippage_a_stop_order_does() -> None:
    limit = trades_of(ROWS, 1.0, {"slippage_bps": 100.0}, entry_limit=98.0).iloc[0]
    broken = trades_of(ROWS, 1.0, {"slippage_bps": 100.0}, entry_stop=105.0).iloc[0]
    assert limit["entry_price"] == pytest.approx(98.0)
    assert broken["entry_price"] == pytest.approx(105.0 * 1.01)


def test_an_order_that_is_not_reached_waits_and_dies_with_its_target() -> None:
    def wants(df: Any, params: Any) -> Signal:
        return Signal(np.array([1.0, 1.0, 0.0, 0.0, 0.0]), entry_limit=np.full(len(df), 80.0))

    assert len(BacktestEngine().run_realistic(bars_of(ROWS), wants, {}).trades) == 0
    assert len(trades_of(ROWS, 1.0, {}, entry_limit=80.0)) == 0


def test_risk_is_measured_to_the_strategys_own_stop() -> None:
    rows = [(100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 90, 95), (95, 95, 95, 95)]
    account = {"risk_per_trade": 0.01, "stop_pct": 0.5, "max_leverage": 9.0, "fee_bps": 10.0, "slippage_bps": 5.0}
    trade = trades_of(rows, 1.0, account, stop=96.0).iloc[0]
    assert trade["exit_reason"] == "stop_loss"
    assert trade["pnl"] == pytest.approx(-100.0)


class Bands:
    """A chandelier exit and a breakout entry, as one would write them."""

    @staticmethod
    def compiled(bars: Bars, p: Any) -> Signal:
        width = atr(bars.high, bars.low, bars.close, 10)
        target = np.where(bars.close > sma(bars.close, 20), 1.0, 0.0)
        return Signal(target, stop=bars.close - 2 * width, trailing=3 * width, entry_stop=bars.high + 0.1 * width)

    @staticmethod
    def peeking(bars: Bars, p: Any) -> Signal:
        lows = np.append(bars.low[1:], np.nan)
        return Signal(np.where(bars.close > sma(bars.close, 20), 1.0, 0.0), stop=lows * 0.999)


def many_bars(n: int = 400) -> Bars:
    return random_bars(np.random.default_rng(3), n, 0.02)


def test_every_door_gives_the_same() -> None:
    bars, bands = many_bars(), strategy(Bands.compiled)
    account = Account(fee_bps=5, slippage_bps=3)
    result = BacktestEngine(fee_bps=5, slippage_bps=3, periods_per_year=252).run_realistic(bars, bands, {})
    assert {"stop_loss", "trailing_stop"} & set(result.trades["exit_reason"])
    outcome = evaluate(bands, {}, account, (bars,), Cell(0, 0, len(bars.close)), 252.0)
    table = sweep(bars, bands, [{}, {}], fee_bps=5, slippage_bps=3, periods_per_year=252)
    for name in METRICS:
        expected = pytest.approx(result.metrics[name], nan_ok=True)
        assert outcome.metrics[name] == expected
        assert list(table[name]) == [expected] * 2

    def plain(df: Any, params: Any) -> Signal:
        return Signal(*(level if level is None else np.array(level) for level in Bands.compiled(bars, None)))

    again = BacktestEngine(fee_bps=5, slippage_bps=3, periods_per_year=252).run_realistic(bars, plain, {})
    np.testing.assert_array_equal(again.equity, result.equity)


def test_a_level_that_knows_the_next_bar_is_found_out() -> None:
    assert probe_lookahead(strategy(Bands.compiled), [{}], (many_bars(),)).moved == (True,)
    with pytest.raises(EngineError, match="looks ahead"):
        probe_lookahead(strategy(Bands.peeking), [{}], (many_bars(),))


def test_levels_come_as_late_as_the_target() -> None:
    bars, bands = many_bars(), strategy(Bands.compiled)
    now, late = bands.answer(bars, {}), Delayed(bands, 2).answer(bars, {})
    np.testing.assert_array_equal(late.moving[:, 2:], now.moving[:, :-2])
    assert np.isnan(late.moving[:, :2]).all()
    np.testing.assert_array_equal(late.target[2:], now.target[:-2])


@pytest.mark.parametrize(
    ("levels", "rules", "said"),
    [
        ({"stop": -1.0}, {}, "stop at bar 0 is -1.0, must be above 0 and finite, or NaN for none"),
        ({"trailing": 0.0}, {}, "trailing at bar 0 is 0.0"),
        ({"take_profit": np.inf}, {}, "take_profit at bar 0 is inf"),
        ({"entry_limit": 9.0, "entry_stop": 9.0}, {}, "bar 0 has entry_limit and entry_stop; give one of them"),
        ({"entry_limit": 9.0}, {"trade_on": "close"}, "trade_on = 'close' knows no entry orders"),
    ],
)
def test_what_is_no_level_is_refused(levels: dict[str, float], rules: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        trades_of(ROWS, 1.0, rules, **levels)


@pytest.mark.parametrize("field", Signal._fields)
def test_a_part_of_the_wrong_shape_is_called_by_its_name(field: str) -> None:
    n = len((bars := many_bars(50)).close)
    right = {"target": np.ones(n), "stop": bars.close}
    for wrong, said in ((np.ones(3), r"of shape \(3,\), expected \(50,\)"), (90.0, "as one number"), ("x", "as str")):
        signal = Signal(**{**right, field: wrong})
        with pytest.raises(EngineError, match=f"mine returned {field} {said}"):
            strategy(as_function("mine", signal)).answer(bars, {})
    ladder = strategy(as_function("mine", Signal(np.ones(n), take_profit=[(bars.close, 0.5), (90.0, 0.5)])))
    with pytest.raises(EngineError, match=r"mine returned rung 2 of take_profit as one number"):
        ladder.answer(bars, {})


def as_function(name: str, answer: Any) -> Any:
    def own(bars: Bars, p: Any) -> Any:
        return answer

    own.__name__ = name
    return own


def test_no_levels_is_the_target_alone() -> None:
    def plain(df: Any, params: Any) -> Any:
        return Signal((df["close"] > df["open"]).astype(float))

    answer = Strategy(plain, compiled=False).answer(many_bars(), {})
    assert answer.moving.size == 0
