"""Log one run by hand: the Tracker protocol, and what is used when tracking is off."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from optim.errors import SpecError
from optim.tracking.settings import settings_from


class Tracker(Protocol):
    """Where a run's parameters, metrics, files and tags go."""

    def start_run(self, name: str | None = None) -> str: ...
    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...
    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None: ...
    def set_tags(self, tags: Mapping[str, Any]) -> None: ...
    def end_run(self, status: str = "FINISHED") -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NullTracker:
    """Takes everything, keeps nothing."""

    def start_run(self, name: str | None = None) -> str:
        """An empty run id."""
        return ""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Nothing."""

    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None:
        """Nothing."""

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Nothing."""

    def end_run(self, status: str = "FINISHED") -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def build_tracker_from_config(config: Mapping[str, Any] | str | Path) -> Tracker:
    """The tracker that a configuration's `[tracking]` table asks for; NullTracker when it is absent or not enabled.

    Args:
        config: a parsed TOML file, or the path of one; relative URIs are taken from the file's folder, else from here.

    Raises:
        SpecError: an unknown backend or key, or a variable that is not set.
    """
    name, base = "config", Path.cwd()
    if isinstance(config, str | Path):
        path = Path(config).absolute()
        name, base = path.name, path.parent
        config = tomllib.loads(path.read_text())
    tracking = config.get("tracking", {})
    if not tracking.get("enabled", False):
        return NullTracker()
    if tracking.get("backend", "mlflow") != "mlflow":
        raise SpecError(f'{name}, [tracking]: backend must be "mlflow", but got {tracking["backend"]!r}.')
    from optim.tracking.mlflow_tracker import MLflowTracker

    settings = settings_from(tracking.get("mlflow", {}), f"{name}, [tracking.mlflow]", base)
    return MLflowTracker(*settings, tags=tracking.get("tags", {}))
