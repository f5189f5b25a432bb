"""The table of fills: what was bought and sold, and that it is all there is to know of the trades and the cash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.backtest import BacktestEngine
from engine.evaluate import run_portfolio
from engine.report.tables import fills_table, ledger_of, trades_table
from engine.simulator.account import Account
from engine.strategies.levels import without_levels
from tests.engine.test_levels import bars_of
from tests.engine.test_simulate import CONTRACTS, EXAMPLES, PERIODS, accounts, random_bars, random_target


def test_fills_by_hand() -> None:
    """Forty a bar until there are 99, then half of them, in two bars, and in the second of these the stop."""
    flat = (100.0, 100.0, 100.0, 100.0)
    bars = bars_of([flat] * 5 + [(100.0, 100.0, 90.0, 100.0)])._replace(volume=np.full(6, 80.0))
    engine = BacktestEngine(max_volume_share=0.5, lot_size=1.0, fixed_fee=1.0, stop_pct=0.05)
    result = engine.run_realistic(bars, lambda df, p: np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5]), {})
    expected = {
        "time": result.equity.index[[1, 2, 3, 4, 5, 5]],
        "trade": [0] * 6,
        "size": [40.0, 40.0, 19.0, -40.0, -10.0, -49.0],
        "price": [100.0] * 5 + [95.0],
        "fee": [1.0] * 6,
        "reason": ["signal"] * 5 + ["stop_loss"],
        "position": [40.0, 80.0, 99.0, 59.0, 49.0, 0.0],
    }
    pd.testing.assert_frame_equal(result.fills, pd.DataFrame(expected))


@pytest.mark.parametrize(
    ("rows", "rules", "reasons"),
    [
        ([100.0, 100.0, 200.0, 100.0], {"rebalance_threshold": 0.01}, ["signal", "rebalance", "rebalance"]),
        ([100.0, 100.0, 100.0, 100.0], {"max_holding_bars": 2}, ["signal", "max_holding_bars"]),
        ([100.0, 100.0, 50.0, 50.0], {"max_drawdown_stop": 0.2}, ["signal", "max_drawdown_stop"]),
    ],
)
def test_why_a_fill_was_made(rows: list[float], rules: dict[str, Any], reasons: list[str]) -> None:
    bars = bars_of([(price,) * 4 for price in rows])
    fills = BacktestEngine(**rules).run_realistic(bars, lambda df, p: np.full(4, 0.5), {}).fills
    assert list(fills["reason"]) == reasons


def test_ruin_takes_a_position_away_for_nothing() -> None:
    bars = bars_of([(price,) * 4 for price in (100.0, 100.0, 250.0, 250.0)])
    result = BacktestEngine().run_realistic(bars, lambda df, p: -np.ones(4), {})
    last = result.fills.iloc[-1]
    assert (last["size"], last["price"], last["fee"], last["reason"]) == (100.0, 250.0, 0.0, "ruin")


def test_the_fills_of_a_portfolio_name_their_instrument_and_trade() -> None:
    """The second is bought after the first and sold before it: its trade is the first row."""
    flat = bars_of([(100.0,) * 4] * 5)
    weights = np.array([[0.5, 0.0], [0.5, 0.4], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
    run, market = run_portfolio((flat, flat), 0, without_levels(weights), Account(), PERIODS, fills=True)
    fills = fills_table(ledger_of(flat.timestamp, run, market, [1.0, 1.0]))
    assert list(fills["instrument"]) == [0, 1, 1, 0]
    assert list(fills["trade"]) == [1, 0, 0, 1]


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(2, 3), st.booleans())
def test_fills_make_the_trades_and_the_equity(account: Account, seed: int, n: int, k: int, own: bool) -> None:
    """Every sum of the trades; and with the costs of holding the cash, and so the equity."""
    rng = np.random.default_rng(seed)
    instruments = tuple(random_bars(rng, n, 0.04) for _ in range(k))
    weights = np.stack([random_target(rng, n, True) for _ in range(k)], axis=1)
    account = account._replace(borrow_bps=0.0, funding_bps=account.funding_bps if own else 0.0)
    each = [account._replace(**rules) for rules in CONTRACTS[:k]]
    run, market = run_portfolio(instruments, 0, without_levels(weights), account, PERIODS, each, fills=True)
    times, units = pd.to_datetime(instruments[0].timestamp, utc=True), [one.multiplier for one in each]
    ledger = ledger_of(instruments[0].timestamp, run, market, units)
    fills, trades = fills_table(ledger), trades_table(ledger)
    value = fills["size"] * fills["price"] * np.array(units)[fills["instrument"]]
    flow = -value - fills["fee"]
    near = {"rel": 1e-9, "abs": 1e-7}
    for number, trade in trades.iterrows():
        part = fills[fills["trade"] == number]
        assert set(part["instrument"]) == {trade["instrument"]}
        into = part[part["size"] * trade["size"] > 0]
        out = part.drop(into.index)
        assert into["size"].sum() == pytest.approx(trade["size"])
        assert (into["size"] * into["price"]).sum() == pytest.approx(trade["size"] * trade["entry_price"])
        assert part["fee"].sum() == pytest.approx(trade["fees"], **near)
        assert (part["time"].iloc[0], part["time"].iloc[-1] <= trade["exit_time"]) == (trade["entry_time"], True)
        if trade["exit_reason"] != "open":
            assert (part["reason"].iloc[-1], part["position"].iloc[-1]) == (trade["exit_reason"], 0.0)
            assert -(out["size"] * out["price"]).sum() == pytest.approx(trade["size"] * trade["exit_price"])
        if run.financing == 0.0 and run.equity[-1] > 0.0:
            at = instruments[trade["instrument"]].close[-1] * units[trade["instrument"]]
            assert flow[part.index].sum() + part["size"].sum() * at == pytest.approx(trade["pnl"], **near)
    held, cash = np.zeros((n, k)), np.full(n, account.initial_cash)
    columns = (times.get_indexer(fills["time"]), fills["instrument"], fills["size"], flow)
    for bar, i, change, paid in zip(*columns, strict=True):
        held[bar:, i] += change * units[i]
        cash[bar:] += paid
    close = np.stack([bars.close for bars in instruments], axis=1)
    equity = cash + (held * close).sum(axis=1)
    if run.equity[-1] > 0.0:  # else the account was forgiven what it owed
        assert equity[-1] - run.financing == pytest.approx(run.equity[-1], **near)
    if run.financing == 0.0 and run.equity[-1] > 0.0:
        np.testing.assert_allclose(equity, run.equity, rtol=1e-9)
