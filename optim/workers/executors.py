"""Where a function call can run: threads, worker processes, (or a cluster: optim.workers.cluster).

Each takes calls while it has something `free` and gives a future for each; `release` takes a finished call's place
back. A worker process is a loky executor of its own: one that dies or hangs is known by its task and replaced alone.
It may be given its next call while it works on one, so that it need not wait for the coordinator in between.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any, Protocol

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import ShutdownExecutorError

from optim.workers.interrupts import interrupts_held_back

THREAD_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_PARENT_SECONDS = 0.5  # how often a worker looks whether its coordinator is still there


class Executor(Protocol):
    """What the pool knows of a place to run calls."""

    @property
    def free(self) -> int: ...
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]: ...
    def release(self, future: Future[Any], *, kill: bool = False) -> None: ...
    def close(self) -> None: ...


def choose_backend(compiled: bool, backend: str, n_jobs: int, timeout: float | None) -> tuple[str, str]:
    """The backend of a pool on this machine or a cluster, and why it is that one."""
    if timeout is not None and backend in ("auto", "loky"):
        return "loky", "trial_timeout needs worker processes: a thread cannot be stopped"
    if backend == "sequential" or (n_jobs == 1 and backend in ("auto", "loky", "threading")):
        return "sequential", "one worker"
    if backend != "auto":
        return backend, "as asked for"
    if compiled:
        return "threading", "the strategy is a @strategy, whose kernels release the interpreter lock"
    return "loky", "the strategy is plain Python, which only worker processes run in parallel"


class Threads:
    """Threads of this process: for kernels that run without the interpreter lock."""

    def __init__(self, n_jobs: int):
        self._executor = ThreadPoolExecutor(n_jobs)
        self.free = n_jobs

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a call."""
        self.free -= 1
        return self._executor.submit(function, *arguments)

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        """Take the thread back; one that hangs cannot be stopped."""
        self.free += 1

    def close(self) -> None:
        """Do not wait for calls that still run."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Worker:
    """A place for one worker process: its executor, None while it is not started, and how many calls it has."""

    def __init__(self) -> None:
        self.executor: Any = None
        self.load = 0

    def end(self) -> None:
        """End the process, whatever it is doing; a call after that starts another one."""
        if self.executor is not None:
            self.executor.shutdown(kill_workers=True)
            self.executor = None


class Processes:
    """Worker processes on this machine, started when first needed, deaf to Ctrl-C, gone when the coordinator is.

    depth: how many calls each is given at a time; it runs one after the other.
    """

    def __init__(self, n_jobs: int, depth: int = 1):
        threads = str(max(1, joblib.cpu_count() // n_jobs))
        self._limits = dict.fromkeys(THREAD_LIMITS, threads)
        self._depth = depth
        self._workers = [Worker() for _ in range(n_jobs)]
        self._busy: dict[Future[Any], tuple[Worker, Any]] = {}

    @property
    def free(self) -> int:
        """How many calls it would take."""
        return sum(self._depth - worker.load for worker in self._workers)

    @property
    def idle(self) -> int:
        """How many calls would start at once."""
        return sum(worker.load == 0 for worker in self._workers)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a call on the worker with the least to do, a running one if there is any."""
        worker = min(self._workers, key=lambda worker: (worker.load, worker.executor is None))
        with interrupts_held_back():  # inherited by the worker: Ctrl-C reaches the whole process group
            try:
                worker.executor = worker.executor or self._start()
                future: Future[Any] = worker.executor.submit(function, *arguments)
            except (BrokenExecutor, ShutdownExecutorError):  # it was killed while idle
                worker.end()
                worker.executor = self._start()
                future = worker.executor.submit(function, *arguments)
        worker.load += 1
        self._busy[future] = worker, worker.executor
        return future

    def fill(self, future: Future[Any]) -> None:
        """Give the worker of this call no other one until it is released."""
        self._busy[future][0].load = self._depth

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        """Take the worker back; a dead one, or one to be killed, is replaced when next needed."""
        worker, executor = self._busy.pop(future)
        worker.load = sum(other is worker for other, _ in self._busy.values())
        if executor is worker.executor and (kill or isinstance(future.exception(), BrokenExecutor)):
            worker.end()

    def running(self) -> set[Future[Any]]:
        """The calls that have begun: of each worker the first."""
        first: dict[int, Future[Any]] = {}
        for future, (worker, _) in self._busy.items():
            first.setdefault(id(worker), future)
        return {future for future in first.values() if not future.done()}

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.end()
        self._workers, self._busy = [], {}

    def _start(self) -> Any:
        return ProcessPoolExecutor(1, initializer=_become_worker, initargs=(os.getpid(),), env=self._limits)


def _become_worker(coordinator: int) -> None:
    """What a worker process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(coordinator,), daemon=True).start()


def _leave_with(coordinator: int) -> None:
    """End this process when its coordinator is gone, however it went."""
    while os.getppid() == coordinator:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)
