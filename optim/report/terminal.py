"""The terminal watches a study: lines, progress, tables; the first Ctrl-C asks it to stop."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from optuna.trial import FrozenTrial
from rich.console import Console

from optim.problem.plan import Plan
from optim.report.console import print_found, print_judged
from optim.report.live import Live, Markets
from optim.report.screen import Screen
from optim.report.summary import Summary
from optim.report.view import Progress
from optim.tracking.info import LiveTrial
from optim.verdict.null import Null

_LONG = 10.0  # seconds that MLflow is waited for without a word


class Terminal:
    """A View (optim.report.view) on a console. tables: whether the result is printed. progress: stderr when None."""

    def __init__(
        self, console: Console, *, tables: bool = True, quiet: bool = False, progress: Console | None = None
    ) -> None:
        self._console = console
        self._progress = Screen(stderr=True, quiet=quiet) if progress is None else progress
        self._tables = tables
        self._signals: list[int] = []
        self._live: Live | None = None

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def heeding(self) -> AbstractContextManager[None]:
        """SIGINT and SIGTERM ask for an end."""
        return _noted(self._signals)

    @contextlib.contextmanager
    def searching(self, plan: Plan, done: Sequence[FrozenTrial]) -> Iterator[None]:
        """Progress while the search runs."""
        with Live(self._progress, plan, done) as self._live:
            yield
        self._live = None

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Progress moves on."""
        if self._live is not None:
            self._live.finished(trials)

    def running(self, trial: LiveTrial) -> None:
        """It is among those at work."""
        if self._live is not None:
            self._live.running(trial)

    def should_stop(self) -> bool:
        """Whether a signal has come."""
        if self._live is not None:
            self._live.tick()
        return bool(self._signals)

    def found(self, summary: Summary) -> None:
        """The closing tables, as soon as they are known."""
        if self._tables:
            print_found(self._console, summary)

    @contextlib.contextmanager
    def judging(self) -> Iterator[Callable[[Null | None], None]]:
        """Progress over the shuffled markets."""
        with Markets(self._progress) as markets:
            yield markets.searched

    def ended(self, summary: Summary, params_toml: str) -> None:
        """The verdict, and the parameters to paste."""
        if self._tables:
            print_judged(self._console, summary, params_toml)

    @contextlib.contextmanager
    def projecting(self) -> Iterator[Progress]:
        """A line that says how far MLflow is, in a log or a pipe once it takes long; KeyboardInterrupt comes out of it,
        and so in the middle of nothing.
        """
        late: list[int] = []
        until = [] if self._progress.is_terminal else [time.monotonic() + _LONG]
        with _noted(late, [signal.SIGINT]), self._progress.status("Writing the trials to MLflow ...") as status:

            def progress(done: int, told: int) -> None:
                if late:
                    raise KeyboardInterrupt
                said = f"Writing the trials to MLflow: {done} of {told} ..."
                status.update(said)
                if until and time.monotonic() > until[0]:
                    until.clear()
                    self._progress.print(f"{said} (Ctrl-C ends the wait; optim sync catches up)", soft_wrap=True)

            yield progress


@contextlib.contextmanager
def _noted(received: list[int], numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """The first of these signals goes into the list; a second SIGINT ends the program at once.

    Signals come to the main thread only: elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
