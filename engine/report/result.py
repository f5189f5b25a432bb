"""One backtest as plain data: a process reads and draws it without loading the engine's kernels."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.metrics.catalogue import bracketed
from engine.report.tables import Ledger, fills_table, times_table, trades_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from engine.compiled.arrays import Array
    from engine.simulator.account import Account


class _Parts(NamedTuple):
    strategy: str
    params: dict[str, Any]
    account: Account
    metrics: dict[str, float]
    ledger: Ledger
    config: dict[str, Any]  # what the result depends on: strategy, params, account, clock, data
    instrument: str = ""  # what was traded, where a reader needs to be told
    sample: str = ""  # what the bars are to a search, "in-sample" or "hold-out"; "" where there was none


class BacktestResult(_Parts):
    """One backtest: plain data, picklable. Its tables are made when they are looked at: pandas takes time to load."""

    def __getstate__(self) -> None:
        """What was made of the parts does not travel."""

    @property
    def days(self) -> float:
        """From its first bar to its last."""
        return float(self.ledger.timestamp[-1] - self.ledger.timestamp[0]) / 86_400e9

    @cached_property
    def equity(self) -> pd.Series[float]:
        """Marked at the close of every bar, UTC index."""
        return self._series(self.ledger.equity, "equity")

    @cached_property
    def market(self) -> pd.Series[float]:
        """The price of buying and holding, 1.0 at the first bar."""
        return self._series(self.ledger.market, "buy_and_hold")

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per round trip; exit_reason "open" for a position still held."""
        return trades_table(self.ledger)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row per fill: time, trade (a row of trades), size, price, fee, reason, position after it."""
        return fills_table(self.ledger)

    def _series(self, values: Array, name: str) -> pd.Series[float]:
        import pandas as pd

        return pd.Series(values, index=times_table(self.ledger), name=name)

    @property
    def returns(self) -> pd.Series[float]:
        """Simple returns per bar, the first one from the initial cash."""
        import pandas as pd

        equity = self.equity.to_numpy()
        before = np.r_[self.account.initial_cash, equity[:-1]]
        growth = np.divide(equity, before, out=np.ones(len(equity)), where=before > 0)
        return pd.Series(growth - 1.0, index=self.equity.index, name="returns")

    @property
    def drawdown(self) -> pd.Series[float]:
        """Equity / highest equity so far - 1, never above 0."""
        peak = self.equity.cummax().clip(lower=self.account.initial_cash)
        return (self.equity / peak - 1).rename("drawdown")

    def plot(self) -> Figure:
        """Equity against buying and holding, above the drawdown, as a matplotlib Figure."""
        from engine.report.figures import summary_figure

        return summary_figure(self)

    def __repr__(self) -> str:
        """In one line: a result holds whole tables."""
        sharpe = self.metrics.get("sharpe_ratio", float("nan"))
        shown = bracketed("sharpe_ratio", f"{sharpe:.4g}", self.days)
        return f"BacktestResult({self.strategy!r}, {self.params}, {len(self.trades)} trades, sharpe_ratio {shown})"

    def _repr_html_(self) -> str:
        from engine.report.notebook import backtest_html

        return backtest_html(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write plots/, reports/, config/, the trades and the fills below `folder`; returns the files."""
        from engine.report.files import save

        return save(self, Path(folder))

    def tearsheet(self, path: str | Path) -> Path:
        """Write QuantStats' tear sheet of this backtest (extra `tearsheet`), an HTML page; returns its path."""
        from engine.report.tearsheet import tearsheet

        return tearsheet(self, Path(path))
