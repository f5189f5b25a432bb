"""Workers on other machines: a Dask or Ray cluster, through joblib's own backend for it.

The job travels once to each worker (Dask: scattered) or machine (Ray: object store), a task is a few hundred bytes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import joblib

from optim.errors import SpecError

_CONNECT_SECONDS = 10


class Cluster:
    """Machines behind a Dask scheduler or a Ray head, through joblib's own backend for it.

    A call of joblib.Parallel blocks, so it is made in a thread: one at a time, with everything there is to do.
    """

    def __init__(self, backend: str, address: str | None, n_jobs: int, value: Any):
        connect = _Dask if backend == "dask" else _Ray
        self._connection: _Dask | _Ray = connect(address, n_jobs)
        self._shared = self._connection.share(value)
        self._thread = ThreadPoolExecutor(1)
        self._open = contextlib.ExitStack()
        self._parallel: Any = None
        self.n_workers = self._connection.n_workers()
        self.free = 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start `function(shared, item)` for every item of the one argument; the future gives a list, in order."""
        self.free -= 1
        return self._thread.submit(self._call, function, *arguments)

    def _call(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        try:
            if self._parallel is None:
                self._open.enter_context(self._connection.config(self._shared))
                self._parallel = self._open.enter_context(joblib.Parallel(n_jobs=-1, batch_size=1, pre_dispatch="all"))
            return list(self._parallel(joblib.delayed(function)(self._shared, item) for item in items))
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
        """Leave the cluster; one that was started for this study ends."""
        self._thread.submit(self._forget)
        self._thread.shutdown(wait=True, cancel_futures=False)
        self._connection.close()


class Shared:
    """One object for all calls. Dask scatters it: each worker is sent it once and keeps it."""

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


class _Dask:
    """A client of a scheduler, or of workers started for this study."""

    def __init__(self, address: str | None, n_jobs: int):
        try:
            from distributed import Client
        except ImportError:
            raise SpecError(
                "[parallel] backend = 'dask' needs the package distributed: pip install 'optim[dask]'"
            ) from None
        options: dict[str, Any] = {"address": address, "timeout": _CONNECT_SECONDS}
        if address is None:
            options = {"n_workers": n_jobs, "threads_per_worker": 1, "dashboard_address": None}
        try:
            self._client = Client(**options, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise SpecError(f"[parallel] address = {address!r}: no Dask scheduler answers ({error})") from None
        self._own = address is None

    def n_workers(self) -> int:
        cores: dict[str, int] = self._client.ncores()
        return max(1, sum(cores.values()))

    def share(self, value: Any) -> Shared:
        return Shared(value)

    def config(self, shared: Any) -> Any:
        return joblib.parallel_config(backend="dask", client=self._client, scatter=[shared])

    def close(self) -> None:
        if self._own:
            self._client.shutdown()
        self._client.close()


class _Ray:
    """A driver of a Ray cluster, or of one started for this study."""

    def __init__(self, address: str | None, n_jobs: int):
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError:
            raise SpecError("[parallel] backend = 'ray' needs a package: pip install 'optim[ray]'") from None
        self._ray = ray
        register_ray()
        self._own = not ray.is_initialized()
        options = {"address": address} if address is not None else {"num_cpus": n_jobs, "include_dashboard": False}
        if self._own:
            try:
                ray.init(**options, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                raise SpecError(f"[parallel] address = {address!r}: no Ray cluster answers ({error})") from None

    def n_workers(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def share(self, value: Any) -> SharedRef:
        return SharedRef(self._ray.put(value))

    def config(self, shared: Any) -> Any:
        return joblib.parallel_config(backend="ray")

    def close(self) -> None:
        if self._own:
            self._ray.shutdown()
