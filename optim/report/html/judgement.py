"""The verdict on the page: the banner, the shuffled markets, stress, walk-forward, the hold-out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optim.errors import counted, value_text
from optim.problem.plan import Plan
from optim.report.html.values import (
    Banner,
    Block,
    Chart,
    Missing,
    Section,
    Table,
    Value,
    Winners,
    figure,
    row,
)
from optim.report.html.winner import account_blocks, metric_value
from optim.report.summary import Summary
from optim.verdict.holdout import Opening
from optim.verdict.markets import kind_in_words
from optim.verdict.subsets import subsets_in_words

Verdict = Mapping[str, Any] | None
_STATISTICS = (
    ("psr_long_run", "Probabilistic Sharpe ratio", "probability that the true Sharpe ratio is above 0"),
    ("dsr", "Deflated Sharpe ratio", "probability that the true Sharpe ratio is above the deflation threshold"),
    ("pbo", "Probability of overfitting", "how often the best in sample is below the median out of sample"),
)


def command(plan: Plan, verb: str) -> str:
    """A command of this study, typed in its folder."""
    return f"python -m optim {verb} {plan.spec.argument}"


def banner(plan: Plan, summary: Summary, verdict: Verdict) -> Banner:
    """The level, the sentence, the reasons; and the command for what is missing."""
    if summary.best is None:
        return Banner("no winner", "No trial of this study is feasible: there is nothing to judge.", (), "")
    if verdict is None:
        text = "Nobody has asked yet whether the winner is skill or luck."
        return Banner("not judged", text, (), command(plan, "validate"))
    null = verdict["null"]
    missing = null is None or not null["complete"]
    sentence = verdict["sentence"].partition(": ")[2]
    return Banner(
        verdict["level"],
        sentence[:1].upper() + sentence[1:],
        tuple(verdict["reasons"]),
        command(plan, "validate") if missing else "",
    )


def null_section(plan: Plan, summary: Summary, verdict: Verdict) -> Section:
    """The winners of the shuffled markets, the real one among them, and the other statistics."""
    title, null = "Skill or luck", (verdict or {}).get("null")
    if verdict is None or null is None:
        blocks: list[Block] = [Missing("No shuffled market has been searched.", command(plan, "validate"))]
    else:
        arm = max(null["arms"], key=lambda arm: arm["p_value"])
        found = np.array([winner for winner in arm["winners"] if winner is not None], dtype=float)
        blocks = []
        if len(found):
            text = (
                f"The same search in {counted(len(arm['winners']), 'market')} whose past cannot be learnt from "
                f"({kind_in_words(arm['kind'])} shuffled): their winners, and the study's."
            )
            blocks.append(Chart(Winners(found, null["value"], summary.objectives[0]), text))
        if not null["complete"]:
            blocks.append(Missing(f"{null['planned']} markets of each kind are planned.", command(plan, "validate")))
    if verdict is not None and (statistics := verdict.get("statistics")):
        blocks.append(_statistics(verdict, statistics))
    return Section("null", title, tuple(blocks))


def stress_section(plan: Plan, verdict: Verdict) -> Section:
    """The winner under each condition."""
    stress = (verdict or {}).get("stress")
    if stress is None or stress["distance"] is None:
        return Section(
            "stress", "Stress", (Missing("The winner has not been put under stress.", command(plan, "validate")),)
        )
    rows = tuple(
        row(name, _grown(one["total_return"]), figure(one["score"])) for name, one in stress["conditions"].items()
    )
    far, times = stress["distance"], stress["unit"] == "times"
    if far == "beyond":
        told = "It still earns at 64 times the costs." if times else "It still earns at 1000 basis points a fill."
    else:
        told = f"It earns nothing at {far:.3g} {'times the costs' if times else 'basis points a fill'}."
    parts = [f"{subsets_in_words(found)}."] if (found := (verdict or {}).get("subsets")) else []
    return Section("stress", "Stress", (Table(("condition", "total return", "score"), rows), told, *parts))


def walk_section(plan: Plan, verdict: Verdict) -> Section:
    """Every window's winner on the bars that follow."""
    title, walk = "Walk-forward", (verdict or {}).get("walk_forward")
    if walk is None:
        if plan.spec.validation.walk_forward is not None:
            return Section("walk", title, (Missing("The windows have not been searched.", command(plan, "validate")),))
        text = 'No windows were asked for: add walk_forward = { train = "4y", test = "1y" } to [validation], then'
        return Section("walk", title, (Missing(text, command(plan, "validate")),))
    rows = []
    for window in walk["windows"]:
        params = ", ".join(f"{name} {value_text(value)}" for name, value in window["params"].items()) or "none"
        scores = (figure(window[name]) for name in ("in_sample", "out_of_sample"))
        rows.append(row(window["test"][:10], *scores, _grown(window["total_return"]), params))
    told = (
        f"Stitched together: return {walk['total_return']:+.1%}, Sharpe ratio {figure(walk['sharpe_ratio']).text}, "
        f"deepest fall {walk['max_drawdown']:.1%}; efficiency {figure(walk['efficiency']).text}, drift of the winner "
        f"{figure(walk['drift']).text}."
    )
    heading = ("tried from", "in sample", "out of sample", "return", "winner")
    return Section("walk", title, (Table(heading, tuple(rows)), told.replace(" -", " −")))


def holdout_section(plan: Plan, summary: Summary, opening: Opening | None) -> Section:
    """The last bars: sealed, or what they showed of this winner."""
    title, best, window = "The hold-out", summary.best, summary.winner.holdout
    if not plan.holdouts:
        return Section("holdout", title, (Missing("[evaluation] holdout = 0: no bars were kept back."),))
    if opening is None or best is None or opening.trial != best.number or window is None:
        if opening is not None:
            told = f"It was opened for trial {opening.trial}, which is not the winner: nothing of it is shown."
            return Section("holdout", title, (Missing(told),))
        share = plan.spec.evaluation.holdout
        text = f"The last {share:.0%} of the bars are sealed: nothing of them is on this page."
        return Section("holdout", title, (Missing(text, "" if best is None else command(plan, "holdout")),))
    opened = opening.opened
    said = "It was blind until it was opened." if opened.blind else "It was no longer blind: opened before."
    named = opened.metric in summary.metrics
    value = metric_value(opened.metric, opened.value, window.days) if named else figure(opened.value)
    told = f"Opened {opening.time[:10]} for trial {opening.trial}. {said} {opened.metric} there: {value.text}"
    if opened.rank == opened.rank:
        told += (
            f", better than in {opened.rank:.0%} of {len(opening.windows)} equally long windows of the searched bars"
        )
    return Section("holdout", title, (f"{told}.", *account_blocks(window, summary.winner.holdout_benchmark)))


def terms(verdict: Verdict) -> tuple[tuple[Value, ...], ...]:
    """What the verdict's words mean."""
    if verdict is None:
        return ()
    return (
        row("p", "how often the same search finds as much in shuffled markets, where there is nothing to find"),
        row(
            "luck",
            "the median winner of the shuffled markets, in the objective: what this search finds in nothing",
        ),
        *(row(name, text) for _, name, text in _STATISTICS),
        row(
            "Sharpe ratio of daily returns",
            "of the winner in one run, with as many days a year as the data has; the metric sharpe_ratio "
            "is of bars, with the study's bars a year",
        ),
        row(
            "deflation threshold",
            "the Sharpe ratio a year that the best of as many trials without skill is expected to "
            "show, were their ratios spread like those of this study",
        ),
        row("Romano-Wolf p", "the winner against a benchmark, corrected for all trials that were tried"),
        row("plateau", "what the median neighbour, one parameter moved a little, keeps of the winner's score"),
        row("hold-out", "the last bars, which no search has seen"),
    )


def _statistics(verdict: Mapping[str, Any], found: Mapping[str, Any]) -> Table:
    rows = [row("p, corrected for earlier searches on the same bars", figure(verdict["p_value"]))]
    rows += [row(name, figure(found.get(key), ".2f")) for key, name, _ in _STATISTICS]
    rows += [row(f"Romano-Wolf p against {name}", figure(p, ".2g")) for name, p in found["romano_wolf"].items()]
    rows += [
        row("Sharpe ratio of daily returns, a year", figure(found["sharpe"])),
        row("deflation threshold, likewise", figure(found["luck"])),
    ]
    return Table(("statistic", "value"), tuple(rows))


def _grown(value: float | None) -> Value:
    return figure(value, "+.1%")
