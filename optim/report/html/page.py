"""The page of a study: every section in its order, from record, plan and verdict. Nothing is read or written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optim.errors import counted, value_text
from optim.problem.lookahead import searched_bars
from optim.problem.plan import Plan
from optim.report.html.judgement import (
    banner,
    command,
    holdout_section,
    null_section,
    stress_section,
    terms,
    walk_section,
)
from optim.report.html.trials import parameters_section, search_section
from optim.report.html.values import Page, Section, Table, Value, row
from optim.report.html.winner import (
    definitions,
    equity_section,
    metric_value,
    months_section,
    trades_section,
    winner_section,
)
from optim.report.showcase import joined, searched_days, subject_of
from optim.report.summary import Summary
from optim.spec.secrets import mask, mask_uri
from optim.verdict.holdout import Opening

_FACTS = (
    ("Total return", "total_return"),
    ("Sharpe ratio", "sharpe_ratio"),
    ("Deepest fall", "max_drawdown"),
    ("Growth a year", "cagr"),
)


class Origin(NamedTuple):
    """What the study began with, and what is no longer so."""

    versions: Mapping[str, str]
    changed: Sequence[str]  # sentences

    @property
    def other_inputs(self) -> tuple[str, ...]:
        """What makes today's backtests other ones than the search's; versions hardly do."""
        return tuple(text for text in self.changed if not text.startswith("version of "))


def page_of(
    plan: Plan,
    trials: Sequence[FrozenTrial],
    summary: Summary,
    opening: Opening | None,
    origin: Origin,
) -> Page:
    """The page of what is recorded. opening: of the hold-out, if any."""
    verdict = summary.verdict
    reasons = {
        mask(reason, plan.storage, plan.tracking_uri): number
        for reason, number in {**summary.failures, **summary.obstacles}.items()
    }
    judged = summary.best is not None  # else there is nothing to draw, and nothing to judge
    sections = (
        winner_section(plan, summary, origin.other_inputs),
        *((equity_section(summary), months_section(summary), trades_section(plan, summary)) if judged else ()),
        *((null_section(plan, summary, verdict),) if judged else ()),
        search_section(plan, trials, summary, reasons),
        parameters_section(plan, trials, summary, verdict),
        *((walk_section(plan, verdict), stress_section(plan, verdict)) if judged else ()),
        holdout_section(plan, summary, opening),
        Section("definitions", "Definitions", (_definitions(plan, summary),)),
        _provenance(plan, trials, origin),
    )
    subject = f"{subject_of(plan)}, as of {counted(len(trials), 'trial')}"  # there may be more when it is read
    return Page(plan.spec.study.name, subject, banner(plan, summary, verdict), _facts(summary), sections)


def _facts(summary: Summary) -> tuple[tuple[str, Value, str], ...]:
    """The winner's headline figures beside buying and holding."""
    own, held, *_ = summary.winner
    if own is None or held is None or not own.metrics:
        return ()
    return tuple(
        (
            title,
            metric_value(name, own.metrics.get(name), own.days),
            f"buying and holding {metric_value(name, held.metrics.get(name), held.days).text}",
        )
        for title, name in _FACTS
    )


def _definitions(plan: Plan, summary: Summary) -> Table:
    known = definitions(summary)
    return known._replace(heading=("term", "meaning"), rows=(*terms(summary.verdict), *known.rows))


def _provenance(plan: Plan, trials: Sequence[FrozenTrial], origin: Origin) -> Section:
    spec, bars = plan.spec, searched_bars(plan)
    rules = ", ".join(f"{name} {value_text(value)}" for name, value in spec.backtest.items())
    rows = [
        row("objective", joined(f"{goal.name} ({goal.direction})" for goal in plan.objective.goals)),
        row("search", f"{spec.study.sampler.name}, {spec.study.pruner.name}, seed {spec.study.seed}, "
                      f"batches of {spec.parallel.batch_size}"),
        row("evaluation", f"{spec.evaluation.folds} folds, {spec.evaluation.aggregate}; "
                          f"{spec.evaluation.holdout:.0%} of the bars held out"),
        row("account", rules or "as by default"),
    ]  # fmt: skip
    for i, data in enumerate(plan.datasets):
        first, last = searched_days(plan, i)
        rows.append(row(f"data {data.name}", f"{counted(len(bars[i].close), 'searched bar')}, {first} to {last}"))
        rows.append(row(f"data {data.name}, hash", Value(f"sha256 {data.digest}", tone="hash")))
    for name, digest in plan.fingerprint()["code"].items():
        rows.append(row(f"code {name}", Value(f"sha256 {digest}", tone="hash")))
    rows.append(row("versions", ", ".join(f"{name} {text}" for name, text in origin.versions.items()) or "not known"))
    rows += [row("changed since it was searched", text) for text in origin.changed]
    rows.append(row("record", mask_uri(spec.study.storage)))
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    if ends:
        rows.append(row("last trial", f"{max(ends):%Y-%m-%d %H:%M}"))
    rows.append(row("to search it again, in its folder", Value(command(plan, "run"), tone="command")))
    rows.append(row("to prove each trial equal", Value(command(plan, "replay"), tone="command")))
    return Section("provenance", "Provenance", (Table(("what", "is"), tuple(rows), kind="facts"),))
