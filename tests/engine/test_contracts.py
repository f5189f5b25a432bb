"""Futures: multiplier, ticks and fees by the contract, by hand and by laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import BacktestEngine, Bars, Signal, strategy
from engine.data.bars import make_bars
from engine.errors import ParameterError
from engine.simulator.account import Account, make_account
from engine.simulator.orders import ENTRY_BAR, EXIT_BAR, EXIT_REASON, PNL
from tests.engine.test_levels import bars_of
from tests.engine.test_simulate import EXAMPLES, accounts, compiled, random_bars, random_target

ES = {"initial_cash": 1e6, "multiplier": 50.0, "tick_size": 0.25, "fee_per_contract": 2.1, "lot_size": 1.0}
START = [(4000.0, 4000.0, 4000.0, 4000.0)] * 2
LONG, SHORT = [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]
REASONS = {"stop_pct": "stop_loss", "trailing_stop_pct": "trailing_stop", "take_profit_pct": "take_profit"}


def trade(rows: list[tuple[float, float, float, float]], target: Any, **rules: Any) -> Any:
    """The first trade of the bars; target: a number a bar, or a Signal."""
    signal = target if isinstance(target, Signal) else np.array(target)
    return BacktestEngine(**{**ES, **rules}).run_realistic(bars_of(rows), lambda df, p: signal, {}).trades.iloc[0]


def test_whole_contracts_are_bought_and_pay_by_the_contract() -> None:
    found = trade([*START, (4010.0, 4010.0, 4010.0, 4010.0)], [1.0, 0.0, 0.0])
    assert found["size"] == 4  # a fifth costs 200002.10 too
    assert found["fees"] == pytest.approx(2 * 4 * 2.1, rel=1e-12)
    assert found["pnl"] == pytest.approx(4 * 50 * 10 - 2 * 4 * 2.1, rel=1e-12)
    assert found["return"] == pytest.approx(found["pnl"] / (4000 * 4 * 50), rel=1e-12)


@pytest.mark.parametrize(
    ("target", "bought", "sold"), [([1.0, 0.0, 0.0], 4000.5, 4009.5), ([-1.0, 0, 0], 4010.5, 3999.5)]
)
def test_market_orders_go_to_the_next_tick_against_the_trader(target: list[float], bought: float, sold: float) -> None:
    """One basis point of 4000 is 0.4, of 4010 it is 0.401."""
    found = trade([*START, (4010.0, 4010.0, 4010.0, 4010.0)], target, slippage_bps=1.0)
    prices = (found["entry_price"], found["exit_price"])
    assert prices == pytest.approx((bought, sold) if target[0] > 0 else (sold, bought), rel=1e-12)


@pytest.mark.parametrize(
    ("target", "rule", "row", "left"),
    [
        (LONG, "stop_pct", (4000.0, 4000.0, 3995.8, 3996.0), None),  # 3995.6 is put at 3995.5
        (LONG, "stop_pct", (4000.0, 4000.0, 3995.5, 3996.0), 3995.5),
        (LONG, "take_profit_pct", (4000.0, 4004.4, 4000.0, 4004.0), None),  # 4004.4 at 4004.5
        (LONG, "take_profit_pct", (4000.0, 4004.5, 4000.0, 4004.0), 4004.5),
        (SHORT, "stop_pct", (4000.0, 4004.4, 4000.0, 4004.0), None),
        (SHORT, "stop_pct", (4000.0, 4004.5, 4000.0, 4004.0), 4004.5),
        (SHORT, "take_profit_pct", (4000.0, 4000.0, 3995.6, 3996.0), None),
        (SHORT, "take_profit_pct", (4000.0, 4000.0, 3995.5, 3996.0), 3995.5),
        (LONG, "trailing_stop_pct", (4000.0, 4000.0, 3995.5, 3996.0), 3995.5),
    ],
)
def test_levels_are_put_on_the_tick_away_from_the_market(target: Any, rule: str, row: Any, left: float | None) -> None:
    found = trade([*START, row], target, **{rule: 0.0011})
    assert found["exit_reason"] == ("open" if left is None else REASONS[rule])
    assert left is None or found["exit_price"] == left


@pytest.mark.parametrize(
    ("side", "level", "paid"),
    [
        (1.0, {"entry_limit": 3990.1}, 3990.0),
        (1.0, {"entry_stop": 4009.9}, 4010.0),
        (-1.0, {"entry_limit": 4009.9}, 4010.0),
        (-1.0, {"entry_stop": 3990.1}, 3990.0),
    ],
)
def test_entry_orders_wait_on_the_tick_away_from_the_market(side: float, level: Any, paid: float) -> None:
    rows = [*START, (4000.0, 4020.0, 3980.0, 4000.0)]
    given = {name: np.full(3, value) for name, value in level.items()}
    assert trade(rows, Signal(np.array([0.0, side, side]), **given))["entry_price"] == paid


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_a_multiplier_is_the_same_account_at_higher_prices(account: Account, seed: int, n: int) -> None:
    """A contract of eight units at 100 is one unit at 800, with ticks of eight times the size."""
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n), random_target(rng, n, True)
    dear = make_bars(bars.timestamp, *(8.0 * column for column in bars[1:5]), bars.volume)
    one = compiled(bars, target, account._replace(multiplier=8.0))
    other = compiled(dear, target, account._replace(multiplier=1.0, tick_size=8.0 * account.tick_size))
    np.testing.assert_allclose(one.equity, other.equity, rtol=1e-12)
    np.testing.assert_allclose(one.trades[:, PNL], other.trades[:, PNL], rtol=1e-9, atol=1e-8)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(REASONS)))
def test_on_bars_of_ticks_no_exit_moves_to_another_bar(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    free = random_bars(rng, 60)
    bars = make_bars(free.timestamp, *(np.round(column * 4) / 4 for column in free[1:5]), free.volume)
    target = random_target(rng, 60, False)
    account = Account(**{rule: 0.0337})
    plain, ticked = (compiled(bars, target, account._replace(tick_size=size)).trades for size in (0.0, 0.25))
    for column in (ENTRY_BAR, EXIT_BAR, EXIT_REASON):
        np.testing.assert_array_equal(plain[:, column], ticked[:, column])


@pytest.mark.parametrize(
    "rules", [{"multiplier": 0.0}, {"multiplier": -1.0}, {"tick_size": -0.25}, {"fee_per_contract": -1}]
)
def test_a_contract_that_cannot_be_is_refused(rules: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=f"account rule {next(iter(rules))} = "):
        make_account(rules)


@strategy
def both(pair: tuple[Bars, Bars], p: Any) -> np.ndarray:
    return np.array([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]])


def test_instruments_of_a_portfolio_have_contracts_of_their_own() -> None:
    """Half a million buys two contracts of 200000 and, a fee of 4.20 later, 4999 shares of 100."""
    index, share = bars_of([*START, (4010.0,) * 4]), bars_of([(100.0,) * 4, (100.0,) * 4, (110.0,) * 4])
    engine = BacktestEngine(initial_cash=1e6, lot_size=1.0, contracts=[{"multiplier": 50, "fee_per_contract": 2.1}, {}])
    found = engine.run_realistic((index, share), both, {}).trades
    assert found["size"].tolist() == [2, 4999]
    assert found["pnl"].tolist() == pytest.approx([2 * 50 * 10 - 4 * 2.1, 4999 * 10], rel=1e-12)
    assert found["return"].tolist() == pytest.approx([(1000 - 8.4) / 400_000, 0.1], rel=1e-12)


def test_a_portfolio_refuses_other_rules_of_an_instrument() -> None:
    with pytest.raises(ParameterError, match="account rule fee_bps is the same for all instruments"):
        BacktestEngine(contracts=[{"fee_bps": 1.0}])
    bars = bars_of(START)
    with pytest.raises(ParameterError, match="there are 2 instruments, but 1 contracts"):
        BacktestEngine(contracts=[{}]).run_realistic((bars, bars), "buy_and_hold", {})
    with pytest.raises(ParameterError, match="contracts are of a portfolio"):
        BacktestEngine(contracts=[{}]).run_realistic(bars, "buy_and_hold", {})
