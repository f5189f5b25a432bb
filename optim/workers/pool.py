"""Where trials are evaluated: in this process, in threads, or in worker processes by joblib.

A worker sees a job (strategy, bars) once and then small tasks (parameters, account rules, cells). It imports the
engine, never Optuna or MLflow. None of this changes a result: a task is a pure function, and results come back in the
order of the tasks.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import queue
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import joblib

from engine.errors import UserError
from engine.evaluate import Outcome
from engine.strategies.base import load_strategy
from optim.workers.cluster import Dask, Ray
from optim.workers.executors import Executor, Processes, Threads, choose_backend
from optim.workers.flights import Entry, Flight
from optim.workers.pace import Pace
from optim.workers.tasks import Job, Result, Task, run_all, run_from_disk, run_shared, run_task, shared_indicators

_CHUNK_SECONDS = 0.01  # cheaper tasks are handed out together: a round trip takes a worker process about 2 ms
_REMOTE_CHUNK_SECONDS = 0.05  # likewise, to another machine
_DEPTH = 2  # what a worker process is given at a time: the next tasks are there before it has ended the first


class Pool:
    """Runs tasks of one job on `n_jobs` workers. Close it, or use it as a context manager."""

    def __init__(
        self, job: Job, *, n_jobs: int, backend: str, timeout: float | None = None, address: str | None = None
    ):
        self._job = job
        self._shared = shared_indicators(job)
        self._timeout = timeout
        self.n_jobs = n_jobs if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + n_jobs)
        compiled = load_strategy(job.strategy, Path(job.folder)).compiled
        self._tame = compiled and timeout is None  # plain Python may do anything: not in the coordinator's process
        self.backend, self.reason = choose_backend(compiled, backend, self.n_jobs, timeout)
        self._executor = self._make_executor(address)
        # Something compiled costs little once it is compiled: find out here. All else goes to the workers at once.
        self._pace = Pace(2 if self._tame and self.backend in ("threading", "loky") else 0)
        self._queue: list[tuple[int, int, Entry]] = []  # a heap
        self._count = 0
        self._flights: dict[Future[Any], Flight] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()  # of the flights, as they end
        self._failure: UserError | None = None
        self._landed: list[tuple[Any, Result]] = []  # taken from them, not collected yet
        self._folder: Path | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and forget the job on disk; what still runs is lost."""
        self._queue.clear()
        self._flights.clear()
        if self._executor is not None:
            self._executor.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def abandon(self) -> None:
        """Forget what is queued and what runs: an interrupted search waits for nothing. Workers that are busy end."""
        self._queue.clear()
        self._landed.clear()
        if self._flights and self._executor is not None:
            self._flights.clear()
            self._executor.close()
            if self.backend in ("dask", "ray"):  # what comes after it runs here
                compiled = load_strategy(self._job.strategy, Path(self._job.folder)).compiled
                self.backend, _ = choose_backend(compiled, "auto", self.n_jobs, self._timeout)
            self._executor = self._make_executor(None)

    def submit(self, tag: Any, task: Task, *, order: int = 0, spent: float = 0.0) -> None:
        """Queue a task, lower orders first. `spent`: seconds of the trial's time limit that are used up.

        An idle worker gets a long one at once, so that it works while more is being asked for.
        """
        limit = None if self._timeout is None else max(self._timeout - spent, 0.001)
        self._push(Entry(tag, task, limit), order)
        if self._pace.long(len(task.cells)) and self.backend != "ray":
            self._take_done(0.0)
            self._hand_out()

    def collect(self, seconds: float = 0.1) -> list[tuple[Any, Result]]:
        """Results that have come in, each with its task's tag; an empty list if there is none after `seconds`."""
        if self._stays_here():
            _, _, entry = heapq.heappop(self._queue)
            with self._shared:
                return [(entry.tag, self._pace.learn_here(run_task(self._job, entry.task)))]
        self._hand_out()
        self._take_done(seconds)
        landed, self._landed = self._landed, []
        if self._failure is not None and not landed:
            raise self._failure
        return landed

    def _take_done(self, seconds: float) -> None:
        """Land the flights that have ended; wait for one if there is none to collect yet."""
        with contextlib.suppress(queue.Empty):
            if self._flights and not self._landed and seconds > 0.0:
                self._land(self._done.get(timeout=seconds))
            while True:
                self._land(self._done.get_nowait())
        for future in self._overdue():
            self._land(future)

    def long_running(self, seconds: float) -> Iterator[tuple[Any, float]]:
        """The tags of what has run for so long on this machine's workers, and since when (seconds since the epoch)."""
        if self._executor is None or self.backend not in ("loky", "threading"):
            return
        begun = self._executor.running() if isinstance(self._executor, Processes) else None
        for future, flight in self._flights.items():
            elapsed = time.monotonic() - flight.started
            if elapsed > seconds and (future.running() if begun is None else future in begun):
                yield flight.entries[0].tag, time.time() - elapsed

    def run(self, tasks: Sequence[Task]) -> list[Result]:
        """The result of every task, in order."""
        results: dict[Any, Result] = {}
        tags = [("run", number) for number in range(len(tasks))]
        for tag, task in zip(tags, tasks, strict=True):
            self.submit(tag, task, order=tag[1])
        missing = set(tags)
        while missing:  # what was submitted before may still come in
            landed = dict(self.collect())
            results |= landed
            missing -= landed.keys()
        return [results[tag] for tag in tags]

    def _push(self, entry: Entry, order: int) -> None:
        heapq.heappush(self._queue, (order, self._count, entry))
        self._count += 1

    def _make_executor(self, address: str | None) -> Executor | None:
        if self.backend == "threading":
            return Threads(self.n_jobs)
        if self.backend == "loky":
            return Processes(self.n_jobs, 1 if self._timeout is not None else _DEPTH)
        if self.backend in ("dask", "ray"):
            cluster = (Dask if self.backend == "dask" else Ray)(address, self.n_jobs, self._job)
            self.n_jobs = cluster.n_workers
            return cluster
        return None

    def _stays_here(self) -> bool:
        if not self._queue or self._flights:
            return False
        if self._executor is None or self._pace.trials > 0:
            return True
        if not self._tame or self._queue[0][2].tries > 0:
            return False  # one that took its worker down before would be first in the queue
        return self._pace.short(sum(len(entry.task.cells) for _, _, entry in self._queue))

    def _hand_out(self) -> None:
        executor = self._executor
        while self._queue and executor is not None and executor.free and not self._isolating():
            lost_before = self._queue[0][2].tries > 0
            if lost_before and isinstance(executor, Processes) and not executor.idle:
                return
            sign = ""
            entries = tuple(heapq.heappop(self._queue)[2] for _ in range(self._share()))
            work = [(entry.task, entry.limit) for entry in entries]
            if isinstance(executor, Dask | Ray):
                future = executor.submit(run_shared, work)
            elif self.backend == "threading":
                future = executor.submit(run_all, self._job, work, self._shared)
            else:
                sign = f"{self._on_disk()}.{time.monotonic_ns()}" if lost_before else ""
                future = executor.submit(run_from_disk, self._on_disk(), work, sign)
            self._flights[future] = Flight(entries, time.monotonic(), sign)
            if lost_before and isinstance(executor, Processes):
                executor.fill(future)  # whatever it does to the worker, it does it to nothing else
            future.add_done_callback(self._done.put)

    def _isolating(self) -> bool:
        """Whether a task that was lost twice runs, or is to run, by itself: Dask blames all that a worker was given."""
        running = [flight.entries[0].tries for flight in self._flights.values()]
        return self.backend == "dask" and bool(running) and max(self._queue[0][2].tries, *running) > 1

    def _share(self) -> int:
        """How many tasks go out together: more of the cheap ones, one of those that lost their worker before."""
        waiting = len(self._queue)
        if self._queue[0][2].tries > 0:  # they come first, so no other task travels with them
            return 1
        if self.backend == "ray":
            return waiting
        if self._timeout is not None:
            return 1
        worth = _REMOTE_CHUNK_SECONDS if self.backend == "dask" else _CHUNK_SECONDS
        return max(1, min(self._pace.fitting(worth), math.ceil(waiting / (_DEPTH * self.n_jobs))))

    def _overdue(self) -> list[Future[Any]]:
        """Flights whose workers should have ended by themselves long ago."""
        now = time.monotonic()
        return [
            future
            for future, flight in self._flights.items()
            if not future.done() and not isinstance(self._executor, Dask | Ray) and flight.overdue(now)
        ]

    def _land(self, future: Future[Any]) -> None:
        """Take a flight's results; what was lost with a worker is queued again, or has failed."""
        flight = self._flights.pop(future, None)
        if flight is None or self._executor is None:
            return  # it was overdue: its worker has been killed
        stuck = not future.done()
        self._executor.release(future, kill=stuck)
        error = None if stuck else future.exception()
        if isinstance(error, UserError):
            self._failure = error  # told when all that has ended has been collected
            return
        if error is None and not stuck:
            for entry, result in zip(flight.entries, future.result(), strict=True):
                self._landed.append((entry.tag, self._pace.learn(result)))
            return
        elapsed = time.monotonic() - flight.started
        guilty = len(flight.entries) == 1
        if isinstance(self._executor, Processes):
            guilty = bool(flight.sign) and Path(flight.sign).exists()
        for entry in flight.entries:
            entry = entry.lost(guilty=guilty)
            reason = entry.given_up(elapsed, self._timeout, alone=len(flight.entries) == 1)
            if reason:
                now = time.time()
                self._landed.append((entry.tag, Result((Outcome({}, reason),), now - elapsed, now)))
            else:
                self._push(entry, -1)

    def _on_disk(self) -> str:
        """The job in a file, written once: every worker maps the same bars instead of receiving a copy per task."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="optim-"))
            joblib.dump(tuple(self._job), self._folder / "job.joblib")
        return str(self._folder / "job.joblib")
