"""The tables of a backtest, as a reader sees them: times, quantities and reasons instead of bars, units and codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.compiled.arrays import Array, Integers
from engine.simulator.columns import EXIT_REASONS, FILL_COLUMNS, FILL_REASONS, TRADE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    from engine.simulator.simulate import Simulation


class Ledger(NamedTuple):
    """What a simulation wrote down, as arrays: tables are made of it when somebody looks."""

    timestamp: Integers  # (n_bars,), ns since 1970, UTC
    equity: Array  # (n_bars,)
    market: Array  # (n_bars,), 1.0 at the first bar
    trades: Array  # (n_trades, TRADE_COLUMNS)
    fills: Array  # (n_fills, FILL_COLUMNS)
    multipliers: Sequence[float]  # units of a quantity, for each instrument
    instruments: Sequence[int | str]  # of a portfolio, as tables call them; empty for one instrument


def ledger_of(timestamp: Integers, run: Simulation, market: Array, multipliers: Sequence[float]) -> Ledger:
    """What a simulation wrote down, without the room it had for more. market: the price of buying and holding."""
    written = run.trades.copy(), run.fills.copy()
    instruments = tuple(range(run.n_instruments)) if run.n_instruments > 1 else ()
    return Ledger(timestamp, run.equity, market / market[0], *written, multipliers, instruments)


def times_table(ledger: Ledger) -> pd.DatetimeIndex:
    """The times of the bars."""
    import pandas as pd

    return pd.DatetimeIndex(ledger.timestamp.astype("datetime64[ns]"), tz="UTC", name="timestamp")


def trades_table(ledger: Ledger) -> pd.DataFrame:
    """One row per round trip, in the order in which they ended; of a portfolio with its instrument."""
    import pandas as pd

    times, multipliers = times_table(ledger), ledger.multipliers
    table = pd.DataFrame(ledger.trades, columns=list(TRADE_COLUMNS))
    entry, leave = table["entry_bar"].to_numpy(np.int64), table["exit_bar"].to_numpy(np.int64)
    shown = pd.DataFrame({"entry_time": times[entry], "exit_time": times[leave]})
    for name in ("entry_price", "exit_price", "size", "pnl"):
        shown[name] = table[name]
    shown["size"] /= table["instrument"].astype(int).map(dict(enumerate(multipliers)))
    shown["return"] = table["pnl"] / (table["entry_price"] * table["size"].abs())
    shown["fees"] = table["fees"]
    shown["bars_held"] = leave - entry
    shown["exit_reason"] = [EXIT_REASONS[int(reason)] for reason in table["exit_reason"]]
    if ledger.instruments:
        shown.insert(0, "instrument", [ledger.instruments[int(i)] for i in table["instrument"]])
    return shown


def fills_table(ledger: Ledger) -> pd.DataFrame:
    """One row per fill, in the order of their filling; `trade` is the row of the table of trades it belongs to."""
    import pandas as pd

    times = times_table(ledger)
    table = dict(zip(FILL_COLUMNS, ledger.fills.T, strict=True))
    which = table["instrument"].astype(np.int64)
    units = np.array(ledger.multipliers, float)[which]
    shown = pd.DataFrame(
        {
            "time": times[table["bar"].astype(np.int64)],
            "trade": _trade_of_each(which, table["position"], ledger.trades[:, 0].astype(np.int64)),
            "size": table["size"] / units,
            "price": table["price"],
            "fee": table["fee"],
            "reason": [FILL_REASONS[int(reason)] for reason in table["reason"]],
            "position": table["position"] / units,
        }
    )
    if ledger.instruments:
        shown.insert(0, "instrument", [ledger.instruments[i] for i in which])
    return shown


def _trade_of_each(which: Integers, after: Array, traded: Integers) -> Integers:
    """The trade of each fill: those of an instrument follow one another, and end where nothing is held any more."""
    found = np.empty(len(which), np.int64)
    for instrument in np.unique(which):
        own = which == instrument
        ended = np.cumsum(after[own] == 0.0)
        found[own] = np.flatnonzero(traded == instrument)[np.r_[0, ended[:-1]]]
    return found
