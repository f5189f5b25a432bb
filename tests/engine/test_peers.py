"""The peers on the same bars, the same targets and the same costs: the same equity where the fill rules coincide.

Where they differ: docs/engine.md, "Compared with other engines".
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.load import load_bars, to_frame
from engine.metrics.measure import as_metrics, measure
from engine.simulator.account import Account
from engine.simulator.orders import SIZE
from engine.simulator.rules import pack_rules
from engine.simulator.simulate import Simulation, simulate
from engine.simulator.sizing import NO_SCALE
from engine.strategies.base import load_strategy
from tests.snippets import ROOT, Page

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the peers deprecate is theirs
    import backtesting
    import vectorbt

BARS = load_bars(ROOT / "studies" / "data" / "ibm_1d.csv")
N = len(BARS.close)


def long_flat() -> np.ndarray:
    strategy = load_strategy("ma_crossover")
    return strategy.target(BARS, strategy.bind({"fast_window": 10, "slow_window": 40}))


def ours(target: np.ndarray, **rules: float) -> Simulation:
    return simulate(BARS, target, NO_SCALE, pack_rules(Account(**rules)))


def of_vectorbt(target: np.ndarray, **costs: float) -> vectorbt.Portfolio:
    """The order of bar t is filled at the open of t + 1."""
    frame = to_frame(BARS)
    change = np.r_[np.nan, np.where(np.diff(np.r_[0.0, target]) != 0, target, np.nan)[:-1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return vectorbt.Portfolio.from_orders(
            frame["close"],
            size=pd.Series(change, frame.index),
            size_type="targetpercent",
            price=frame["open"],
            val_price=frame["open"],
            init_cash=10_000,
            **costs,
        )


@pytest.mark.parametrize("costs", [{}, {"fees": 0.001}, {"fees": 0.001, "slippage": 0.0005}, {"fixed_fees": 5.0}])
def test_vectorbt_has_the_same_equity(costs):
    target = long_flat()
    names = {"fees": ("fee_bps", 10_000), "slippage": ("slippage_bps", 10_000), "fixed_fees": ("fixed_fee", 1)}
    run = ours(target, **{names[name][0]: value * names[name][1] for name, value in costs.items()})
    portfolio = of_vectorbt(target, **costs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(run.equity, portfolio.value().to_numpy(), rtol=1e-9)
        metrics = as_metrics(measure(BARS.timestamp, BARS.close, run, 10_000.0, 252.0, True))
        assert metrics["win_rate"] == pytest.approx(portfolio.trades.closed.win_rate())


def test_vectorbt_has_the_same_equity_when_short_without_fees():
    target = 2 * long_flat() - 1
    target[:40] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = of_vectorbt(target).value().to_numpy()
    np.testing.assert_allclose(ours(target).equity, expected, rtol=1e-9)


class Follow(backtesting.Strategy):
    """Buys 100 shares when the target rises and closes when it falls; orders are filled at the next open."""

    target = np.zeros(0)

    def init(self):
        pass

    def next(self):
        t = len(self.data) - 1
        if self.target[t] > self.target[t - 1]:
            self.buy(size=100)
        elif self.target[t] < self.target[t - 1]:
            self.position.close()


@pytest.mark.parametrize("fee", [0.0, 0.001])
def test_backtesting_py_has_the_same_equity(fee):
    """On 100 shares at a time: it sizes at the close before the fill, in whole shares, so a share of equity differs."""
    target = long_flat()
    frame = to_frame(BARS).rename(columns=str.capitalize).tz_localize(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = backtesting.Backtest(frame, Follow, cash=1_000_000, commission=fee)
        equity = test.run(target=target)["_equity_curve"]["Equity"].to_numpy()
    # the money for 150 shares at the time of the signal buys one lot of 100
    entered = np.maximum.accumulate(np.where(np.diff(np.r_[0.0, target]) > 0, np.arange(N), 0))
    money = np.where(target > 0, 150 * BARS.close[entered] / 1e6, 0.0)
    rules = {"initial_cash": 1e6, "fixed_cash": 1e6, "lot_size": 100.0, "fee_bps": fee * 10_000}
    run = ours(money, **rules)
    assert (run.trades[:, SIZE] == 100).all()
    assert len(run.trades) > 20
    np.testing.assert_allclose(run.equity, equity, rtol=1e-9)


@pytest.fixture(scope="module")
def ported() -> dict[str, Any]:
    """What docs/porting.md has computed, after it has printed what it promises."""
    page, namespace = Page("docs/porting.md"), {}
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.chdir(ROOT)
        assert page.run(namespace) == page.promised()
        namespace["of_vectorbt"] = namespace["portfolio"].trades.closed.records_readable
    return namespace


@pytest.mark.parametrize(
    ("frame", "columns"),
    [
        ("theirs", ["EntryTime", "ExitTime", "EntryPrice", "ExitPrice"]),
        ("of_vectorbt", ["Entry Timestamp", "Exit Timestamp", "Avg Entry Price", "Avg Exit Price"]),
    ],
)
def test_a_ported_strategy_makes_the_same_trades(frame, columns, ported):
    entered, left, *prices = (ported[frame][name].to_numpy() for name in columns)
    ours = ported["closed"]
    for name, times in (("entry_time", entered), ("exit_time", left)):
        np.testing.assert_array_equal(ours[name].dt.tz_localize(None), pd.DatetimeIndex(times).tz_localize(None))
    for name, found in zip(("entry_price", "exit_price"), prices, strict=True):
        np.testing.assert_allclose(ours[name], found, rtol=1e-12)


def test_a_ported_strategy_has_vectorbts_equity(ported):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ported["portfolio"].value().to_numpy()
    np.testing.assert_allclose(ported["ours"].equity, expected, rtol=1e-9)


def test_the_strategy_for_freqtrade_is_python_with_its_methods():
    (source,) = Page("docs/porting.md").files().values()
    (strategy,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    methods = {node.name for node in strategy.body if isinstance(node, ast.FunctionDef)}
    assert {f"populate_{what}" for what in ("indicators", "entry_trend", "exit_trend")} <= methods
