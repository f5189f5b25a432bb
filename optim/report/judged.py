"""A verdict and an opened hold-out for the terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.metrics.catalogue import bracketed
from optim.errors import value_text
from optim.verdict.subsets import subsets_in_words

_COLOURS = {"strong": "bold green", "weak": "bold yellow", "no evidence": "bold red", "untested": "bold"}
_BINS, _BAR = 9, 28


def print_verdict(console: Console, verdict: Mapping[str, Any] | None, command: str) -> None:
    """The level, the sentence, the reasons; and the command, if any, for the whole where markets are missing."""
    if verdict is None:
        return
    level = verdict["level"]
    console.print(f"\n[{_COLOURS[level]}]Verdict: {level}[/]")
    _say(console, verdict["sentence"].partition(": ")[2].capitalize())
    for reason in verdict["reasons"]:
        _say(console, f"  * {reason}")
    null = verdict["null"]
    if command and (null is None or not null["complete"]):
        planned = "" if null is None else f" ({null['planned']} markets of each kind)"
        _say(console, f"The whole test{planned}: {command}")


def print_null(console: Console, verdict: Mapping[str, Any]) -> None:
    """The winners of the shuffled markets as a small chart, the real one among them."""
    null = verdict["null"]
    if null is None:
        return
    arm = max(null["arms"], key=lambda arm: arm["p_value"])
    winners = [winner for winner in arm["winners"] if winner is not None]
    if not winners:
        return
    low, high = min([*winners, null["value"]]), max([*winners, null["value"]])
    width = (high - low) / _BINS or 1.0
    counts = [0] * _BINS
    for winner in winners:
        counts[min(int((winner - low) / width), _BINS - 1)] += 1
    own = min(int((null["value"] - low) / width), _BINS - 1)
    table = Table(title="Winners of the shuffled markets", title_justify="left", show_header=False, box=None)
    for i, count in enumerate(counts):
        bar = "█" * round(_BAR * count / max(counts))
        mark = f" ◀ the study's winner, {null['value']:.4g}" if i == own else ""
        table.add_row(f"{low + i * width:.3g} to {low + (i + 1) * width:.3g}", f"{count:4d}", f"{bar}{mark}")
    console.print(table)


def print_stress(console: Console, verdict: Mapping[str, Any]) -> None:
    """The winner under each condition, and how far death is."""
    stress = verdict.get("stress")
    if stress is None or stress["distance"] is None:
        return
    table = Table(title="The winner under stress", title_justify="left")
    for heading in ("condition", "total return", "score"):
        table.add_column(heading, justify="left" if heading == "condition" else "right")
    for name, one in stress["conditions"].items():
        grown = "–" if one["total_return"] is None else f"{one['total_return']:+.1%}"
        table.add_row(escape(name), grown, _figure(one["score"]))
    console.print(table)
    far, times = stress["distance"], stress["unit"] == "times"
    if far == "beyond":
        told = "it still earns at 64 times the costs" if times else "it still earns at 1000 basis points a fill"
    else:
        told = f"it earns nothing at {far:.3g} times the costs" if times else f"at {far:.3g} basis points a fill"
    _say(console, f"Distance to death: {told}.")


def print_subsets(console: Console, verdict: Mapping[str, Any]) -> None:
    """The winner on random windows of random instruments."""
    if found := verdict.get("subsets"):
        _say(console, f"{subsets_in_words(found)}.")


def print_walk_forward(console: Console, verdict: Mapping[str, Any]) -> None:
    """Every window's winner, in sample and on the bars that follow, and the stitched result."""
    walk = verdict.get("walk_forward")
    if walk is None:
        return
    table = Table(title="Walk-forward: a search of its own for every window", title_justify="left")
    for heading in ("tried from", "in sample", "out of sample", "return", "winner"):
        table.add_column(heading, justify="left" if heading == "winner" else "right")
    for window in walk["windows"]:
        figures = [_figure(window[name]) for name in ("in_sample", "out_of_sample")]
        params = ", ".join(f"{name} {value_text(value)}" for name, value in window["params"].items()) or "none"
        table.add_row(window["test"][:10], *figures, f"{window['total_return']:+.2%}", escape(params))
    console.print(table)
    _say(
        console,
        f"Stitched: return {walk['total_return']:+.1%}, Sharpe ratio {_figure(walk['sharpe_ratio'])}, drawdown "
        f"{walk['max_drawdown']:.1%}; efficiency {_figure(walk['efficiency'])}, drift {_figure(walk['drift'])}.",
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def print_judged_file(console: Console, told: Mapping[str, Any]) -> None:
    """What the statistics say of another tool's results, a line each."""
    _say(console, f"Read: {told['what']}.")
    names = {
        "winner": "the winner",
        "sharpe": "its Sharpe ratio a year",
        "luck": "deflation threshold: the best of as many trials without skill",
        "interval": "where its true ratio may be (95 %)",
        "psr": "probability that it is above 0, had nothing been chosen",
        "psr_long_run": "likewise, of returns that depend on each other",
        "dsr": "deflated: probability that it is above that threshold",
        "romano_wolf": "p-value corrected for all trials",
        "haircut": "p-value corrected for all trials",
        "pbo": "probability of overfitting",
        "loss": "probability of a loss out of sample",
        "min_backtest_years": "years that so many trials need for such a ratio",
    }
    table = Table(show_header=False)
    for key, text in names.items():
        if told.get(key) is not None:
            table.add_row(text, escape(_told(told[key])))
    console.print(table)
    for text in told["unknown"]:
        _say(console, f"  not known: {text}")


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_told(v['p_value'] if isinstance(v, Mapping) else v)}" for k, v in value.items())
    if isinstance(value, list):
        return " to ".join(map(_told, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_opening(console: Console, opening: Mapping[str, Any]) -> None:
    """What the hold-out showed."""
    opened = opening["opened"]
    if opened["blind"]:
        _say(console, f"The hold-out is open, for trial {opening['trial']}. It was blind until now; it is no longer.")
    else:
        _say(console, f"The hold-out was no longer blind: opened before by {opening['first']}.")
    name, days = opened["metric"], opened["days"] or math.inf
    value = "undefined" if opened["value"] is None else bracketed(name, f"{opened['value']:.4g}", days)
    _say(console, f"  {name} = {value}")
    if opened["rank"] is not None:
        told = f"{opened['rank']:.0%} of {len(opening['windows'])} equally long windows of the searched bars"
        _say(console, f"  better than in {told}")


def validate_command(study: str, flags: str) -> str:
    """What searches the remaining markets."""
    return f"python -m optim validate {shlex.quote(study)}{flags}"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
