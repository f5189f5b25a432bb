"""The winner: in words, beside buying and holding, its account, its months, its trades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.metrics.catalogue import IN_BRACKETS, METRICS, bracketed, metric_text
from engine.report.course import course, times_of
from engine.report.drawn import grown, thinned
from optim.errors import counted, value_text
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.report.console import NONE_FEASIBLE, SHOWN
from optim.report.html.values import (
    Block,
    Chart,
    Missing,
    Section,
    Table,
    Trading,
    Value,
    row,
)
from optim.report.showcase import Window, traded_names
from optim.report.summary import Summary
from optim.spec.secrets import mask

if TYPE_CHECKING:
    from engine.report.result import BacktestResult

MOST = 6  # instruments that are drawn
_MOST_TRADES = 250  # fills of a kind on one chart
_FAILED = Missing("The winner's backtest over all searched bars failed.")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def winner_section(plan: Plan, summary: Summary, changed: Sequence[str]) -> Section:
    """Who won, with what, and every metric beside buying and holding.

    changed: what is no longer as it was when it was searched.
    """
    best = summary.best
    if best is None:
        return Section("winner", "The winner", (_nobody(summary),))
    blocks: list[Block] = [_in_words(summary)]
    if changed:
        blocks.append(Missing(f"What is run here is no longer what was searched: {'; '.join(changed)}."))
    if len(summary.objectives) > 1:
        blocks.append(f"It is the best of the Pareto front by {summary.objectives[0]}; the front has "
                      f"{counted(len(summary.top), 'trial')}.")  # fmt: skip
    for name, window in (("In one run", summary.winner.searched), ("On the hold-out", summary.winner.holdout)):
        if window is not None and window.error:
            blocks.append(Missing(mask(f"{name}: {window.error}", plan.storage, plan.tracking_uri)))
    blocks += [_parameters(plan, summary), metrics_table(summary), f"Annualised with {summary.clock}."]
    if summary.short:
        blocks.append(IN_BRACKETS)
    return Section("winner", "The winner", tuple(blocks))


def metrics_table(summary: Summary) -> Table:
    """Every shown metric: over the search's cells, in one run, of buying and holding, both on an opened hold-out."""
    columns = [(f"in the search, {summary.cells}", summary.in_sample(), summary.cell_days)]
    headings = ("in one run", "buying and holding", "hold-out", "buying and holding there")
    for heading, window in zip(headings, summary.winner, strict=True):
        if window is not None:
            columns.append((heading, dict(window.metrics), window.days))
    columns = [*columns[1:3], columns[0], *columns[3:]]
    rows = [
        row(spelled(name), *(metric_value(name, found.get(name), days) for _, found, days in columns))
        for name in dict.fromkeys((*(o for o in summary.objectives if o in summary.metrics), *SHOWN))
        if name in summary.metrics
    ]
    for name, value in zip(summary.objectives, summary.best.values if summary.best else (), strict=False):
        if name not in summary.metrics:  # an expression, a function: known of the search alone
            dashes = ["–" for _ in columns]
            rows.insert(0, row(name, *dashes[:2], Value(f"{value:.4f}", value), *dashes[3:]))
    return Table(("metric", *(heading for heading, _, _ in columns)), tuple(rows))


def metric_value(name: str, value: float | None, days: float) -> Value:
    """A metric as the terminal prints it."""
    exact = None if value is None or np.isnan(value) else float(value)
    return Value(metric_text(name, value, days).replace("-", "−"), exact)


def spelled(metric: str) -> str:
    """A metric's name for a reader."""
    usual = {"cagr": "CAGR", "n_trades": "Trades", "max_drawdown": "Maximum drawdown"}
    return usual.get(metric) or metric.replace("_", " ").capitalize()


def equity_section(summary: Summary) -> Section:
    """The winner's account over the searched bars, and on the hold-out where that was opened."""
    searched, held, opened, _ = summary.winner
    blocks = tuple(account_blocks(searched, held, opened)) if searched else ()
    return Section("equity", "Equity and drawdown", blocks or (_FAILED,))


def account_blocks(window: Window, held: Window | None, opened: Window | None = None) -> Iterator[Block]:
    """A chart for each account; beside it the account that buys and holds, where there is one, else the market.

    opened: the hold-out, drawn on the same axis.
    """
    count = len(window.backtests)
    benchmarks = held.backtests if held and held.backtests else (None,) * count
    after = opened.backtests if opened and opened.backtests else (None,) * count
    for one, other, later in list(zip(window.backtests, benchmarks, after, strict=True))[:MOST]:
        text = "equity, and below it the drawdown"
        if later is not None:
            text += "; behind the line the opened hold-out, where both go on with what they had"
        yield Chart(course(one, other, later).thinned(), f"{one.instrument}: {text}.")
    yield from not_drawn(count)


def not_drawn(count: int) -> Iterator[str]:
    """How many of so many instruments are left out."""
    if count > MOST:
        yield f"{counted(count - MOST, 'more instrument')} not drawn."


def months_section(summary: Summary) -> Section:
    """Return of every calendar month."""
    window = summary.winner.searched
    found = window.backtests if window else ()
    tables: tuple[Block, ...] = (*(months_table(one) for one in found[:MOST]), *not_drawn(len(found)))
    return Section("months", "Monthly returns", tables or (_FAILED,))


def months_table(result: BacktestResult) -> Table:
    """Years down, months across; in per cent, in UTC."""
    times, returns = times_of(result), np.asarray(result.returns, np.float64)
    months, years = grown(returns, times, "M"), grown(returns, times, "Y")
    held = grown(np.asarray(result.market.pct_change().fillna(0.0), np.float64), times, "Y")
    bound = float(np.quantile(np.abs(list(months.values())), 0.9)) or 1.0
    rows = []
    for year in range(min(years), max(years) + 1):
        cells = [_share(one, _tone(one, bound)) for one in (months.get(12 * year + k) for k in range(12))]
        rows.append(
            row(str(1970 + year), *cells, *(_share(one.get(year), _sign(one.get(year))) for one in (years, held)))
        )
    told = f"{result.instrument}, per cent; beside each year that of its market"
    return Table(("year", *_MONTHS, "year's", "market's"), tuple(rows), told, "months")


def trades_section(plan: Plan, summary: Summary) -> Section:
    """Where the winner bought and sold, on the searched bars."""
    window = summary.winner.searched
    if window is None or not window.backtests:
        return Section("trades", "Trades", (_FAILED,))
    blocks: list[Block] = []
    names = traded_names(plan)
    for i, bars in enumerate(searched_bars(plan)[:MOST]):
        result = window.backtests[0 if plan.spec.portfolio else i]
        trades = result.trades
        if "instrument" in trades:
            trades = trades[trades["instrument"] == names[i]]
        told = f"{plan.datasets[i].name}: {counted(len(trades), 'trade')} on the closes"
        if held := int((trades["exit_reason"] == "open").sum()):
            told += f", {held} of them still open"
        if len(trades) > _MOST_TRADES:
            told += f"; the last {_MOST_TRADES} are drawn"
        trades = trades.tail(_MOST_TRADES)
        ends = trades["exit_reason"] != "open"
        enter = (_naive(trades["entry_time"]), trades["entry_price"].to_numpy(float))
        leave = (_naive(trades["exit_time"]), trades["exit_price"].to_numpy(float))
        long = trades["size"].to_numpy(float) > 0
        bought = tuple(np.r_[a[long], b[~long & ends]] for a, b in zip(enter, leave, strict=True))
        sold = tuple(np.r_[a[~long], b[long & ends]] for a, b in zip(enter, leave, strict=True))
        kept = thinned(bars.close)
        times = bars.timestamp.astype("datetime64[ns]")[kept]
        blocks.append(Chart(Trading(times, bars.close[kept], bought, sold), f"{told}."))
    return Section("trades", "Trades", (*blocks, *not_drawn(len(plan.datasets))))


def definitions(summary: Summary) -> Table:
    """What each shown metric is."""
    names = [name for name in SHOWN if name in summary.metrics]
    names += [name for name in summary.objectives if name in METRICS and name not in names]
    return Table(("metric", "is"), tuple(row(spelled(name), METRICS[name].description) for name in names), kind="facts")


def _nobody(summary: Summary) -> Missing:
    if not any(summary.counts[kind] for kind in ("complete", "pruned", "failed")):
        return Missing("No trial has ended yet.")
    if summary.counts["failed"] == sum(summary.counts[kind] for kind in ("complete", "pruned", "failed")):
        return Missing("Every trial failed; the reasons are below.")
    return Missing(NONE_FEASIBLE)


def _in_words(summary: Summary) -> str:
    best, (own, held, *_) = summary.best, summary.winner
    assert best is not None
    values = ", ".join(
        f"{name} {bracketed(name, f'{value:.4g}'.replace('-', '−'), summary.cell_days)}"
        for name, value in zip(summary.objectives, best.values, strict=True)
    )
    said = f"Trial {best.number} won the search with {values}."
    if own is None or held is None or not own.metrics or not held.metrics:
        return said
    mine, theirs = ({name: metric_text(name, w.metrics.get(name), w.days) for name in SHOWN} for w in (own, held))
    trades = counted(int(own.metrics.get("n_trades", 0)), "closed trade")
    text = (
        f"{said} In one run over the {own.days / 365.25:.1f} searched years it made {mine['total_return']}; buying and "
        f"holding made {theirs['total_return']}. Its deepest fall was {mine['max_drawdown']}, against "
        f"{theirs['max_drawdown']}. It held a position {mine['exposure']} of the time, in {trades}."
    )
    return text.replace(" -", " −")


def _parameters(plan: Plan, summary: Summary) -> Table:
    assert summary.best is not None
    rows = []
    for parameter in plan.space.parameters:
        if parameter.name not in summary.best.params:
            continue
        low, high = value_text(parameter.low), value_text(parameter.high)
        among = ", ".join(map(str, parameter.choices)) if parameter.choices else f"{low} to {high}"
        rows.append(row(parameter.name, value_text(summary.best.params[parameter.name]), among))
    rows += [row(name, value_text(value), "fixed") for name, value in plan.spec.strategy.fixed.items()]
    return Table(("parameter", "value", "searched among"), tuple(rows), kind="facts")


def _share(value: float | None, tone: str) -> Value:
    if value is None:
        return Value("")
    return Value(f"{round(100 * value, 1) + 0.0:.1f}".replace("-", "−"), value, tone)  # + 0.0: no minus nought


def _sign(value: float | None) -> str:
    return "" if value is None else "gain0" if value >= 0 else "loss0"


def _tone(value: float | None, bound: float) -> str:
    if value is None or value == 0:
        return ""
    return f"{'gain' if value > 0 else 'loss'}{min(4, 1 + int(4 * abs(value) / bound))}"


def _naive(times: object) -> np.ndarray:
    import pandas as pd

    return pd.DatetimeIndex(times).tz_convert(None).to_numpy()  # type: ignore[arg-type]
