"""Levels inside a bar, by hand: what is touched first where a bar touches two."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backtest import BacktestEngine
from engine.data.bars import Bars, make_bars

DAY = 86_400_000_000_000


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
