"""The terminal: tables when a search has ended, and what a machine reads instead."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.metrics.catalogue import IN_BRACKETS, bracketed, metric_text
from optim.errors import counted, value_text
from optim.report.judged import print_verdict, validate_command
from optim.report.summary import Summary
from optim.tracking.info import MirrorReport
from optim.verdict.finite import finite
from optim.verdict.pruning import as_plain

# The metrics of the closing table, in this order, where the engine has them.
SHOWN = (
    "sharpe_ratio", "sortino_ratio", "calmar_ratio", "total_return", "cagr", "annual_volatility", "max_drawdown",
    "n_trades", "win_rate", "profit_factor", "exposure", "turnover", "fees_paid",
)  # fmt: skip
NONE_FEASIBLE = (
    "No trial is feasible: loosen the constraints, widen the search space, raise n_trials, or take fewer folds where a "
    "cell is too short to trade in."
)


def print_summary(console: Console, summary: Summary, params_toml: str) -> None:
    """The closing tables: top trials, the winner in-sample, the verdict, its parameters to paste."""
    print_found(console, summary)
    print_judged(console, summary, params_toml)


def print_found(console: Console, summary: Summary) -> None:
    """What the search has found, or why it found nothing. The hold-out is there once it has been opened."""
    counts = summary.counts
    console.print(
        f"\n{summary.name}: {counted(sum(counts[k] for k in ('complete', 'pruned', 'failed')), 'trial')} "
        f"({counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} failed; "
        f"{counts['infeasible']} infeasible), {summary.reason}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    obstacles = {} if summary.best is not None else summary.obstacles
    for kind, found in (("failed", summary.failures), ("infeasible", obstacles)):
        for reason, number in found.items():
            console.print(f"  {number} {kind}: {reason}", highlight=False, markup=False, soft_wrap=True)
    if not any(counts[k] for k in ("complete", "pruned", "failed")):
        console.print("No trial has ended yet; the same command goes on.")
        return
    if summary.best is None and counts["failed"] == sum(counts[k] for k in ("complete", "pruned", "failed")):
        console.print(
            "Every trial failed: mend the strategy; `optim check strategy FILE.py:function` helps.", soft_wrap=True
        )
        return
    if summary.best is None:
        console.print(NONE_FEASIBLE, soft_wrap=True)
        return
    console.print(_top_table(summary))
    if len(summary.objectives) > 1:
        text = f"Shown below: trial {summary.best.number}, the best of the front by {summary.objectives[0]}."
        console.print(text, highlight=False, markup=False)
    print_metrics(console, summary)


def print_judged(console: Console, summary: Summary, params_toml: str) -> None:
    """The verdict on the winner, if there is one, and its parameters."""
    if summary.best is None:
        return
    if summary.pruning is not None:
        console.print(f"\n{summary.pruning.sentence}", highlight=False, markup=False, soft_wrap=True)
    print_verdict(console, summary.verdict, validate_command(summary.paths["study"], summary.flags))
    console.print(f"\n[bold]Best parameters[/] (trial {summary.best.number}), ready to paste:\n")
    console.print(params_toml, highlight=False, markup=False, soft_wrap=True)


def print_metrics(console: Console, summary: Summary) -> None:
    """The winner's metrics, and what a reader must know of them."""
    headings, rows = metric_rows(summary)
    title, shown = f"Trial {summary.best.number if summary.best else ''}", len(headings)
    if summary.winner.holdout is not None:  # a table of its own: five columns are more than 80 characters have room for
        shown -= 2
    console.print(_metrics_table(title, headings[:shown], [row[: shown + 1] for row in rows]))
    if headings[shown:]:
        rest = [[row[0], *row[shown + 1 :]] for row in rows]
        console.print(_metrics_table(f"{title} on the hold-out", headings[shown:], rest))
    for name, window in (("searched bars in one run", summary.winner.searched), ("hold-out", summary.winner.holdout)):
        if window and window.error:
            console.print(f"{name}: {window.error}", highlight=False, markup=False, soft_wrap=True)
    _print_notes(console, summary)


def print_commands(console: Console, summary: Summary, report: MirrorReport | None) -> None:
    """How to look at the study, and what is missing in MLflow, if anything."""
    later = f"python -m optim sync {shlex.quote(summary.paths['study'])}{summary.flags}"
    for line in () if report is None else _missing(report, later):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    looked_at = dict(summary.commands)
    if report is not None and report.error and not report.interrupted and "mlflow" in looked_at:
        looked_at["mlflow"] = f"{later}    (MLflow, once it answers)"  # no link that leads nowhere
    console.print("[bold]Look at it:[/]")
    for command in looked_at.values():
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def _missing(report: MirrorReport, later: str) -> Iterator[str]:
    """What MLflow lacks, why, and what brings it there, in one line: it may be the only one that is read."""
    if report.note:
        yield f"{report.note}."
    if not report.complete:
        missing = f"{counted(report.missing, 'trial')} {'is' if report.missing == 1 else 'are'} in the record"
        why = f"{report.error.rstrip('.')}; " if report.error else ""
        prefix = "" if why.startswith("MLflow") or not why else "MLflow: "
        lacking = f"{missing} but not in MLflow yet" if report.missing else "the study is not complete in MLflow yet"
        yield f"{prefix}{why}{lacking}: {later}"


def as_json(summary: Summary, report: MirrorReport | None) -> dict[str, Any]:
    """The result as one plain object; what is undefined is null."""
    best = summary.best
    return {
        "study": summary.name,
        "reason": summary.reason,
        "best": None
        if best is None
        else {
            "number": best.number,
            "values": dict(zip(summary.objectives, best.values, strict=True)),
            "params": best.params,
        },
        "metrics": {
            "in_sample": finite(summary.in_sample()),
            **{name: finite(window.metrics if window else {}) for name, window in summary.winner._asdict().items()},
        },
        "clock": summary.clock,
        "verdict": summary.verdict,
        "pruning": as_plain(summary.pruning),
        "top": [{"number": t.number, "values": list(t.values), "params": t.params} for t in summary.top],
        "counts": dict(summary.counts),
        "failures": dict(summary.failures),
        "paths": dict(summary.paths),
        "commands": dict(summary.commands),
        "mlflow": None if report is None else report._asdict(),
    }


def _top_table(summary: Summary) -> Table:
    title = "Top trials" if len(summary.objectives) == 1 else "Pareto front"
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    for name in summary.objectives:
        table.add_column(escape(name), justify="right")
    names = list(dict.fromkeys(name for trial in summary.top for name in trial.params))
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold")
    for trial in summary.top:
        named = zip(summary.objectives, trial.values, strict=True)
        values = [score_text(name, value, summary.cell_days) for name, value in named]
        table.add_row(str(trial.number), *values, *(escape(value_text(trial.params.get(name, ""))) for name in names))
    return table


def metric_rows(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """The winner's metrics as text: the headings of what they are over, and a row a metric, its name first."""
    columns: list[tuple[str, Mapping[str, float], float]] = [
        (f"in-sample\n{summary.cells}", summary.in_sample(), summary.cell_days)
    ]
    headings = ("in-sample\nin one run", "buy and hold\nin one run", "hold-out", "buy and hold\nhold-out")
    for heading, window in zip(headings, summary.winner, strict=True):
        if window is not None:
            columns.append((heading, window.metrics, window.days))
    names = dict.fromkeys((*(o for o in summary.objectives if o in summary.metrics), *SHOWN))
    rows = [
        [name, *(metric_text(name, found.get(name), days) for _, found, days in columns)]
        for name in names
        if name in summary.metrics
    ]
    return [heading for heading, _, _ in columns], rows


def _metrics_table(title: str, headings: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("metric", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _print_notes(console: Console, summary: Summary) -> None:
    """What a reader of the table must know."""
    console.print(f"Annualised with {summary.clock}.", highlight=False, markup=False)
    if summary.short:
        console.print(f"({IN_BRACKETS})", highlight=False, markup=False)


def score_text(name: str, value: float, days: float) -> str:
    """An objective as tables of trials have it, a metric or the user's own."""
    return "–" if math.isnan(value) else bracketed(name, f"{value:.4f}", days)
