"""The course of an account beside its market, over the bars of one backtest and those that follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.report.drawn import Floats, Times, thinned, wants_log
from engine.report.shown import Backtest
from engine.report.words import subject


class Course(NamedTuple):
    """An account beside buying and holding, all of one length; depths are shares, never above 0."""

    times: Times
    account: Floats
    held: Floats
    depth: Floats
    held_depth: Floats
    log: bool  # whether the axis is to be logarithmic
    title: str
    since: np.datetime64 | None  # where the later bars begin

    def thinned(self) -> Course:
        """As many points as a screen shows."""
        kept = thinned(self.account, self.held, self.depth)
        return self._replace(
            times=self.times[kept],
            account=self.account[kept],
            held=self.held[kept],
            depth=self.depth[kept],
            held_depth=self.held_depth[kept],
        )


def course(one: Backtest, benchmark: Backtest | None = None, later: Backtest | None = None) -> Course:
    """A backtest beside the account that buys and holds, or its market where there is none.

    later: a backtest of the bars that follow, from fresh capital, on the same axis: account and market go on with what
    they had, both from its first close on; the move up to that close is in neither.
    """
    cash = one.account.initial_cash
    times, account = times_of(one), np.asarray(one.equity, np.float64)
    held = np.asarray(cash * one.market if benchmark is None else benchmark.equity, np.float64)
    title, since = subject(one), None
    if later is not None:
        after = times_of(later)
        since, times = after[0], np.r_[times, after]
        account = np.r_[account, account[-1] / later.account.initial_cash * np.asarray(later.equity, np.float64)]
        held = np.r_[held, held[-1] * np.asarray(later.market, np.float64)]
        title = f"{title}; {later.sample} to {str(after[-1])[:10]}"
    return Course(
        times, account, held, _depth(account, cash), _depth(held, cash), wants_log(times, account, held), title, since
    )


def times_of(result: Backtest) -> Times:
    """The times of its bars, in UTC."""
    import pandas as pd

    return pd.DatetimeIndex(result.equity.index).tz_convert(None).to_numpy()


def _depth(account: Floats, cash: float) -> Floats:
    return account / np.maximum(np.maximum.accumulate(account), cash) - 1.0
