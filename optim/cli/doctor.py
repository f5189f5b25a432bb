"""`optim doctor`: what is there that a study needs, what is not, and what to do."""

from __future__ import annotations

import json
import textwrap

from optim.cli.commands import say
from optim.report.health import Finding, of_machine, of_study
from optim.report.screen import Screen
from optim.spec.study import StudySpec

EXIT_PROBLEM = 1
_COLUMN = 26  # where texts begin
_MARKS = {"ok": "ok      ", "warning": "warning ", "problem": "problem "}


def doctor(spec: StudySpec | None, as_object: bool) -> int:
    """Print what was looked at; 1 when there is a problem."""
    found: list[Finding] = []
    console = Screen()
    for one in (*of_machine(), *(of_study(spec) if spec else ())):
        found.append(one)
        if not as_object:
            _print(console, f"{_MARKS[one.status]} {one.name:<16} ", one.text)
            if one.remedy:
                _print(console, "", one.remedy)
    if as_object:
        print(json.dumps([one._asdict() for one in found], allow_nan=False))  # noqa: T201 - the object on stdout
    return EXIT_PROBLEM if any(one.status == "problem" for one in found) else 0


def _print(console: Screen, head: str, text: str) -> None:
    """The text in its column: in a terminal broken where the line ends, in a pipe one line."""
    width = max(console.width - _COLUMN, 20)
    lines = textwrap.wrap(text, width, break_on_hyphens=False) if console.is_terminal else [text]
    for i, line in enumerate(lines):
        say(console, f"{'' if i else head:<{_COLUMN}}{line}")
