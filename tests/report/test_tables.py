"""What tables on the terminal say, and how wide they are."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from optim.errors import value_text
from optim.report.compared import print_compared
from optim.report.judged import print_judged_file, print_walk_forward
from optim.report.screen import Screen
from tests.studies import ROOT


def printed(show: Any, *told: Any, width: int = 80) -> str:
    """What a function prints on a console of so many characters."""
    file = io.StringIO()
    show(Console(file=file, width=width), *told)
    return file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (2.0, "2"), (1 / 3, "0.333333"), (7, "7"), (12345678, "12345678"), ("sma", "sma")],
)
def test_a_parameter_has_six_digits_for_a_person(value: object, text: str) -> None:
    assert value_text(value) == text


def test_a_windows_winner_has_rounded_parameters() -> None:
    window = {
        "test": "2004-03-01T00:00:00+00:00", "in_sample": 0.5, "out_of_sample": None, "total_return": -0.0353,
        "params": {"entry": 0.1 + 0.2, "window": 21},
    }  # fmt: skip
    walk = dict.fromkeys(("sharpe_ratio", "efficiency", "drift"), 0.5)
    told = {"walk_forward": {**walk, "total_return": 0.1, "max_drawdown": -0.2, "windows": [window]}}
    row = next(line for line in printed(print_walk_forward, told, width=100).splitlines() if "2004-03-01" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "2004-03-01",
        "0.5",
        "–",
        "-3.53%",
        "entry 0.3, window 21",
    ]


def test_compared_names_are_whole_where_there_is_little_room() -> None:
    names = [f"space.parameters.entry_threshold_width_long.{end}" for end in ("high", "low")]
    counts = dict.fromkeys(("complete", "pruned", "failed", "infeasible"), 0)
    values = dict.fromkeys(("entry_threshold_of_the_width_long", "entry_threshold_of_the_width_short"), 0.5)
    alike = {"path": "", "counts": counts, "best": 1, "values": {}, "params": values, "verdict": None}
    alike |= {"metrics": {"searched": {}}, "days": {"searched": 400}}
    studies = [{**alike, "study": f"ma_crossover_of_all_instruments_{end}"} for end in ("with_fees", "without_fees")]
    told = {"settings": {name: [1, 2] for name in names}, "studies": studies}
    for width in (80, 60):
        text = printed(print_compared, told, width=width)
        assert max(map(len, text.splitlines()[:-1])) <= width
        cells = [line.strip("│┃").replace("┃", "│").split("│") for line in text.splitlines() if line[:1] in "│┃"]
        columns = ["".join(column[k].strip() for column in cells) for k in range(3)]
        for name in (*names, *values):
            assert name in columns[0]
        for column, study in zip(columns[1:], studies, strict=True):
            assert study["study"] in column


def test_the_deflation_threshold_is_not_called_luck() -> None:
    text = printed(print_judged_file, {"what": "x", "luck": 0.5, "dsr": 0.9, "unknown": []}, width=100)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert ["deflation threshold: the best of as many trials without skill", "0.5"] in rows
    assert "luck" not in text


def test_a_pipe_gets_neither_escapes_nor_blanks_at_the_ends_of_lines() -> None:
    table = Table(title="a title", title_justify="left", show_header=False, box=None)
    table.add_row("a", "b")
    table.add_row("longer than the title", "")
    screen = Screen(file=io.StringIO(), width=40)
    screen.print(table)
    screen.print("[bold]and[/] on", end=" ")  # a blank that is no end of a line
    screen.print("[3] \\[4]", markup=False)
    assert screen.file.getvalue() == "a title\n a                      b\n longer than the title\nand on [3] \\[4]\n"


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"TERM": "xterm"}, "\x1b[1mVerdict\x1b[0m\n"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "Verdict\n"),
        ({"TERM": "xterm", "NO_COLOR": ""}, "\x1b[1mVerdict\x1b[0m\n"),  # no-color.org: where it is not empty
        ({"TERM": "dumb"}, "Verdict\n"),
    ],
)
def test_a_terminal_is_styled_unless_its_user_wants_it_plain(
    variables: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = Screen(file=io.StringIO(), force_terminal=True)
    screen.print("[bold]Verdict[/]")
    assert screen.file.getvalue() == text


def test_every_command_prints_on_such_a_screen() -> None:
    for path in (ROOT / "optim" / "cli").glob("*.py"):
        assert not re.search(r"\bConsole\(", path.read_text(encoding="utf-8")), path
