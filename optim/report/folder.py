"""The study files of a folder, and how far each has come."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from optim.errors import OptimError, cut
from optim.problem.checks import check_storage
from optim.problem.plan import resolve_storage
from optim.record.storages import study_names
from optim.spec.secrets import mask, refuse_sent
from optim.spec.study import load_spec
from optim.spec.toml_file import read_toml


class Listed(NamedTuple):
    """A study file."""

    file: str
    study: str
    trials: int | None  # None before its first run
    error: str = ""  # why it or its record cannot be read


def studies_in(folder: Path, *, no_env: bool = False) -> list[Listed]:
    """Every `*.toml` with a [study] table, by name; what is wrong with one stands in its place.

    no_env: a study that would send a variable of the environment is not looked up.
    """
    return [one for path in sorted(folder.glob("*.toml")) if (one := _listed(path, no_env)) is not None]


def _listed(path: Path, no_env: bool) -> Listed | None:
    try:
        table = read_toml(path)
    except OptimError:  # some other tool's file, as far as anyone can tell
        return None
    if not isinstance(table.get("study"), dict):
        return None
    name = str(table["study"].get("name", ""))
    try:
        spec = load_spec(path)
        if no_env:
            refuse_sent(spec.path, spec.uris)
        storage = resolve_storage(spec)
        check_storage(spec, storage)
        return Listed(path.name, spec.study.name, dict(study_names(storage)).get(spec.study.name))
    except OptimError as error:
        return Listed(path.name, name, None, mask(cut(str(error), 300)))
