"""The account rules of a backtest. 0 means off, everywhere."""

from typing import NamedTuple


class Account(NamedTuple):
    """Rules a backtest trades under; see docs/engine.md for the exact arithmetic of each."""

    initial_cash: float = 10_000.0
    fee_bps: float = 0.0
    slippage_bps: float = 0.0
