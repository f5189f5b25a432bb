"""Who watches a study while it runs: nobody, or the terminal (optim.report.terminal)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from optuna.trial import FrozenTrial

from optim.errors import counted
from optim.problem.plan import Plan
from optim.report.summary import Summary
from optim.spec.study import StudySpec
from optim.tracking.info import LiveTrial
from optim.verdict.null import Null

Progress = Callable[[int, int], None]  # trials done, trials in all


class View(Protocol):
    """What a running study tells, and how it is told to stop. All calls come from the thread that runs it."""

    def say(self, text: str) -> None:
        """One line about what happens."""

    def heeding(self) -> AbstractContextManager[None]:
        """Meanwhile a wish to stop ends nothing by itself: `should_stop` tells of it."""

    def searching(self, plan: Plan, done: Sequence[FrozenTrial]) -> AbstractContextManager[None]:
        """The search begins with these trials, and ends."""

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Trials have ended and are in the record."""

    def running(self, trial: LiveTrial) -> None:
        """A trial that takes long is still running; told several times a second."""

    def should_stop(self) -> bool:
        """Asked several times a second while the search runs."""

    def found(self, summary: Summary) -> None:
        """The result, before it is judged."""

    def judging(self) -> AbstractContextManager[Callable[[Null | None], None]]:
        """Shuffled markets are searched; called after each."""

    def ended(self, summary: Summary, params_toml: str) -> None:
        """The same result with its verdict, while MLflow may still be written."""

    def projecting(self) -> AbstractContextManager[Progress]:
        """The last trials are written to MLflow."""


class Quiet:
    """Nobody watches, nobody stops it."""

    def say(self, text: str) -> None:
        """Nothing."""

    def heeding(self) -> AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()

    def searching(self, plan: Plan, done: Sequence[FrozenTrial]) -> AbstractContextManager[None]:
        """Nothing."""
        return contextlib.nullcontext()

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Nothing."""

    def running(self, trial: LiveTrial) -> None:
        """Nothing."""

    def should_stop(self) -> bool:
        """Never."""
        return False

    def found(self, summary: Summary) -> None:
        """Nothing."""

    def judging(self) -> AbstractContextManager[Callable[[Null | None], None]]:
        """Nothing."""
        return contextlib.nullcontext(lambda null: None)

    def ended(self, summary: Summary, params_toml: str) -> None:
        """Nothing."""

    def projecting(self) -> AbstractContextManager[Progress]:
        """Nothing."""
        return contextlib.nullcontext(lambda done, told: None)


def say_where_it_stands(view: View, spec: StudySpec, done: int) -> None:
    """Tell how many trials are in the record already."""
    if done >= spec.study.n_trials:
        view.say(
            f"Study {spec.study.name!r} is finished: {done} of {spec.study.n_trials} trials are in the record. "
            "Raise n_trials to go on, or give [study] another name to start anew."
        )
    elif done:
        view.say(f"Resuming study {spec.study.name!r} at trial {done} of {counted(spec.study.n_trials, 'trial')}.")
