"""The tables of a backtest, as a reader sees them: times, quantities and reasons instead of bars, units and codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.simulator.fills import FILL_COLUMNS
from engine.simulator.orders import EXIT_REASONS, FILL_REASONS, TRADE_COLUMNS
from engine.simulator.simulate import Simulation

if TYPE_CHECKING:
    import pandas as pd


def trades_table(run: Simulation, times: pd.DatetimeIndex, multipliers: Sequence[float]) -> pd.DataFrame:
    """One row per round trip, in the order in which they ended; of a portfolio with its instrument.

    times: of the bars. multipliers: units of a quantity, for each instrument.
    """
    import pandas as pd

    table = pd.DataFrame(run.trades, columns=list(TRADE_COLUMNS))
    entry, leave = table["entry_bar"].to_numpy(np.int64), table["exit_bar"].to_numpy(np.int64)
    shown = pd.DataFrame({"entry_time": times[entry], "exit_time": times[leave]})
    for name in ("entry_price", "exit_price", "size", "pnl"):
        shown[name] = table[name]
    shown["size"] /= table["instrument"].astype(int).map(dict(enumerate(multipliers)))
    shown["return"] = table["pnl"] / (table["entry_price"] * table["size"].abs())
    shown["fees"] = table["fees"]
    shown["bars_held"] = leave - entry
    shown["exit_reason"] = [EXIT_REASONS[int(reason)] for reason in table["exit_reason"]]
    if run.n_instruments > 1:
        shown.insert(0, "instrument", table["instrument"].astype(int))
    return shown


def fills_table(run: Simulation, times: pd.DatetimeIndex, multipliers: Sequence[float]) -> pd.DataFrame:
    """One row per fill, in the order of their filling; `trade` is the row of the table of trades it belongs to.

    times and multipliers as for trades_table.
    """
    import pandas as pd

    table = dict(zip(FILL_COLUMNS, run.fills.T, strict=True))
    which = table["instrument"].astype(np.int64)
    units = np.array(multipliers, float)[which]
    shown = pd.DataFrame(
        {
            "time": times[table["bar"].astype(np.int64)],
            "trade": _trade_of_each(which, table["position"], run.trades[:, 0].astype(np.int64)),
            "size": table["size"] / units,
            "price": table["price"],
            "fee": table["fee"],
            "reason": [FILL_REASONS[int(reason)] for reason in table["reason"]],
            "position": table["position"] / units,
        }
    )
    if run.n_instruments > 1:
        shown.insert(0, "instrument", which)
    return shown


def _trade_of_each(which: Integers, after: Array, traded: Integers) -> Integers:
    """The trade of each fill: those of an instrument follow one another, and end where nothing is held any more."""
    found = np.empty(len(which), np.int64)
    for instrument in np.unique(which):
        own = which == instrument
        ended = np.cumsum(after[own] == 0.0)
        found[own] = np.flatnonzero(traded == instrument)[np.r_[0, ended[:-1]]]
    return found
