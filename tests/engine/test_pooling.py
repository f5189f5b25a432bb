"""Metrics over several cells: pooled ones equal those of all trades together, extremes stay extremes."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics.catalogue import METRICS, RATIO_LIMIT
from engine.metrics.measure import as_metrics, measure
from engine.metrics.pooling import over_cells
from engine.simulator.fills import no_fills
from engine.simulator.orders import ENTRY_BAR, ENTRY_PRICE, EXIT_BAR, N_TRADE, PNL, SIZE
from engine.simulator.simulate import Simulation

DAY = 86_400_000_000_000
PNLS = st.lists(st.integers(-9, 9).map(float), max_size=6)


def measured(pnls: list[float], returns: list[float] = (0.0, 0.0)) -> dict[str, float]:  # type: ignore[assignment]
    trades = np.zeros((len(pnls), N_TRADE))
    trades[:, [ENTRY_PRICE, SIZE]] = 100.0, 1.0
    trades[:, PNL] = pnls
    trades[:, EXIT_BAR] = trades[:, ENTRY_BAR] + np.arange(len(pnls)) % 3 + 1
    equity = 100.0 * np.cumprod(1.0 + np.array(returns))
    run = Simulation(equity, trades, 1, 0.0, 0.0, 0.0, no_fills())
    return as_metrics(measure(np.arange(len(equity)) * DAY, np.full(len(equity), 50.0), run, 100.0, 252.0, True))


@given(st.lists(PNLS, min_size=1, max_size=5))
def test_pooled_is_what_all_trades_together_give(cells):
    apart, together = [measured(pnls) for pnls in cells], measured([pnl for pnls in cells for pnl in pnls])
    names = [name for name, metric in METRICS.items() if metric.over_cells == "pooled"]
    names.remove("avg_holding_bars")  # the helper's trades last as long as their place in the list says
    for name in [*names, "n_trades", "gross_profit", "gross_loss", "best_trade", "worst_trade"]:
        assert over_cells(name, apart) == pytest.approx(together[name], rel=1e-12, nan_ok=True), name


def test_holding_times_weigh_by_trades():
    cells = [measured([1.0]), measured([1.0, 1.0, 1.0])]  # 1; 1, 2 and 3 bars
    assert over_cells("avg_holding_bars", cells) == pytest.approx(7 / 4)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_over_one_cell_is_itself_and_over_two_equal_ones_follows_its_rule(name):
    cell = measured([3.0, -1.0, 2.0], [0.02, -0.01, 0.03, -0.02, 0.01])
    assert over_cells(name, [cell], "min") == pytest.approx(cell[name], nan_ok=True)
    expected = 2 * cell[name] if METRICS[name].over_cells == "sum" else cell[name]
    for aggregate in ("mean", "median", "min"):
        assert over_cells(name, [cell, cell], aggregate) == pytest.approx(expected, nan_ok=True)


def test_an_extreme_stays_one_and_an_undefined_cell_blanks_nothing():
    cells = [{"max_drawdown": depth, "sharpe_ratio": sharpe} for depth, sharpe in ((-0.1, 1.0), (-0.3, math.nan))]
    assert over_cells("max_drawdown", cells) == -0.3
    assert over_cells("sharpe_ratio", cells) == 1.0
    assert math.isnan(over_cells("sharpe_ratio", cells[1:] * 2))


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=8), st.integers(0, 7), st.integers(1, 20))
def test_a_better_trade_never_lowers_what_trades_are_ranked_by(pnls, which, more):
    better = list(pnls)
    better[which % len(pnls)] += more
    for name in ("profit_factor", "expectancy", "win_rate", "avg_trade_return", "gross_profit", "gross_loss"):
        before, after = measured(pnls)[name], measured(better)[name]
        assert not after < before - 1e-12, name  # one that neither wins nor loses anything is undefined


@settings(deadline=None)
@given(
    st.lists(st.integers(-9, 9).map(lambda r: r / 100), min_size=3, max_size=8), st.integers(0, 7), st.integers(1, 9)
)
def test_a_better_bar_never_lowers_a_ratio_of_gain_and_loss(returns, which, more):
    better = list(returns)
    better[which % len(returns)] += more / 100
    before, after = measured([], returns), measured([], better)
    for name in ("sortino_ratio", "omega_ratio", "calmar_ratio", "recovery_factor"):
        assert not (before[name] >= 0 and after[name] < before[name] - 1e-9), name


def test_a_flawless_run_has_the_limit_and_a_void_one_is_undefined():
    flawless = measured([1.0, 2.0], [0.01, 0.02])
    for name in ("profit_factor", "payoff_ratio", "sortino_ratio", "calmar_ratio", "omega_ratio", "recovery_factor"):
        assert flawless[name] == RATIO_LIMIT, name
        assert math.isnan(measured([], [0.0, 0.0])[name]), name
    assert flawless["kelly"] == 1.0
    hopeless = measured([-1.0, -2.0], [-0.01, -0.02])
    assert (hopeless["profit_factor"], hopeless["payoff_ratio"], hopeless["win_rate"]) == (0.0, 0.0, 0.0)
    assert hopeless["kelly"] == -RATIO_LIMIT


def test_what_is_beyond_a_float_is_undefined():
    cells = [{"total_return": -sys.float_info.max}] * 2
    assert math.isnan(over_cells("total_return", cells))
