"""The account rules of a backtest. 0 means off, everywhere. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Literal, NamedTuple

from engine.errors import ParameterError


class Account(NamedTuple):
    """Rules a backtest trades under; docs/engine.md has the exact arithmetic of each. bps are 1/10000."""

    initial_cash: float = 10_000.0  # money
    trade_on: Literal["next_open", "close"] = "next_open"  # where a target is traded: the next bar's open, or its close
    # what a fill costs
    fee_bps: float = 0.0  # of its value
    fixed_fee: float = 0.0  # money
    min_fee: float = 0.0  # money
    slippage_bps: float = 0.0  # of the price, against the trader
    spread_bps: float = 0.0  # of the price, from bid to ask: each side pays half
    # what is traded, where it is a contract
    multiplier: float = 1.0  # a quantity q is worth q * multiplier * price
    tick_size: float = 0.0  # prices of orders and fills are multiples of it
    fee_per_contract: float = 0.0  # money, per unit of quantity
    # how much is bought: at most one of the first four
    fixed_fraction: float = 0.0  # of the equity, at a target of 1
    fixed_cash: float = 0.0  # money, at a target of 1
    risk_per_trade: float = 0.0  # share of the equity lost when the stop is hit
    volatility_target: float = 0.0  # per year, 0.2 is 20 %
    volatility_window: int = 20  # bars
    max_leverage: float = 1.0  # gross exposure / equity when an order is sent
    lot_size: float = 0.0  # units
    min_notional: float = 0.0  # money
    rebalance_threshold: float = 0.0  # share of the equity
    max_volume_share: float = 0.0  # of the bar's volume
    # what ends a position
    stop_pct: float = 0.0  # 0.02 is 2 % of the entry price
    take_profit_pct: float = 0.0  # of the entry price
    trailing_stop_pct: float = 0.0  # of the best price since the entry
    max_holding_bars: int = 0  # bars after which a position is closed
    intrabar: Literal["worst", "best"] = "worst"  # which came first where a bar touched stop and take-profit
    # what holding costs, per bar
    borrow_bps: float = 0.0  # of a short position's value and of borrowed cash
    funding_bps: float = 0.0  # of the position's value: longs pay, shorts receive; negative turns it round
    # what ends the backtest
    maintenance_margin: float = 0.0  # equity / gross exposure below which the broker closes the position
    max_drawdown_stop: float = 0.0  # fall of the equity from its peak that stops trading


CONTRACT = ("multiplier", "tick_size", "fee_per_contract")
SEARCHABLE = tuple(name for name in Account._fields if name not in CONTRACT)  # what a parameter of this name means
COSTS = ("initial_cash", "trade_on", "fee_bps", "fixed_fee", "min_fee", "slippage_bps", "spread_bps", *CONTRACT)


class Rules(NamedTuple):
    """The account as the compiled simulator takes it: floats only, fractions instead of basis points.

    It counts in units that are worth the price: one contract is `multiplier` units.
    """

    initial_cash: float
    on_close: float
    fee: float
    fixed_fee: float
    min_fee: float
    unit_fee: float
    slip: float  # slippage and half the spread
    tick: float
    fraction: float
    cash: float
    risk: float
    leverage: float
    lot: float
    min_notional: float
    band: float
    volume_share: float
    stop: float
    take_profit: float
    trail: float
    max_bars: float
    best_first: float  # the take-profit before the stop
    borrow: float
    funding: float
    margin: float
    max_drawdown: float


ALIASES = {  # what other libraries call a rule
    "stop_loss": "stop_pct",
    "stop": "stop_pct",
    "stop_loss_pct": "stop_pct",
    "sl": "stop_pct",
    "take_profit": "take_profit_pct",
    "tp": "take_profit_pct",
    "trailing_stop": "trailing_stop_pct",
    "commission": "fee_bps",
    "commissions": "fee_bps",
    "commission_bps": "fee_bps",
    "fees": "fee_bps",
    "fee": "fee_bps",
    "slippage": "slippage_bps",
    "spread": "spread_bps",
    "leverage": "max_leverage",
    "margin": "maintenance_margin",
    "cash": "initial_cash",
    "capital": "initial_cash",
    "initial_capital": "initial_cash",
    "init_cash": "initial_cash",
    "position_size": "fixed_fraction",
    "max_bars": "max_holding_bars",
    "contract_size": "multiplier",
    "point_value": "multiplier",
    "big_point_value": "multiplier",
    "tick": "tick_size",
    "mintick": "tick_size",
    "commission_per_contract": "fee_per_contract",
    "cash_per_contract": "fee_per_contract",
}
SIZINGS = ("fixed_fraction", "fixed_cash", "risk_per_trade", "volatility_target")
_WORDS = {"trade_on": ("next_open", "close"), "intrabar": ("worst", "best")}
_WHOLE = ("volatility_window", "max_holding_bars")
_BELOW_ONE = ("stop_pct", "trailing_stop_pct", "risk_per_trade", "maintenance_margin", "max_drawdown_stop")
_BPS = ("fee_bps", "slippage_bps", "spread_bps", "borrow_bps", "funding_bps")


def make_account(values: Mapping[str, object]) -> Account:
    """An Account from names and values; ParameterError on an unknown name or a value out of range."""
    for name in values:
        if name not in Account._fields:
            near = [ALIASES[name]] if name in ALIASES else get_close_matches(name, Account._fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(Account._fields)}"
            raise ParameterError(f"unknown account rule {name}; {hint}")
    account = Account(**values)  # type: ignore[arg-type]
    make_rules(account)
    return account


def bare(account: Account) -> Account:
    """The account with its costs and contracts only: what buying and holding is compared under."""
    return Account(**{name: getattr(account, name) for name in COSTS})


def make_contract(account: Account, rules: Mapping[str, object]) -> Account:
    """The account as an instrument of a portfolio has it; ParameterError where `rules` names more than its contract."""
    for name in rules:
        if name not in CONTRACT:
            raise ParameterError(
                f"account rule {name} is the same for all instruments of a portfolio; its own each may have "
                f"{', '.join(CONTRACT)}"
            )
    return make_account({**account._asdict(), **rules})


@lru_cache(maxsize=4096)
def make_rules(account: Account) -> Rules:
    """Check an account and turn it into the simulator's rules; ParameterError names rule and value."""
    _check(account)
    a = account
    return Rules(
        *(float(a.initial_cash), float(a.trade_on == "close")),
        *(a.fee_bps / 10_000, float(a.fixed_fee), float(a.min_fee), a.fee_per_contract / a.multiplier),
        *((a.slippage_bps + a.spread_bps / 2) / 10_000, float(a.tick_size)),
        *(float(a.fixed_fraction), float(a.fixed_cash), float(a.risk_per_trade), float(a.max_leverage)),
        *(float(a.lot_size * a.multiplier), float(a.min_notional), float(a.rebalance_threshold)),
        float(a.max_volume_share * a.multiplier),
        *(float(a.stop_pct), float(a.take_profit_pct), float(a.trailing_stop_pct)),
        *(float(a.max_holding_bars), float(a.intrabar == "best")),
        *(a.borrow_bps / 10_000, a.funding_bps / 10_000, float(a.maintenance_margin), float(a.max_drawdown_stop)),
    )


def check_rule(name: str, value: object) -> None:
    """ParameterError when one rule alone can never have this value, whatever the others are."""
    if name in _WORDS:
        if value not in _WORDS[name]:
            raise ParameterError(f"account rule {name} = {value!r} must be {' or '.join(map(repr, _WORDS[name]))}")
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ParameterError(f"account rule {name} = {value!r} must be a finite number that is not negative")
    if value < 0 and name != "funding_bps":
        raise ParameterError(f"account rule {name} = {value!r} must be a finite number that is not negative")
    if name in _WHOLE and value != int(value):
        raise ParameterError(f"account rule {name} = {value!r} must be a whole number of bars")
    if name in _BELOW_ONE and value >= 1:
        raise ParameterError(f"account rule {name} = {value!r} must be below 1 (0.02 is 2 %)")
    if name in _BPS and abs(value) >= 10_000:
        raise ParameterError(f"account rule {name} = {value!r} must be below 10000 (100 %)")
    if name in ("initial_cash", "max_leverage", "multiplier") and value <= 0:
        raise ParameterError(f"account rule {name} = {value!r} must be above 0")


def _check(account: Account) -> None:
    for name, value in account._asdict().items():
        check_rule(name, value)
    if account.slippage_bps + account.spread_bps / 2 >= 10_000:
        raise ParameterError("account rules slippage_bps + spread_bps / 2 must be below 10000 (100 %)")
    if len(chosen := [name for name in SIZINGS if getattr(account, name) > 0]) > 1:
        raise ParameterError(f"account rules {' and '.join(chosen)} both set the position's size; choose one")
    if account.risk_per_trade > 0 and account.stop_pct == 0 and account.trailing_stop_pct == 0:
        raise ParameterError("account rule risk_per_trade needs a stop: set stop_pct or trailing_stop_pct")
    if account.volatility_target > 0 and account.volatility_window < 2:
        raise ParameterError(f"account rule volatility_window = {account.volatility_window} must be at least 2 bars")
