"""Whole searches in worker processes: one plan, many markets or windows, results in the order they were asked for."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import joblib

from engine.compiled.memory import keep_freed_memory
from optim.errors import OptimError
from optim.problem.parcel import load_parcel, packed
from optim.problem.plan import Plan
from optim.record.quiet import quiet_optuna
from optim.workers.executors import Processes

A = TypeVar("A")
R = TypeVar("R")
_DEPTH = 2  # searches a worker is given at a time
_TRIES = 3  # a worker may be killed: a search is a pure function, so it runs again
_LOOK = 0.1  # seconds between two looks at whether to stop


class _Search(NamedTuple, Generic[A]):
    number: int
    argument: A
    tries: int = 1

    def again(self) -> _Search[A]:
        if self.tries >= _TRIES:
            raise OptimError(f"a search took its worker process down {_TRIES} times (out of memory, or killed)")
        return self._replace(tries=self.tries + 1)


class Farm:
    """Worker processes for whole searches of one plan. Close it, or use it as a context manager."""

    def __init__(self, plan: Plan, n_jobs: int) -> None:
        self.n_jobs = n_jobs if n_jobs > 0 else max(1, joblib.cpu_count() + 1 + n_jobs)
        self._processes = Processes(self.n_jobs, _DEPTH)
        self._folder = Path(tempfile.mkdtemp(prefix="optim-"))
        self._path = self._folder / "plan.joblib"
        joblib.dump(tuple(packed(plan)), self._path)

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        self._processes.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def map(
        self, function: Callable[[Plan, A], R], arguments: Iterable[A], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[A, R]]:
        """Each argument with function(plan, argument), in order, as soon as it and those before it are there.

        function: importable by its name. stop: asked several times a second; True ends it after what has come.
        Raises what the function raises, and OptimError when a search takes its worker down again and again.
        """
        waiting = iter(arguments)
        flying: dict[Future[R], _Search[A]] = {}
        landed: dict[int, tuple[A, R]] = {}
        asked = given = 0
        while not stop():
            while self._processes.free and (argument := next(waiting, _END)) is not _END:
                self._start(function, _Search(asked, argument), flying)
                asked += 1
            if not flying:
                return
            for future in wait(flying, timeout=_LOOK, return_when=FIRST_COMPLETED).done:
                one = flying.pop(future)
                self._processes.release(future)
                if isinstance(future.exception(), BrokenExecutor):
                    self._start(function, one.again(), flying)
                else:
                    landed[one.number] = one.argument, future.result()
            while given in landed:
                yield landed.pop(given)
                given += 1

    def _start(self, function: Callable[[Plan, A], R], one: _Search[A], flying: dict[Future[R], _Search[A]]) -> None:
        flying[self._processes.submit(_run, str(self._path), function, one.argument)] = one


_END: Any = object()


def _run(path: str, function: Callable[[Plan, A], R], argument: A) -> R:
    """In a worker process."""
    keep_freed_memory()
    with quiet_optuna():
        return function(_plan(path), argument)


@functools.lru_cache(maxsize=2)
def _plan(path: str) -> Plan:
    return load_parcel(Path(path))
