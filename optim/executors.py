"""Where a function call can run: threads, worker processes, (or a cluster: optim.cluster).

Each takes calls while it has something `free` and gives a future for each; `release` takes a finished call's place
back. A worker process is a loky executor of its own: one that dies or hangs is known by its task and replaced alone.
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

from optim.interrupts import interrupts_held_back

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


class Processes:
    """Worker processes on this machine, started when first needed, deaf to Ctrl-C, gone when the coordinator is."""

    def __init__(self, n_jobs: int):
        threads = str(max(1, joblib.cpu_count() // n_jobs))
        self._limits = dict.fromkeys(THREAD_LIMITS, threads)
        self._idle: list[Any] = [None] * n_jobs  # None: not started
        self._busy: dict[Future[Any], Any] = {}

    @property
    def free(self) -> int:
        """How many calls would start at once."""
        return len(self._idle)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a call on an idle worker, a running one if there is any."""
        executor = self._idle.pop()
        with interrupts_held_back():  # inherited by the worker: Ctrl-C reaches the whole process group
            try:
                if executor is None:
                    executor = self._start()
                future: Future[Any] = executor.submit(function, *arguments)
            except (BrokenExecutor, ShutdownExecutorError):  # it was killed while idle
                executor.shutdown(kill_workers=True)
                executor = self._start()
                future = executor.submit(function, *arguments)
        self._busy[future] = executor
        return future

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        """Take the worker back; a dead one, or one to be killed, is replaced when next needed."""
        executor = self._busy.pop(future)
        if kill or isinstance(future.exception(), BrokenExecutor):
            executor.shutdown(kill_workers=True)
            self._idle.insert(0, None)
        else:
            self._idle.append(executor)

    def pids(self) -> list[int]:
        """The process ids of the running workers."""
        executors = [executor for executor in (*self._idle, *self._busy.values()) if executor is not None]
        return [pid for executor in executors for pid in executor._processes]

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for executor in (*self._idle, *self._busy.values()):
            if executor is not None:
                executor.shutdown(kill_workers=True)
        self._idle, self._busy = [], {}

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
