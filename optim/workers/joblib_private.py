"""What optim uses of joblib, and of loky inside it, that joblib does not promise to keep. All of it is here.

With a version of joblib that is not among `KNOWN` each function goes a public way, which gives the same results later.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any

import joblib

KNOWN = ("1.6.",)  # the versions of joblib whose insides are those used here


class WorkerProcess:
    """One worker process: loky's, which is told its environment and is killed by name.

    Otherwise the standard library's: starting one waits until it is there, and its environment is that of the whole
    process meanwhile.
    """

    def __init__(self, initializer: Callable[..., None], arguments: tuple[Any, ...], environment: Mapping[str, str]):
        self._executor: Any
        self._children: list[Any] = []
        self._lost: tuple[type[Exception], ...] = (BrokenExecutor,)
        self._loky = joblib.__version__.startswith(KNOWN)
        if self._loky:
            from joblib.externals import loky
            from joblib.externals.loky.process_executor import ShutdownExecutorError

            self._lost = (BrokenExecutor, ShutdownExecutorError)
            self._executor = loky.ProcessPoolExecutor(1, initializer=initializer, initargs=arguments, env=environment)
            return
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, context, initializer, arguments)
        with _environment(environment), contextlib.suppress(BrokenExecutor):  # a call will find out
            pid = self._executor.submit(os.getpid).result()
            self._children = [child for child in multiprocessing.active_children() if child.pid == pid]

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a call; it fails with BrokenExecutor when the process dies, or has died."""
        future: Future[Any] = Future()
        try:
            future = self._executor.submit(function, *arguments)
        except self._lost as error:
            future.set_exception(BrokenExecutor(str(error)))
        return future

    def end(self) -> None:
        """Kill the process, whatever it is doing."""
        if self._loky:
            with contextlib.suppress(queue.Empty):  # a call not taken up yet ends loky's thread with a KeyError
                while True:
                    self._executor._work_ids.get_nowait()
            self._executor.shutdown(kill_workers=True)
            return
        for child in self._children:
            child.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def abort(parallel: joblib.Parallel) -> None:
    """End a call of `parallel` in another thread: joblib looks at `_aborting` every 10 ms.

    Otherwise the call goes to its end: what runs is waited for.
    """
    if joblib.__version__.startswith(KNOWN):
        parallel._aborting = True
