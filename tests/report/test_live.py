"""What is seen of a study while it runs: plain lines in a log, lines in place on a terminal."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
from collections.abc import Callable

import pytest
from optuna.trial import FrozenTrial
from rich.console import Console

from optim.problem.plan import Plan, make_plan
from optim.report.live import Lines, Live, Pace, Tally, duration, renews
from optim.report.summary import count
from optim.report.terminal import Terminal
from optim.search.ranking import winner_of
from optim.spec.study import load_spec
from optim.tracking.info import LiveTrial
from tests.studies import run_here, write_study


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Screen(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, list[FrozenTrial]]:
    """A study's plan and its trials, some of them pruned."""
    path = write_study(tmp_path_factory.mktemp("live"))
    return make_plan(load_spec(path)), run_here(path)[1]


def written(clock: Clock, share: Callable[[], float], until: float, step: float = 0.5) -> list[float]:
    """The moments at which a log gets a line."""
    log = io.StringIO()
    moments = []
    with Lines(Console(file=log), "s", lambda: ("head", "", "more"), share, clock) as lines:
        while clock.now < until:
            clock.now += step
            before = log.tell()
            lines.tick()
            if log.tell() > before:
                moments.append(clock.now)
    assert set(log.getvalue().splitlines()) == {"s: head; more"}
    return moments


def test_a_log_gets_a_line_now_and_then() -> None:
    assert written(Clock(), lambda: 0.0, 200.0) == [1.0, 5.0, 15.0, 75.0, 135.0, 195.0]


def test_and_one_at_every_tenth_but_not_all_at_once() -> None:
    clock = Clock()
    assert written(clock, lambda: clock.now / 100, 70.0) == [1.0, 5.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
    clock = Clock()
    assert written(clock, lambda: clock.now / 20, 20.0) == [1.0, 5.0, 15.0, 20.0]


def test_a_rate_is_that_of_the_last_half_minute_and_not_of_what_compiled() -> None:
    clock = Clock()
    pace = Pace(100, 1000, clock)
    assert pace.text("trials") == "100/1,000 trials"
    clock.now = 50.0
    pace.reached(110, 1000)
    clock.now = 60.0
    pace.reached(210, 1000)
    assert pace.text("trials") == "210/1,000 trials, 10/s, eta 1:19"
    clock.now = 160.0
    pace.reached(310, 1000)
    clock.now = 200.0
    pace.reached(390, 1000)
    assert pace.text("trials") == "390/1,000 trials, 2.0/s, eta 5:05"
    assert [duration(seconds) for seconds in (0.2, 59.4, 59.6, 3725)] == ["0 s", "59 s", "1:00", "1:02:05"]


def test_it_counts_as_the_summary_does_and_names_the_winner(ran: tuple[Plan, list[FrozenTrial]]) -> None:
    plan, trials = ran
    tally = Tally(plan, trials[:5])
    for trial in trials[5:]:
        tally.finished([trial])
    said = {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", tally.counts())}
    assert said == count(trials)
    assert said["pruned"] > 0
    best = winner_of(plan, trials)
    assert best is not None
    params = f"fast_window={best.params['fast_window']}, slow_window={best.params['slow_window']}"
    assert tally.best(80) == f"best {best.values[0]:.4f} (#{best.number}) {params}"
    assert tally.pace.text("trials").startswith("24/24 trials")


def test_what_takes_long_is_at_work_until_it_ends(ran: tuple[Plan, list[FrozenTrial]]) -> None:
    plan, trials = ran
    clock = Clock()
    tally = Tally(plan, [], clock)
    assert tally.at_work() == ""
    tally.running(LiveTrial(1, {}, trials[1].datetime_start or 0, (0.1,)))  # type: ignore[arg-type]
    tally.running(LiveTrial(2, {}, trials[2].datetime_start or 0, ()))  # type: ignore[arg-type]
    assert tally.at_work() == "2 long at work: #1 in cell 2 of 3"
    tally.finished(trials[:2])
    assert tally.at_work() == "1 long at work: #2 in cell 1 of 3"
    clock.now = 10.0  # not heard of any more
    assert tally.at_work() == ""


def test_a_terminal_of_eighty_columns_is_not_overrun(
    ran: tuple[Plan, list[FrozenTrial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, trials = ran
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    assert renews(console)
    with Live(console, plan, []) as live:
        live.finished(trials)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "24/24 trials" in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", screen.getvalue())  # no colour
    assert max(map(len, re.split(r"[\r\n]+", text))) <= 80


def test_a_log_stays_plain_where_colours_are_forced_and_quiet_is_quiet(ran: tuple[Plan, list[FrozenTrial]]) -> None:
    plan, trials = ran
    assert not renews(Console(file=io.StringIO(), force_terminal=True))
    assert not renews(Console(file=Screen(), force_terminal=True, _environ={"TERM": "dumb"}))
    screen = Screen()
    with Live(Console(file=screen, force_terminal=True, quiet=True), plan, []) as live:
        live.finished(trials)
    assert screen.getvalue() == ""


def test_ctrl_c_while_mlflow_is_written_comes_out_where_it_is_told_how_far_it_is() -> None:
    """Anywhere else it could fall into a thread's lock, which makes a RuntimeError of it (Python 3.11)."""
    view = Terminal(Console(file=io.StringIO()), progress=Console(file=io.StringIO()))
    before = signal.getsignal(signal.SIGINT)
    with view.projecting() as progress:
        progress(1, 2)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.01)  # here it would have been
        with pytest.raises(KeyboardInterrupt):
            progress(1, 2)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_log_says_once_that_mlflow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("optim.report.terminal.time.monotonic", lambda: now[0])
    log = io.StringIO()
    with Terminal(Console(file=io.StringIO()), progress=Console(file=log)).projecting() as progress:
        for now[0] in (105.0, 109.0):
            progress(1, 8)
        assert log.getvalue() == ""
        for now[0] in (111.0, 130.0):
            progress(2, 8)
    assert log.getvalue() == "Writing the trials to MLflow: 2 of 8 ... (Ctrl-C ends the wait; optim sync catches up)\n"
