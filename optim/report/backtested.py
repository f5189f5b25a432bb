"""One backtest of a study's strategy on its searched bars: made, printed, and as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.report.files import text_report
from optim.errors import OptimError, SpecError, counted, cut
from optim.problem.plan import Plan
from optim.problem.point import Asked, Given, by_name, task_of, window
from optim.report.chart import line_of
from optim.report.showcase import SEARCHED, instrument_names, named
from optim.spec.expressions import suggestion
from optim.verdict.finite import finite
from optim.workers.pool import Pool

if TYPE_CHECKING:
    import pandas as pd

    from engine.report.result import BacktestResult

TRADES = 10  # that are printed


class Stretch(NamedTuple):
    """Which of the searched bars: an instrument by name, the only one by default, from start to end inclusive."""

    instrument: str | None = None
    start: str | None = None
    end: str | None = None


WHOLE = Stretch()


def backtest(plan: Plan, params: Asked, on: Stretch, pool: Pool) -> BacktestResult:
    """A backtest of parameters and account rules, where `pool` runs the study's trials.

    Raises SpecError for what cannot be run, OptimError when the strategy fails.
    """
    given = params if isinstance(params, Given) else by_name(plan, params)
    names = instrument_names(plan)
    number = _number(plan, names, on.instrument)
    (result,) = pool.run([task_of(plan, given, window(plan, number, on.start, on.end))])
    if error := next((outcome.error for outcome in result.outcomes if outcome.error), ""):
        raise OptimError(f"{plan.spec.path}: the backtest failed: {cut(error, 300)}")
    return named(plan, result.backtests[0])._replace(instrument=names[number], sample=SEARCHED)


def _number(plan: Plan, names: list[str], wanted: str | None) -> int:
    if wanted is None and len(names) > 1:
        raise SpecError(f"{plan.spec.path}: there are {len(names)} instruments; name one: {cut(', '.join(names))}")
    if wanted is not None and wanted not in names:
        raise SpecError(f"{plan.spec.path}: no instrument {wanted!r}{suggestion(wanted, names)}")
    return 0 if wanted is None else names.index(wanted)


def print_backtest(console: Console, result: BacktestResult) -> None:
    """Its metrics, its equity in one line, its last trades."""
    console.print(text_report(result), end="", highlight=False, markup=False, soft_wrap=True)
    title = f"Equity, {result.equity.min():,.0f} to {result.equity.max():,.0f}"
    console.print(f"\n{title}\n{line_of(result.equity.to_numpy())}", highlight=False, markup=False)
    if len(result.trades):
        console.print(_trades(result))
    else:
        console.print("\nNo trades.")


def as_object(result: BacktestResult, trial: int | None) -> dict[str, Any]:
    """All of it as plain data; what is undefined is null, times are UTC."""
    return {
        "trial": trial,
        "instrument": result.instrument,
        **{key: value for key, value in result.config.items() if key != "data_sha256"},
        "metrics": finite(result.metrics),
        "trades": _rows(result.trades, "entry_time", "exit_time"),
        "fills": _rows(result.fills, "time"),
    }


def _rows(table: pd.DataFrame, *times: str) -> list[dict[str, Any]]:
    written = table.assign(**{name: table[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in times})
    return [finite(row) for row in written.to_dict("records")]


def _trades(result: BacktestResult) -> Table:
    last = result.trades.tail(TRADES)
    left = len(result.trades) - len(last)
    table = Table(title=f"Trades (the last {TRADES} of {len(result.trades)})" if left else
                  counted(len(last), "trade").capitalize(), title_justify="left", box=None)  # fmt: skip
    several = "instrument" in last
    for name in (*(("of",) if several else ()), "in", "out", "at", "to", "return", "bars", "exit"):
        table.add_column(name, justify="left" if name in ("of", "in", "out", "exit") else "right", no_wrap=True)
    whole_days = bool((result.equity.index == result.equity.index.normalize()).all())  # type: ignore[attr-defined]
    for row in last.to_dict("records"):
        times = (_time(row["entry_time"], whole_days), _time(row["exit_time"], whole_days))
        prices = (f"{row['entry_price']:.6g}", f"{row['exit_price']:.6g}")
        of = (escape(row["instrument"]),) if several else ()
        table.add_row(*of, *times, *prices, f"{row['return']:.2%}", str(row["bars_held"]), row["exit_reason"])
    return table


def _time(time: pd.Timestamp, whole_days: bool) -> str:
    return time.strftime("%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M")
