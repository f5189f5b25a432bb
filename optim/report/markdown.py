"""A study's result as Markdown: the description of its run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from optim.errors import counted
from optim.report.summary import Summary
from optim.verdict.plain import verdict_in_markdown, winner_in_markdown


def as_markdown(summary: Summary) -> str:
    """The verdict in one sentence, the winner with its metrics as a table, and why the verdict is what it is."""
    verdict, paragraphs = summary.verdict, []
    if verdict is not None:
        paragraphs.append(verdict_in_markdown(verdict))
    total = sum(summary.counts[kind] for kind in ("complete", "pruned", "failed"))
    paragraphs.append(f"{counted(total, 'trial')}, {summary.reason}.")
    if summary.best is not None:
        paragraphs += [winner_in_markdown(summary.objectives, summary.best, summary.cell_days)]
        paragraphs.append(_metrics(summary))
    if verdict is not None:
        paragraphs.append("\n".join(["Why this verdict:", "", *(f"* {reason}" for reason in verdict["reasons"])]))
    return "\n\n".join(paragraphs)


def _metrics(summary: Summary) -> str:
    from optim.report.console import metric_rows

    headings, rows = metric_rows(summary)
    lines = [_line(["metric", *headings]), _line(["---", *("---:" for _ in headings)])]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(fields: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(field.split()) for field in fields)} |"
