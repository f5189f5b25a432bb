"""A study as a notebook shows it: how far it is, its verdict, its best trials. Nothing is run for it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from engine.errors import UserError
from optim.errors import counted, cut, value_text
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.report.console import score_text
from optim.report.showcase import subject_of
from optim.report.summary import TOP, count
from optim.search.ranking import ranked
from optim.verdict.plain import kept_verdict


def study_html(plan: Plan, record: Record) -> str:
    """A heading, the counts, the verdict's sentence and a table of the best trials; every text escaped."""
    trials, spec = record.trials(), plan.spec
    counts, top = count(trials), ranked(plan, trials)[:TOP]
    verdict = kept_verdict(record, plan, trials)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in ("complete", "pruned", "failed", "infeasible"))
    judged = "Not judged yet: study.validate()." if verdict is None else verdict["sentence"]
    lines = [
        f"<b>{escape(spec.study.name)}</b>: {escape(subject_of(plan))}, in-sample",
        escape(f"{len(trials)} of {counted(spec.study.n_trials, 'trial')}: {said}"),
        escape(judged if top else "No trial is feasible."),
    ]
    if not top:
        return f"<div>{'<br>'.join(lines)}</div>"
    names = list(dict.fromkeys(name for trial in top for name in trial.params))
    rows = [_row("th", ["trial", *(goal.name for goal in plan.objective.goals), *names])]
    days = plan.days(plan.cells)
    for trial in top:
        named = zip((goal.name for goal in plan.objective.goals), trial.values, strict=True)
        values = [score_text(name, value, days) for name, value in named]
        rows.append(_row("td", [str(trial.number), *values, *(value_text(trial.params.get(n, "")) for n in names)]))
    return f"<div>{'<br>'.join(lines)}<table>{''.join(rows)}</table></div>"


def unread_html(name: str, error: UserError) -> str:
    """What stands there where nothing can be shown: the reason."""
    return f"<div><b>{escape(name)}</b>: {escape(cut(str(error), 300))}</div>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
