"""A ladder of take-profits by hand; tests/engine/test_levels.py holds it against the naive simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import Signal, strategy
from engine.backtest import BacktestEngine
from engine.data.bars import Bars
from engine.errors import EngineError
from engine.strategies.delay import Delayed
from engine.strategies.lookahead import probe_lookahead
from tests.engine.test_levels import bars_of, many_bars

Row = tuple[float, float, float, float]
FLAT = (100.0, 100.0, 100.0, 100.0)
HALVES = ((110.0, 0.5), (120.0, 0.5))
REST = ((110.0, 0.5), (120.0, 0.25))


def fills_of(
    bar: Row, ladder: Any, target: float | list[float] = 1.0, levels: dict[str, float] | None = None, **account: Any
) -> list[tuple[float, float, str]]:
    """Size, price and reason of each fill: bought at 100 with 10,000, then one bar, then two at its close."""
    rows = [FLAT, FLAT, bar, (bar[3],) * 4, (bar[3],) * 4]

    def wants(df: Any, params: Any) -> Signal:
        rungs = tuple((np.full(5, price), share) for price, share in ladder)
        rest = {name: np.full(5, value) for name, value in (levels or {}).items()}
        return Signal(np.zeros(5) + target, take_profit=rungs, **rest)

    fills = BacktestEngine(**account).run_realistic(bars_of(rows), wants, {}).fills
    return [(round(one.size, 9), round(one.price, 9), one.reason) for one in fills.itertuples()]


IN = (100.0, 100.0, "signal")


@pytest.mark.parametrize(
    ("bar", "ladder", "rules", "expected"),
    [
        ((100, 112, 99, 105), HALVES, {}, [(-50, 110)]),  # and is not bought again
        ((100, 125, 99, 105), HALVES, {}, [(-50, 110), (-50, 120)]),
        ((100, 125, 99, 105), HALVES[::-1], {}, [(-50, 110), (-50, 120)]),  # the nearer first
        ((100, 125, 99, 121), REST, {}, [(-50, 110), (-25, 120)]),  # each once, though the price stays beyond
        ((115, 125, 99, 105), HALVES, {}, [(-50, 115), (-50, 120)]),  # a gap over one
        ((125, 125, 99, 105), HALVES, {}, [(-50, 125), (-50, 125)]),
        ((100, 110, 99, 105), ((110.0, 1.0),), {}, [(-100, 110)]),
        ((100, 125, 99, 105), HALVES, {"lot_size": 30.0}, [(-30, 110), (-60, 120)]),  # of 90: 45, rounded down
        ((100, 125, 99, 105), REST, {"lot_size": 60.0}, []),  # too small, and passed
        ((100, 125, 99, 105), REST, {"min_notional": 4000.0}, [(-50, 110)]),
        ((100, 125, 99, 105), HALVES, {"tick_size": 0.7}, [(-49.95004995, 110.6), (-49.95004995, 120.4)]),  # at 100.1
    ],
)
def test_rungs_by_hand(bar: Row, ladder: Any, rules: dict[str, float], expected: list[tuple[float, float]]) -> None:
    found = fills_of(bar, ladder, **rules)
    assert [(size, price) for size, price, _ in found[1:]] == expected
    assert {reason for _, _, reason in found[1:]} <= {"take_profit"}


@pytest.mark.parametrize(
    ("bar", "intrabar", "expected"),
    [
        ((100, 112, 94, 100), "worst", [(-100, 95, "stop_loss")]),
        ((100, 112, 94, 100), "best", [(-50, 110, "take_profit"), (-50, 95, "stop_loss")]),
        ((111, 112, 94, 100), "worst", [(-50, 111, "take_profit"), (-50, 95, "stop_loss")]),  # the open is first
        ((90, 112, 89, 100), "best", [(-100, 90, "stop_loss")]),
        ((100, 131, 99, 100), "worst", [(-50, 110, "take_profit"), (-50, 115, "take_profit")]),  # the account's, of all
    ],
)
def test_rungs_beside_the_other_levels(bar: Row, intrabar: str, expected: list[tuple[float, float, str]]) -> None:
    assert fills_of(bar, HALVES, stop_pct=0.05, take_profit_pct=0.15, intrabar=intrabar)[1:] == expected


@pytest.mark.parametrize(
    ("level", "intrabar", "expected"),
    [
        ("entry_limit", "worst", []),
        ("entry_limit", "best", [110.0]),
        ("entry_stop", "worst", [110.0]),
        ("entry_stop", "best", [110.0]),
    ],
)
def test_rungs_in_the_bar_of_an_entry(level: str, intrabar: str, expected: list[float]) -> None:
    at = {"entry_limit": 98.0, "entry_stop": 102.0}[level]
    ladder = tuple((np.full(3, price), share) for price, share in HALVES)
    rows = bars_of([FLAT, (100, 112, 97, 100), FLAT])
    wants = Signal(np.ones(3), take_profit=ladder, **{level: np.array([at, at, np.nan])})
    fills = BacktestEngine(intrabar=intrabar).run_realistic(rows, lambda df, p: wants, {}).fills
    assert list(fills["price"]) == [at, *expected]


def test_a_target_counts_for_what_the_rungs_have_left() -> None:
    """Half is sold at 110; a quarter of the equity then, or the band, aims at half of it."""
    bar = (100.0, 110.0, 100.0, 100.0)
    sold = 10_000 + 50 * 10
    resized = fills_of(bar, HALVES, [1.0, 1.0, 0.5, 0.5, 0.5])
    assert resized == [IN, (-50, 110, "take_profit"), (round(sold / 400 - 50, 9), 100, "signal")]
    kept = fills_of(bar, HALVES, rebalance_threshold=0.02)
    assert kept == [IN, (-50, 110, "take_profit"), (sold / 200 - 50, 100, "rebalance")]


def test_a_new_trade_has_all_its_rungs_again() -> None:
    found = fills_of((100, 112, 99, 110), ((110.0, 0.5),), [1.0, 1.0, 0.0, 1.0, 1.0])
    assert [reason for _, _, reason in found].count("take_profit") == 2
    assert [price for _, price, _ in found] == [100, 110, 110, 110, 110]


def climbing(bars: Bars, p: Any) -> Signal:
    return Signal(np.ones(len(bars.close)), take_profit=((bars.high * 1.01, 0.5), (bars.high * 1.02, 0.25)))


def peeking(bars: Bars, p: Any) -> Signal:
    return Signal(np.ones(len(bars.close)), take_profit=((np.append(bars.high[1:], np.nan), 0.5),))


def test_a_rung_that_knows_the_next_bar_is_found_out() -> None:
    assert probe_lookahead(strategy(climbing), [{}], (many_bars(),)).moved == (True,)
    with pytest.raises(EngineError, match="looks ahead"):
        probe_lookahead(strategy(peeking), [{}], (many_bars(),))


def test_rungs_come_as_late_as_the_target() -> None:
    bars, own = many_bars(), strategy(climbing)
    now, late = own.answer(bars, {}), Delayed(own, 2).answer(bars, {})
    np.testing.assert_array_equal(late.moving[:, 2:], now.moving[:, :-2])


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        (((110.0, 0.5), (120.0, 0.6)), "the rungs of take_profit take 1.1 of a position together, at most 1"),
        (((110.0, 0.0),), "rung 1 of take_profit takes 0.0, must be above 0 and at most 1"),
        (((-1.0, 0.5),), "rung 1 of take_profit at bar 0 is -1.0, must be above 0 and finite"),
        (((110.0, 0.01),) * 51, "take_profit has 51 rungs, at most 50"),
    ],
)
def test_what_is_no_ladder_is_refused(ladder: Any, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        fills_of(FLAT, ladder)


def test_a_rung_without_a_share_is_refused() -> None:
    rung = (np.full(2, 110.0),)
    with pytest.raises(EngineError, match="a rung of take_profit is a pair: prices, one a bar, and the share it takes"):
        BacktestEngine().run_realistic(bars_of([FLAT, FLAT]), lambda df, p: Signal(np.ones(2), take_profit=(rung,)), {})
