"""What is shown of a backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from engine.simulator.account import Account


class Backtest(Protocol):
    """What a report is made of; engine.report.result.BacktestResult is one."""

    @property
    def strategy(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def params(self) -> dict[str, Any]: ...
    @property
    def account(self) -> Account: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def equity(self) -> pd.Series[float]: ...
    @property
    def market(self) -> pd.Series[float]: ...
    @property
    def trades(self) -> pd.DataFrame: ...
    @property
    def returns(self) -> pd.Series[float]: ...
    @property
    def drawdown(self) -> pd.Series[float]: ...
