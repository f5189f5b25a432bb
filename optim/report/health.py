"""Is everything there that a study needs: versions, the machine, the record, MLflow. Looks only, changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.compiled.cache import cache_root
from optim.errors import SpecError, cut
from optim.problem.checks import check_storage, check_tracking
from optim.problem.plan import resolve_storage
from optim.record.files import sqlite_file
from optim.report.servers import database, mlflow_server
from optim.spec.secrets import mask, mask_uri
from optim.spec.study import StudySpec
from optim.spec.uris import is_url
from optim.tracking.early import resolve_tracking

PACKAGES = ("optuna", "mlflow", "numba", "numpy", "pandas")
_LITTLE, _NONE = 1_000_000_000, 100_000_000  # bytes of free disk


class Finding(NamedTuple):
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "warning", "problem"]
    text: str
    remedy: str = ""


def of_machine() -> Iterator[Finding]:
    """Versions, cores, the cache of compiled kernels, the disk here."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", python)
    tested = versions_tested()
    for name in PACKAGES:
        yield _package(name, tested.get(name))
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("cores", "ok", str(usable))
    root = cache_root()
    yield _writable("kernel cache", root, "name another folder in OPTIM_CACHE_DIR; without one every process compiles")
    yield _disk("disk", Path())


def of_study(spec: StudySpec) -> Iterator[Finding]:
    """Where the study is recorded and where it is tracked."""
    yield from _record(spec)
    if spec.tracking.enabled:
        yield from _tracking(spec)
    else:
        yield Finding("tracking", "ok", "[tracking] enabled = false")


def versions_tested() -> dict[str, str]:
    """The versions that the tests ran with, by package: constraints.txt, inside the wheel or beside the package."""
    here = Path(__file__).parents[1]
    for file in (here / "constraints.txt", here.parent / "constraints.txt"):
        if file.is_file():
            pairs = (line.strip().partition("==") for line in file.read_text(encoding="utf-8").splitlines())
            return {name.lower(): number for name, equals, number in pairs if equals}
    return {}


def _package(name: str, tested: str | None) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "problem", "is not installed", f"pip install {name}{'==' + tested if tested else ''}")
    if tested is None or found == tested:
        return Finding(name, "ok", found + (", as tested" if tested else ""))
    return Finding(
        name, "warning", f"{found}; tested with {tested}", f"pip install {name}=={tested}, if anything is odd"
    )


def _writable(name: str, folder: Path, remedy: str) -> Finding:
    """Whether a file could be made in a folder, or in the nearest there is above it; none is left."""
    near = next(one for one in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(one))
    try:
        with tempfile.TemporaryFile(dir=near):
            return Finding(name, "ok", f"{folder} can be written")
    except OSError as error:
        return Finding(name, "problem", f"{folder} cannot be written: {error.strerror}", remedy)


def _disk(name: str, folder: Path) -> Finding:
    near = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(near).free
    text = f"{free / 1e9:,.1f} GB free at {near}"
    if free >= _LITTLE:
        return Finding(name, "ok", text)
    return Finding(name, "problem" if free < _NONE else "warning", text, "make room: a record only grows")


def _record(spec: StudySpec) -> Iterator[Finding]:
    try:
        storage = resolve_storage(spec)
        check_storage(spec, storage)
    except SpecError as error:
        yield Finding("record", "problem", cut(str(error), 300), "mend [study] storage")
        return
    file = sqlite_file(storage) or (None if is_url(storage) else Path(storage))
    if file is None:
        yield _database("record", storage, "studies")
        return
    yield _writable("record", file.parent, "choose another folder in [study] storage")
    yield _disk("record's disk", file.parent)


def _tracking(spec: StudySpec) -> Iterator[Finding]:
    try:
        uri = resolve_tracking(spec)
        check_tracking(spec, uri, resolve_storage(spec))
    except SpecError as error:
        yield Finding("tracking", "problem", cut(str(error), 300), "mend [tracking.mlflow] tracking_uri")
        return
    if uri.startswith(("http://", "https://")):
        yield from (Finding(*row) for row in mlflow_server(uri))
        return
    file = sqlite_file(uri) or (
        None if "://" in uri and not uri.startswith("file:") else Path(uri.removeprefix("file://"))
    )
    if file is not None:
        yield _writable("tracking", file.parent, "choose another place in [tracking.mlflow] tracking_uri")
    if "://" in uri and not uri.startswith("file:") and (file is None or file.is_file()):
        yield _database("tracking", uri, "experiments") if file is None else Finding("tracking", "ok", "is there")
        yield from _schema(uri)


def _database(name: str, uri: str, table: str) -> Finding:
    """Whether a server answers, and what it holds."""
    try:
        count = database(uri, f"SELECT count(*) FROM {table}", table)
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        said = mask(cut(str(getattr(error, "orig", None) or error)), uri)
        return Finding(name, "problem", f"{mask_uri(uri)}: {said}", "start it, or mend the URL and what it names")
    held = "no tables yet" if count is None else f"{table}: {count}"
    return Finding(name, "ok", f"{mask_uri(uri)} answers; {held}")


def _schema(uri: str) -> Iterator[Finding]:
    """MLflow's tables are those of the MLflow that is installed."""
    try:
        found = database(uri, "SELECT version_num FROM alembic_version", "alembic_version")
    except Exception:  # noqa: BLE001 - that it cannot be reached has been said
        return
    known, newest = schemas()
    if found is None or not known:
        return
    if found == newest:
        yield Finding("MLflow's schema", "ok", f"{found}, the newest")
    elif found in known:
        remedy = f"keep a copy, then: mlflow db upgrade {mask_uri(uri)}"
        yield Finding("MLflow's schema", "problem", f"{found} is older than MLflow {version('mlflow')}", remedy)
    else:
        text = f"{found} is unknown to MLflow {version('mlflow')}: a newer one wrote it"
        yield Finding("MLflow's schema", "problem", text, "install the MLflow that wrote it, or name another database")


def schemas() -> tuple[frozenset[str], str]:
    """Every version of MLflow's tables that the installed MLflow knows, and its newest; MLflow is not imported."""
    from importlib.util import find_spec

    found: Any = find_spec("mlflow")
    folder = Path(found.origin).parent / "store" / "db_migrations" / "versions" if found and found.origin else Path()
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*_*.py")] if found else []
    here, before = (
        {match[1] for text in texts if (match := re.search(rf"^{name} = [\"'](\w+)[\"']", text, re.MULTILINE))}
        for name in ("revision", "down_revision")
    )
    return frozenset(here), next(iter(here - before), "")
