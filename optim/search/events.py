"""What a run tells, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optim.tracking.info import LiveTrial


class StopRequested(Exception):  # noqa: N818 - it is no error
    """The user or a signal asked to stop; trials that have not ended are dropped."""


class Listener(NamedTuple):
    """Who is told what happens: all calls come from the coordinator's own thread."""

    finished: Callable[[Sequence[FrozenTrial]], None]  # after they are in the record
    running: Callable[[LiveTrial], None]
    should_stop: Callable[[], bool]  # asked several times a second


QUIET = Listener(lambda trials: None, lambda trial: None, lambda: False)
