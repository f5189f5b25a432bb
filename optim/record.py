"""The persistent Optuna record: the truth about a study. One writer; appended to, never rewritten.

A journal file (default) or any database URL Optuna takes. A finished trial is appended whole, in one call, so a record
holds no RUNNING trial.
"""

from __future__ import annotations

import json
import os
import re
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage

from optim.errors import RecordError
from optim.journal import GroupingStorage
from optim.objective import Direction
from optim.secrets import mask
from optim.tracking.settings import with_driver

ID, SPEC, VERSIONS = "optim:id", "optim:spec", "optim:versions"
NUMBERS_SINCE = (0, 2)  # the first version whose results are today's to the last digit
OWNER = "optim:owner"  # in a database: who writes, as another coordinator is told
BATCH, SLOT = "optim:batch", "optim:slot"
ASKED = "optim:asked"  # a trial's number in the memory of the search, where that is another one than in the record


class Record:
    """One study in one storage."""

    def __init__(self, study: optuna.Study, location: str, storage: BaseStorage):
        self.study = study
        self.location = location
        self._storage = storage
        self._guard: Callable[[], None] = lambda: None

    def claim(self, owner: str, guard: Callable[[], None]) -> None:
        """Written by `owner` from now on; `guard` raises when another coordinator may write."""
        self._guard = guard
        if is_url(self.location):
            self.study.set_user_attr(OWNER, owner)

    @property
    def study_id(self) -> str:
        """The study's identity: made once, kept with the record."""
        return str(self.study.user_attrs[ID])

    @property
    def spec(self) -> dict[str, Any]:
        """What determined the results when the study was created."""
        return dict(self.study.user_attrs[SPEC])

    @property
    def version(self) -> str:
        """The version of optim that began the study; empty when it is not known."""
        return str(self.study.user_attrs.get(VERSIONS, {}).get("optim", ""))

    def refuse_other_numbers(self) -> None:
        """RecordError when the study was begun by a version whose results differ from today's."""
        if (parts := re.match(r"(\d+)\.(\d+)", self.version)) and tuple(map(int, parts.groups())) < NUMBERS_SINCE:
            raise RecordError(
                f"study {self.study.study_name!r} in {self.location} was begun with optim {self.version}, whose "
                "numbers differ from this version's (see CHANGELOG.md): show, export, sync work; to go on or replay it "
                f"install optim {self.version}, or begin anew under another name (--new-name NAME)"
            )

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials, in order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def append(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Write finished trials, which change no more; RecordError when the storage cannot take them."""
        self._guard()
        try:
            if isinstance(self._storage, GroupingStorage):
                self._storage.add_trials(self.study._study_id, trials)
            else:
                self.study.add_trials(trials)
        except Exception as error:
            raise RecordError(
                f"the record {self.location} cannot be written ({type(error).__name__}: {mask(str(error))}); "
                "all trials before this batch are safe: make room or bring it back, then run the same command to resume"
            ) from error


def is_url(storage: str) -> bool:
    """Whether a storage is a database URL, not the path of a journal file."""
    return "://" in storage


def open_record(
    storage: str,
    name: str,
    directions: Sequence[Direction],
    fingerprint: Mapping[str, Any],
    versions: Mapping[str, str],
    metrics: Sequence[str],
) -> Record:
    """The study called `name` in `storage`, created when it is not there yet.

    `fingerprint` is stored at creation, and anew while there is no trial: nothing depends on it yet. Comparing it is
    the caller's business. RecordError when the storage cannot be opened or holds a study of that name that optim did
    not make.
    """
    backend = _open_storage(storage)
    try:
        study = optuna.create_study(storage=backend, study_name=name, directions=list(directions), load_if_exists=True)
        known = study.user_attrs.get(ID)
        begun = bool(study.get_trials(deepcopy=False))
        if begun and known is None:
            raise RecordError(
                f"{mask(storage)} has a study named {name!r} that was not made by optim; give [study] another name"
            )
        if known is not None and not begun and any(differences(study.user_attrs.get(SPEC, {}), fingerprint)):
            optuna.delete_study(study_name=name, storage=backend)
            study = optuna.create_study(storage=backend, study_name=name, directions=list(directions))
        if ID not in study.user_attrs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(list(metrics))  # else dashboards call them Objective 0, 1 ...
            study.set_user_attr(SPEC, dict(fingerprint))
            study.set_user_attr(VERSIONS, dict(versions))
            study.set_user_attr(ID, known or uuid.uuid4().hex)
    except RecordError:
        raise
    except Exception as error:
        raise RecordError(
            f"the record {mask(storage)} cannot be used: {type(error).__name__}: {mask(str(error))}"
        ) from error
    return Record(study, mask(storage), backend)


def load_record(storage: str, name: str) -> Record | None:
    """The study if it is there; nothing is created."""
    if not is_url(storage) and not Path(storage).exists():
        return None
    try:
        backend = _open_storage(storage)
        study = optuna.load_study(storage=backend, study_name=name)
    except KeyError:
        return None
    return Record(study, mask(storage), backend) if ID in study.user_attrs else None


def study_names(storage: str) -> list[tuple[str, int]]:
    """Name and number of trials of every study in a storage; nothing is created."""
    if not is_url(storage) and not Path(storage).exists():
        return []
    summaries = optuna.get_all_study_summaries(_open_storage(storage))
    return [(summary.study_name, summary.n_trials) for summary in summaries]


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Where two fingerprints differ, as `[section] key was 1, is 2`."""
    return _differences(json.loads(json.dumps(then)), json.loads(json.dumps(now)), "")


def _differences(then: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted(then.keys() | now.keys()):
            inner = f"[{key}]" if not place else f"{place} {key}" if place.endswith("]") else f"{place}.{key}"
            yield from _differences(then.get(key), now.get(key), inner)
    elif isinstance(then, list) and isinstance(now, list) and any(map(_is_digest, then)) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True), start=1):
            yield from _differences(one, other, f"{place} of file {number}")
    elif then != now:
        if _is_digest(then) and _is_digest(now):
            yield f"{place} has changed"
        elif _is_digest(then) or _is_digest(now):
            yield f"{place} is {'used no more' if now is None else 'used now, and was not'}"
        else:
            yield f"{place} was {_short(then)}, is {_short(now)}"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _short(value: Any) -> str:
    """A value of a fingerprint as a sentence can hold it."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _open_storage(storage: str) -> BaseStorage:
    try:
        if is_url(storage):
            if storage.startswith("sqlite:///"):
                Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            return RDBStorage(with_driver(storage))
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return GroupingStorage(storage)
    except Exception as error:
        cause = getattr(error, "orig", None) or error  # without SQLAlchemy's own links
        said = mask(" ".join(str(cause).split()), storage)
        raise RecordError(f"the record {mask(storage)} cannot be opened: {type(cause).__name__}: {said}") from error


def repair_tail(path: Path) -> None:
    """Cut a torn last line, which a killed process or a full disk leaves: Optuna could not read past it."""
    if not path.exists():
        return
    with path.open("r+b") as handle:
        end = handle.seek(0, os.SEEK_END)
        start = _last_line(handle, end)
        handle.seek(start)
        line = handle.read(end - start)
        if line and not _whole(line):
            handle.truncate(start)


def _last_line(handle: Any, end: int) -> int:
    """Where the last line begins; a final newline belongs to its line."""
    position = max(end - 1, 0)
    while position > 0:
        step = min(65536, position)
        handle.seek(position - step)
        found = handle.read(step).rfind(b"\n")
        if found >= 0:
            return int(position - step + found + 1)
        position -= step
    return 0


def _whole(line: bytes) -> bool:
    if not line.endswith(b"\n"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
