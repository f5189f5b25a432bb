"""The account rules of a backtest. 0 means off, everywhere. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from engine.errors import ParameterError


class Account(NamedTuple):
    """Rules a backtest trades under; see docs/engine.md for the exact arithmetic of each."""

    initial_cash: float = 10_000.0
    fee_bps: float = 0.0  # of the notional, per side
    slippage_bps: float = 0.0  # of the price, per side, against the trader


class Rules(NamedTuple):
    """The account as the compiled simulator takes it: floats only, fractions instead of basis points."""

    initial_cash: float
    fee: float
    slippage: float


def make_account(values: Mapping[str, object]) -> Account:
    """An Account from names and values; ParameterError on an unknown name or a value out of range."""
    if unknown := [name for name in values if name not in Account._fields]:
        raise ParameterError(f"unknown account rule {', '.join(unknown)}; there are {', '.join(Account._fields)}")
    account = Account(**values)  # type: ignore[arg-type]
    make_rules(account)
    return account


@lru_cache(maxsize=4096)
def make_rules(account: Account) -> Rules:
    """Check an account and turn it into the simulator's rules; ParameterError names rule and value."""
    for name, value in account._asdict().items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise ParameterError(f"account rule {name} = {value!r} must be a finite number that is not negative")
    if account.initial_cash <= 0:
        raise ParameterError(f"account rule initial_cash = {account.initial_cash} breaks the rule initial_cash > 0")
    if account.slippage_bps >= 10_000 or account.fee_bps >= 10_000:
        raise ParameterError("account rules fee_bps and slippage_bps must be below 10000 (100 %)")
    return Rules(float(account.initial_cash), account.fee_bps / 10_000, account.slippage_bps / 10_000)
