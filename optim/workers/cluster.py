"""Workers on other machines: a Dask cluster through its own client, a Ray cluster through joblib's backend for it.

The job travels once to each worker (Dask) or machine (Ray: object store), a task is a few hundred bytes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from typing import Any

import joblib

from optim.errors import SpecError
from optim.workers.interrupts import interrupts_held_back
from optim.workers.joblib_private import abort

_CONNECT_SECONDS = 10


class Dask:
    """Workers behind a scheduler, or workers started for this study. Each result comes as soon as it is there."""

    def __init__(self, address: str | None, n_jobs: int, value: Any):
        try:
            from distributed import Client
        except ImportError:
            raise SpecError(
                "[parallel] backend = 'dask' needs the package distributed: pip install 'optim[dask]'"
            ) from None
        options: dict[str, Any] = {"address": address, "timeout": _CONNECT_SECONDS}
        if address is None:
            options = {"n_workers": n_jobs, "threads_per_worker": 1, "dashboard_address": None}
        resource_tracker.ensure_running()  # started for the first worker, it would let interrupts through to that one
        try:
            with interrupts_held_back():  # inherited by workers started here: Ctrl-C reaches the whole process group
                self._client = Client(**options, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise SpecError(f"[parallel] address = {address!r}: no Dask scheduler answers ({error})") from None
        self._own = address is None
        self._calls = DaskCalls(self._client, SharedValue(value))
        cores: dict[str, int] = self._client.ncores()
        self.n_workers = max(1, sum(cores.values()))
        self.free = self.n_workers  # Dask leaves a task behind the one it was put behind, however long that takes

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start `function(shared, *arguments)`."""
        self.free -= 1
        return self._calls.submit(function, *arguments)

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        """Room for the next call."""
        self.free += 1

    def close(self) -> None:
        """Leave the cluster, whatever it is doing; what has not begun is withdrawn. One started here ends."""
        if self._own:
            self._client.shutdown()
        self._client.close()


class DaskCalls:
    """Calls on a Dask cluster with one object for all of them, which each worker is sent once.

    Through Dask's own client: joblib's backend for Dask forgets a call whose result is lost and cannot be made again.
    """

    def __init__(self, client: Any, shared: SharedValue):
        self._client, self._shared = client, shared
        self._sent = self._send()
        client.replicate([self._sent])

    def _send(self) -> Any:
        """The shared object on the cluster. A task, unlike scattered data, is done again when its workers are gone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that a task is large: it is sent once
            return self._client.submit(type(self._shared), self._shared.get(), pure=False)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start `function(shared, *arguments)`."""
        future: Future[Any] = Future()

        def take(done: Any) -> None:
            try:
                future.set_result(done.result())
            except BaseException as error:  # noqa: BLE001 - a lost worker: whoever waits for the result is told
                future.set_exception(error)

        if self._sent.status not in ("pending", "finished"):  # Dask gave it up with a worker that died receiving it
            self._sent = self._send()
        self._client.submit(function, self._sent, *arguments, pure=False).add_done_callback(take)
        return future


class Ray:
    """Workers of a Ray cluster, or of one started for this study.

    A call of joblib.Parallel blocks, so it is made in a thread: one at a time, with everything there is to do.
    """

    def __init__(self, address: str | None, n_jobs: int, value: Any):
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError:
            raise SpecError("[parallel] backend = 'ray' needs a package: pip install 'optim[ray]'") from None
        self._ray = ray
        register_ray()
        self._own = not ray.is_initialized()
        options = (
            {"address": address}
            if address is not None
            else {"address": "local", "num_cpus": n_jobs, "include_dashboard": False}
        )
        if self._own:
            try:
                ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                raise SpecError(
                    f"[parallel] address = {address!r}: no Ray cluster answers ({error}); one that was started where "
                    "~/.ray/auth_token exists answers only to RAY_AUTH_MODE=token"
                ) from None
        self._shared = SharedRef(ray.put(value))
        self._thread = ThreadPoolExecutor(1)
        self._open = contextlib.ExitStack()
        self._parallel: Any = None
        self.n_workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.free = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start `function(shared, [item])` for every item of the one argument; all lists as one, in order."""
        self.free -= 1
        return self._thread.submit(self._call, function, *arguments)

    def _call(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        try:
            if self._parallel is None:
                self._open.enter_context(joblib.parallel_config(backend="ray"))
                self._parallel = self._open.enter_context(joblib.Parallel(n_jobs=-1, batch_size=1, pre_dispatch="all"))
            parts = self._parallel(joblib.delayed(function)(self._shared, [item]) for item in items)
            return [result for part in parts for result in part]
        except BaseException:
            self._forget()  # its workers may be gone: the next call begins with new ones
            raise

    def _forget(self) -> None:
        self._parallel = None
        with contextlib.suppress(Exception):
            self._open.close()
        self._open = contextlib.ExitStack()

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        """Ready for the next call."""
        self.free += 1

    def close(self) -> None:
        """Leave the cluster, whatever it is doing; one that was started for this study ends."""
        if self._parallel is not None:
            abort(self._parallel)
        self._thread.submit(self._forget)
        self._thread.shutdown(wait=True, cancel_futures=False)
        if self._own:
            self._ray.shutdown()


class SharedValue:
    """One object for all calls. Each Dask worker is sent it once and keeps it."""

    def __init__(self, value: Any):
        self._value = value

    def get(self) -> Any:
        """The object."""
        return self._value


class SharedRef:
    """One object for all calls, in Ray's object store: each machine fetches it once."""

    def __init__(self, ref: Any):
        self._ref = ref

    def get(self) -> Any:
        """The object; its arrays are views of the store."""
        return _fetched(self._ref)


@functools.lru_cache(maxsize=2)
def _fetched(ref: Any) -> Any:
    import ray

    return ray.get(ref)
