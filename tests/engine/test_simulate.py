"""The compiled simulator against the naive one, and the sentences that must hold for every simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core import config

from engine.compiled.arrays import Array
from engine.compiled.jit import kernel
from engine.data.bars import Bars, make_bars
from engine.evaluate import run_portfolio
from engine.metrics.measure import as_metrics, measure
from engine.simulator.account import Account
from engine.simulator.columns import EXIT_REASONS, FILL_COLUMNS, FILL_REASONS, TRADE_COLUMNS
from engine.simulator.fills import N_FILL, Tables, room_for_fills
from engine.simulator.orders import (
    CASH,
    EXIT_PRICE,
    EXIT_REASON,
    N_STATE,
    N_TRADE,
    PNL,
    SIZE,
    TRADE_FEES,
    Books,
)
from engine.simulator.rules import pack_rules, unpack_rules
from engine.simulator.simulate import (
    Simulation,
    is_plain,
    play,
    play_plain,
    simulate,
    simulate_levels,
)
from engine.simulator.sizing import volatility_scale
from engine.simulator.wishes import wishes_of
from engine.strategies.levels import without_levels
from tests.naive import Simulator

EXAMPLES = 60 if config.DISABLE_JIT else 400
DAY = 86_400_000_000_000
PERIODS = 252.0


def random_bars(rng: np.random.Generator, n: int, volatility: float = 0.03) -> Bars:
    """Bars with gaps and wide ranges, so that every rule is met; low volume, so that the volume limit is."""
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, volatility / 2, n))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, volatility / 2, n)))
    return make_bars(np.arange(n) * DAY, open_, high, low, close, rng.integers(0, 400, n).astype(float))


def random_target(rng: np.random.Generator, n: int, fractional: bool) -> np.ndarray:
    levels = np.array([-1.0, -0.5, 0.0, 0.3, 0.7, 1.0]) if fractional else np.array([-1.0, 0.0, 1.0])
    return np.repeat(rng.choice(levels, n), rng.integers(1, 6, n))[:n].copy()


CONTRACTS = [{"multiplier": 5.0}, {"tick_size": 0.25, "fee_per_contract": 2.0}, {"multiplier": 0.1, "tick_size": 0.01}]


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    def maybe(*values: float) -> float:
        return draw(st.sampled_from((0.0, 0.0, *values)))

    rules = {
        "trade_on": draw(st.sampled_from(["next_open", "next_open", "close"])),
        "fee_bps": maybe(5.0, 50.0),
        "fixed_fee": maybe(1.0),
        "min_fee": maybe(3.0, 30.0),
        "slippage_bps": maybe(10.0),
        "spread_bps": maybe(20.0),
        "multiplier": draw(st.sampled_from([1.0, 1.0, 5.0, 0.1])),
        "tick_size": maybe(0.25, 0.01),
        "fee_per_contract": maybe(0.5),
        "lot_size": maybe(1.0, 0.1, 25.0),
        "min_notional": maybe(500.0, 4000.0),
        "rebalance_threshold": maybe(0.02, 0.2),
        "max_volume_share": maybe(0.1),
        "stop_pct": maybe(0.02, 0.1),
        "take_profit_pct": maybe(0.03, 0.1),
        "trailing_stop_pct": maybe(0.03, 0.15),
        "max_holding_bars": int(maybe(1, 3, 8)),
        "intrabar": draw(st.sampled_from(["worst", "best"])),
        "borrow_bps": maybe(2.0, 30.0),
        "funding_bps": maybe(3.0, -3.0),
        "maintenance_margin": maybe(0.25),
        "max_drawdown_stop": maybe(0.1, 0.4),
        "max_leverage": draw(st.sampled_from([1.0, 1.0, 0.5, 3.0])),
    }
    sizing = draw(st.sampled_from(["", "", "fixed_fraction", "fixed_cash", "risk_per_trade", "volatility_target"]))
    if draw(st.booleans()) and draw(st.booleans()):  # borrowed money, so that margin calls and ruin are met
        rules["max_leverage"], rules["max_drawdown_stop"], rules["stop_pct"] = 4.0, 0.0, 0.0
        sizing = "fixed_fraction"
    if sizing:
        value = {"fixed_fraction": 3.5, "fixed_cash": 4000.0, "risk_per_trade": 0.02, "volatility_target": 0.4}[sizing]
        rules[sizing] = value
        rules["volatility_window"] = 5
        if sizing == "risk_per_trade" and not rules["stop_pct"] and not rules["trailing_stop_pct"]:
            rules["stop_pct"] = 0.05
    return Account(**rules)


def compiled(bars: Bars, target: np.ndarray, account: Account) -> Simulation:
    given = (volatility_scale(bars.close, account, PERIODS), pack_rules(account), room_for_fills(len(target)))
    return simulate_levels(bars, target, without_levels(target).moving, None, None, *given)


def naive(bars: Bars, target: np.ndarray, account: Account) -> Simulator:
    columns = {name: getattr(bars, name).tolist() for name in Bars._fields[1:]}
    return Simulator([columns], [target.tolist()], account, PERIODS).run()


def check_equal(run: Simulation, expected: Simulator, account: Account) -> None:
    assert close(run.equity, expected.equity, account.initial_cash)
    assert len(run.trades) == len(expected.trades)
    for row, trade in zip(run.trades, expected.trades, strict=True):
        found = dict(zip(TRADE_COLUMNS, row, strict=True))
        assert EXIT_REASONS[int(found.pop("exit_reason"))] == trade.pop("exit_reason")
        for name, value in found.items():
            assert close(value, trade[name], account.initial_cash), name
    assert len(run.fills) == len(expected.fills)
    for row, fill in zip(run.fills, expected.fills, strict=True):
        found = dict(zip(FILL_COLUMNS, row, strict=True))
        assert FILL_REASONS[int(found.pop("reason"))] == fill.pop("reason")
        for name, value in found.items():
            assert close(value, fill[name], account.initial_cash), name
    assert close(run.fees, expected.fees_paid, account.initial_cash)
    assert close(run.traded, expected.traded, account.initial_cash)
    assert close(run.financing, expected.financing, account.initial_cash)


def close(a: object, b: object, scale: float = 1.0) -> bool:
    return bool(np.allclose(a, b, rtol=1e-12, atol=1e-12 * scale))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(2, 60), st.booleans(), st.sampled_from([0.01, 0.04, 0.15]))
def test_equals_the_naive_simulator(account, seed, n, fractional, volatility):
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n, volatility), random_target(rng, n, fractional)
    run, expected = compiled(bars, target, account), naive(bars, target, account)
    check_equal(run, expected, account)
    unwritten = simulate(bars, target, volatility_scale(bars.close, account, PERIODS), pack_rules(account))
    np.testing.assert_array_equal(unwritten.equity, run.equity)
    assert len(unwritten.fills) == 0


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    accounts(),
    st.integers(0, 2**32 - 1),
    st.integers(2, 50),
    st.integers(1, 3),
    st.sampled_from([0.01, 0.04, 0.15]),
    st.booleans(),
)
def test_a_portfolio_equals_the_naive_simulator(account, seed, n, k, volatility, own):
    rng = np.random.default_rng(seed)
    instruments = [random_bars(rng, n, volatility) for _ in range(k)]
    weights = np.stack([random_target(rng, n, True) for _ in range(k)], axis=1)
    account = account._replace(maintenance_margin=0.0) if k == 1 else account
    each = [account._replace(**rules) for rules in CONTRACTS[: k if own and k > 1 else 0]]
    run, _ = run_portfolio(tuple(instruments), 0, without_levels(weights), account, PERIODS, each, fills=True)
    columns = [{name: getattr(bars, name).tolist() for name in Bars._fields[1:]} for bars in instruments]
    expected = Simulator(columns, weights.T.tolist(), account, PERIODS, contracts=each).run()
    check_equal(run, expected, account)
    if k == 1:
        alone = compiled(instruments[0], weights[:, 0].copy(), account)
        np.testing.assert_array_equal(run.equity, alone.equity)
        np.testing.assert_array_equal(run.trades, alone.trades)
        np.testing.assert_array_equal(run.fills, alone.fills)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.0, 1.0 + 1e-15, -1.5, math.inf, math.nan]), min_size=2))
def test_a_target_that_is_nan_or_outside_anywhere_is_not_traded(wishes: list[float]) -> None:
    target = np.array(wishes)
    run = compiled(random_bars(np.random.default_rng(0), len(target)), target, Account())
    assert len(run.equity) == (len(target) if all(abs(wish) <= 1.0 for wish in wishes) else 0)


@kernel
def played(
    bars: Bars, target: Array, scale: Array, packed: Array, plainly: bool
) -> tuple[bool, int, Array, Array, Array, Array]:
    rules = unpack_rules(packed)
    equity, wishes = np.zeros(len(target)), wishes_of(target)
    tables = Tables(np.zeros((len(wishes.values), N_TRADE)), np.zeros((3 * len(target), N_FILL)))
    books = Books(np.zeros(N_STATE), tables)
    books.state[CASH] = rules.initial_cash
    if plainly:
        n = play_plain(bars, wishes, scale, rules, equity, books)
    else:
        n = play(bars, target, np.empty((0, 0)), None, None, scale, rules, equity, books)
    return is_plain(rules), n, equity[:n], books.state, tables.trades, tables.fills


@settings(max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(accounts(), st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_the_plain_loop_equals_the_general_one(account, seed, n):
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, n), random_target(rng, n, True)
    plain = account._replace(
        trade_on="next_open",
        rebalance_threshold=0.0,
        max_holding_bars=0,
        max_volume_share=0.0,
        trailing_stop_pct=0.0,
        borrow_bps=0.0,
        funding_bps=0.0,
        max_drawdown_stop=0.0,
        stop_pct=account.stop_pct or (0.05 if account.risk_per_trade else 0.0),
    )
    scale = volatility_scale(bars.close, plain, PERIODS)
    results = [played(bars, target, scale, pack_rules(plain), plainly) for plainly in (True, False)]
    assert results[0][0]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


ACCOUNTS = [
    Account(),
    Account(fee_bps=10, slippage_bps=5, min_fee=1),
    Account(trade_on="close", fee_bps=10, borrow_bps=2, funding_bps=1),
    Account(stop_pct=0.03, take_profit_pct=0.05, risk_per_trade=0.01, max_leverage=3, fixed_fee=1),
    Account(trailing_stop_pct=0.05, max_holding_bars=5, rebalance_threshold=0.05),
    Account(fixed_fraction=3, max_leverage=3, maintenance_margin=0.25, max_volume_share=0.2, lot_size=1),
    Account(volatility_target=0.3, volatility_window=10, max_drawdown_stop=0.2),
]


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("seed", range(5))
def test_every_coin_is_accounted_for(account, seed):
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, 120), random_target(rng, 120, True)
    run = compiled(bars, target, account)
    assert account.initial_cash + run.trades[:, PNL].sum() == pytest.approx(run.equity[-1], rel=1e-11)
    assert run.trades[:, TRADE_FEES].sum() == pytest.approx(run.fees, rel=1e-11, abs=1e-9)
    for k in range(2, 121, 17):  # at every bar: what is known up to it explains the equity so far
        part = compiled(Bars(*(column[:k] for column in bars)), target[:k].copy(), account)
        np.testing.assert_array_equal(part.equity[:-1], run.equity[: k - 1])
        assert account.initial_cash + part.trades[:, PNL].sum() == pytest.approx(part.equity[-1], rel=1e-11)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_target_no_change(account):
    bars = random_bars(np.random.default_rng(0), 80)
    run = compiled(bars, np.zeros(80), account)
    assert (run.equity == account.initial_cash).all()
    assert len(run.trades) == 0


@pytest.mark.parametrize("account", [a for a in ACCOUNTS if a.min_fee == a.fixed_fee == a.lot_size == 0])
def test_prices_times_a_power_of_two_change_no_return(account):
    bars = random_bars(np.random.default_rng(3), 120)
    target = random_target(np.random.default_rng(4), 120, True)
    scaled = make_bars(bars.timestamp, *(8.0 * column for column in bars[1:5]), bars.volume / 8.0)
    np.testing.assert_array_equal(compiled(bars, target, account).equity, compiled(scaled, target, account).equity)


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["fee_bps", "slippage_bps", "spread_bps", "fixed_fee", "min_fee"]))
def test_higher_costs_never_help_at_a_fixed_quantity(seed, cost):
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, 60), random_target(rng, 60, False)
    target = np.where(np.arange(60) % 4 == 0, target, 0.0)
    # one unit of volume a bar and money for many: every order is for one unit, whatever it costs
    thin = make_bars(*bars[:5], np.ones(60))
    cheap = Account(initial_cash=1e6, max_volume_share=1.0)
    before = compiled(thin, target, cheap).equity[-1]
    assert compiled(thin, target, cheap._replace(**{cost: 7.0})).equity[-1] <= before


@pytest.mark.parametrize("seed", range(5))
def test_cutting_at_a_flat_point_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    bars, target = random_bars(rng, 100), random_target(rng, 100, True)
    target[45:55] = 0.0
    account = Account(fee_bps=10, slippage_bps=5, stop_pct=0.05)
    whole = compiled(bars, target, account).equity
    first = compiled(Bars(*(column[:50] for column in bars)), target[:50].copy(), account).equity
    second_account = account._replace(initial_cash=float(first[-1]))
    second = compiled(Bars(*(column[50:] for column in bars)), target[50:].copy(), second_account).equity
    np.testing.assert_allclose(np.r_[first, second], whole, rtol=1e-12)


def test_a_stop_without_a_gap_loses_exactly_the_risk():
    n = 10
    flat = np.full(n, 100.0)
    low = flat.copy()
    low[5] = 90.0
    bars = make_bars(np.arange(n) * DAY, flat, flat, low, flat, flat)
    account = Account(fee_bps=20, slippage_bps=7, stop_pct=0.05, risk_per_trade=0.01, max_leverage=5)
    run = compiled(bars, np.ones(n), account)
    assert run.equity[-1] == pytest.approx(10_000 * 0.99, rel=1e-12)
    assert EXIT_REASONS[int(run.trades[0, EXIT_REASON])] == "stop_loss"
    mirrored = make_bars(np.arange(n) * DAY, flat, 200.0 - low, flat, flat, flat)
    assert compiled(mirrored, -np.ones(n), account).equity[-1] == pytest.approx(10_000 * 0.99, rel=1e-12)


def test_a_target_of_one_spends_all_cash_and_borrows_none():
    bars = random_bars(np.random.default_rng(0), 20)
    for fees in ({"fee_bps": 50}, {"fixed_fee": 20}, {"min_fee": 30, "fee_bps": 1}):
        run = compiled(bars, np.ones(20), Account(**fees))
        quantity = run.trades[0, SIZE]
        assert run.traded + run.fees == pytest.approx(10_000, rel=1e-12)
        np.testing.assert_allclose(run.equity[1:], quantity * bars.close[1:], rtol=1e-12)


def test_ruin_is_terrible_and_finite():
    price = np.array([100.0, 100.0, 150.0, 300.0, 80.0, 100.0])
    bars = make_bars(np.arange(6) * DAY, price, price, price, price, price)
    run = compiled(bars, -np.ones(6), Account())
    assert list(run.equity) == [10_000, 10_000, 5_000, 0, 0, 0]
    assert EXIT_REASONS[int(run.trades[-1, EXIT_REASON])] == "ruin"
    metrics = as_metrics(measure(bars.timestamp, bars.close, run, 10_000, PERIODS, True))
    for name in ("total_return", "cagr", "max_drawdown"):
        assert metrics[name] == -1.0
    assert math.isfinite(metrics["sharpe_ratio"])


def round_levels(take: bool, side: int) -> Iterator[tuple[Decimal, Decimal, Decimal]]:
    """Entries and percentages of two decimals whose level, computed in decimals, is a whole cent."""
    for cents in range(50, 20_000, 397):
        for percent in range(1, 60):
            entry, share = Decimal(cents) / 100, Decimal(percent) / 100
            level = entry * (1 + share) if take == (side > 0) else entry * (1 - share)
            if level == level.quantize(Decimal("0.01")) and level > Decimal("0.02"):
                yield entry, share, level


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("rule", ["take_profit_pct", "stop_pct", "trailing_stop_pct"])
@pytest.mark.parametrize("k", [1, 2])
def test_a_level_touched_to_the_cent_is_touched(rule, side, k):
    """And one missed by a cent is not. Filled at the level, whatever the float of it."""
    cases = list(round_levels(rule == "take_profit_pct", side))[:: 8 if config.DISABLE_JIT else 1]
    assert len(cases) >= 20
    up = side * (1 if rule == "take_profit_pct" else -1)
    for entry, share, level in cases:
        account = Account(**{rule: float(share)})
        for short_of_it, touched in ((Decimal("0"), True), (Decimal("0.01"), False)):
            reached = float(level - up * short_of_it)
            flat = np.full(4, float(entry))
            high, low = flat.copy(), flat.copy()
            (high if up > 0 else low)[2] = reached
            bars = make_bars(np.arange(4) * DAY, flat, high, low, flat, flat)
            if k == 1:
                run = compiled(bars, np.full(4, float(side)), account)
            else:
                run, _ = run_portfolio((bars, bars), 0, without_levels(np.full((4, 2), side / 2)), account, PERIODS)
            reasons = {EXIT_REASONS[int(row[EXIT_REASON])] for row in run.trades}
            assert reasons == {
                {"take_profit_pct": "take_profit", "stop_pct": "stop_loss"}.get(rule, "trailing_stop")
                if touched
                else "open"
            }, (entry, share, level)
            if touched:
                assert run.trades[0, EXIT_PRICE] == pytest.approx(float(level), rel=1e-15)
