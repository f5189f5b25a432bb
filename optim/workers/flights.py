"""Tasks on their way: those that wait, those that run together, and when one that lost its worker is given up."""

from __future__ import annotations

from typing import Any, NamedTuple

from optim.workers.tasks import Task

TRIES = 3  # a worker may die (out of memory, killed): the task is pure, so it is tried again, by itself
MOST_TRIES = 50  # a worker that dies before the task has begun proves nothing about it; but some time it must end
GRACE_SECONDS = 30.0  # a worker watches the time itself; one that cannot even do that is killed this much later


class Entry(NamedTuple):
    """A task that waits or runs."""

    tag: Any
    task: Task
    limit: float | None  # seconds
    tries: int = 0  # how often it was lost with its worker
    blame: int = 0  # how often it was by itself on a worker, and had begun, when that one died

    def lost(self, *, guilty: bool) -> Entry:
        """The task when its worker has died once more."""
        return self._replace(tries=self.tries + 1, blame=self.blame + guilty)

    def given_up(self, elapsed: float, timeout: float | None, *, alone: bool) -> str:
        """Why a task whose worker was lost after `elapsed` seconds is given up; empty while it may be tried again.

        timeout: the trial's, of which `limit` is what was left. alone: no other task ran with it.
        """
        if alone and self.limit is not None and elapsed >= self.limit:
            return f"the trial took longer than trial_timeout = {timeout:g} s"
        if self.blame >= TRIES or self.tries >= MOST_TRIES:
            times = self.blame if self.blame >= TRIES else self.tries
            return f"its worker died {times} times (out of memory, or killed)"
        return ""


class Flight(NamedTuple):
    """Entries that run together."""

    entries: tuple[Entry, ...]
    started: float  # time.monotonic()
    sign: str  # the file that says that its work has begun; empty where nothing is to be learned from that

    def overdue(self, now: float) -> bool:
        """Whether its worker should have ended by itself long ago."""
        limit = self.entries[0].limit
        return limit is not None and now - self.started > limit + GRACE_SECONDS
