"""One backtest as plain data: a process reads and draws it without loading the engine's kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from engine.simulator.account import Account


class BacktestResult(NamedTuple):
    """One backtest: plain data, picklable."""

    strategy: str
    params: dict[str, Any]
    account: Account
    metrics: dict[str, float]
    equity: pd.Series[float]  # marked at the close of every bar, UTC index
    trades: pd.DataFrame  # one row per round trip; exit_reason "open" for a position still held
    fills: pd.DataFrame  # one row per fill: time, trade (a row of trades), size, price, fee, reason, position after it
    market: pd.Series[float]  # price of buying and holding, 1.0 at the first bar
    config: dict[str, Any]  # what the result depends on: strategy, params, account, clock, data
    instrument: str = ""  # what was traded, where a reader needs to be told
    sample: str = ""  # what the bars are to a search, "in-sample" or "hold-out"; "" where there was none

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
        return f"BacktestResult({self.strategy!r}, {self.params}, {len(self.trades)} trades, sharpe_ratio {sharpe:.4g})"

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
