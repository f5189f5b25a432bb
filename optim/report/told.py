"""`optim run --verbose`: what a run uses, and what took how long, on stderr; what it says besides is another view's."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from engine.compiled.cache import cache_root
from optim import __version__
from optim.problem.plan import Plan
from optim.report.view import View
from optim.spec.secrets import mask, mask_uri

PACKAGES = ("optuna", "mlflow", "numba", "numpy", "pandas", "joblib")


class Told:
    """A View around another one: it tells all that the other tells."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._began = self._since = time.perf_counter()
        self._write(f"optim {__version__}, Python {platform.python_version()}, {', '.join(map(_installed, PACKAGES))}")
        self._write(f"kernels and bars are kept in {cache_root()}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    @contextlib.contextmanager
    def searching(self, plan: Plan, done: Any) -> Iterator[None]:
        """What is used, then the search."""
        self._took("files, strategy and sampler looked at")
        self._write(f"record: {mask_uri(plan.storage)}")
        tracking = plan.spec.tracking.enabled
        self._write(f"MLflow: {mask_uri(plan.tracking_uri or '') if tracking else 'off'}")
        bars = sum(len(one.close) for one in plan.job.instruments)
        self._write(f"{bars:,} bars, {len(plan.cells)} cells a trial, backend {plan.spec.parallel.backend}")
        with self._view.searching(plan, done):
            yield
        self._took("the search")

    def judging(self) -> AbstractContextManager[Any]:
        """The verdict."""
        return self._timed(self._view.judging(), "shown", "the verdict")

    def projecting(self) -> AbstractContextManager[Any]:
        """What MLflow is waited for."""
        return self._timed(self._view.projecting(), "the rest of the result", "waited for MLflow")

    @contextlib.contextmanager
    def _timed(self, context: AbstractContextManager[Any], before: str, after: str) -> Iterator[Any]:
        self._took(before)
        with context as found:
            yield found
        self._took(after)

    def _took(self, what: str) -> None:
        now = time.perf_counter()
        self._write(f"{now - self._since:.2f} s: {what}; {now - self._began:.2f} s in all")
        self._since = now

    def _write(self, text: str) -> None:
        print(f"- {mask(text)}", file=sys.stderr)  # noqa: T201 - stderr is what it is for


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
