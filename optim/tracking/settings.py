"""Where MLflow is: the `[tracking.mlflow]` table."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from optim.errors import SpecError
from optim.spec.secrets import expand, mask_uri
from optim.spec.uris import absolute_uri

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "Default"
_SQL = ("sqlite", "postgresql", "mysql", "mssql")
log = logging.getLogger(__name__)


class MLflowSettings(NamedTuple):
    """`[tracking.mlflow]`, with variables expanded. Its repr and `masked` show no password."""

    tracking_uri: str = DEFAULT_URI
    experiment_name: str = DEFAULT_EXPERIMENT
    artifact_location: str = ""  # for a new experiment; "" = beside the database, or the server's default

    def __repr__(self) -> str:
        return f"MLflowSettings({self.masked!r}, {self.experiment_name!r})"

    @property
    def masked(self) -> str:
        return mask_uri(self.tracking_uri)

    @property
    def kind(self) -> str:
        """`sql`, `http` or `file`."""
        scheme = urlsplit(self.tracking_uri).scheme.split("+")[0]
        if scheme in _SQL:
            return "sql"
        return "http" if scheme in ("http", "https") else "file"

    @property
    def sqlite_path(self) -> Path | None:
        """The database file of a `sqlite:///` URI."""
        if not self.tracking_uri.startswith("sqlite:///"):
            return None
        return Path(unquote(self.tracking_uri.removeprefix("sqlite:///").partition("?")[0])).absolute()

    def location(self) -> str | None:
        """Where a new experiment's artifacts go; None leaves it to the server or the file store.

        MLflow's own default for a database is `./mlruns` of whichever process comes first; ours is absolute.
        """
        if self.artifact_location:
            local = "://" not in self.artifact_location
            return Path(self.artifact_location).absolute().as_uri() if local else self.artifact_location
        if self.kind != "sql":
            return None
        folder = self.sqlite_path.parent if self.sqlite_path else Path.cwd()
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.experiment_name)
        return (folder / "mlartifacts" / name).as_uri()


def settings_from(table: Mapping[str, Any], where: str, base: Path) -> MLflowSettings:
    """The settings of a `[tracking.mlflow]` table: variables expanded, a relative database or folder taken from `base`.

    Args:
        where: file and table, for the error.
        base: absolute folder, usually the file's.

    Raises:
        SpecError: unknown key, wrong type or a missing variable.
    """
    for key, value in table.items():
        if key not in MLflowSettings._fields:
            raise SpecError(f"{where}: unknown key {key!r}; the keys are {', '.join(MLflowSettings._fields)}.")
        if not isinstance(value, str):
            raise SpecError(f"{where}: {key} must be a string, but got {value!r}.")
    expanded = {key: expand(value, f"{where}, {key}") for key, value in table.items()}
    settings = MLflowSettings(**expanded)
    return settings._replace(tracking_uri=absolute_uri(settings.tracking_uri, base))


def environment(settings: MLflowSettings) -> dict[str, str]:
    """What MLflow reads while it is imported: telemetry off, and the file store allowed when it is asked for.

    Only what the environment does not say already.
    """
    wanted = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    if settings.kind == "file":
        wanted["MLFLOW_ALLOW_FILE_STORE"] = "true"
        _warn_of_file_store(settings.masked)
    return {name: value for name, value in wanted.items() if name not in os.environ}


def prepare_environment(settings: MLflowSettings) -> None:
    """`environment`, in this process."""
    os.environ.update(environment(settings))


@functools.cache
def _warn_of_file_store(uri: str) -> None:
    if "MLFLOW_ALLOW_FILE_STORE" not in os.environ:
        log.warning(
            "MLflow no longer recommends its file store (%s); MLFLOW_ALLOW_FILE_STORE=true is set to allow it here. "
            'tracking_uri = "%s" is faster and needs no permission.',
            uri,
            DEFAULT_URI,
        )
