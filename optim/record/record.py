"""The persistent Optuna record: the truth about a study. One writer; appended to, never rewritten.

A journal file (default) or any database URL Optuna takes. A finished trial is appended whole, in one call, so a record
holds no RUNNING trial.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage

from optim.errors import RecordError, one_line
from optim.record.differences import differences
from optim.record.files import sqlite_file
from optim.record.notes import parts_of, whole
from optim.record.optuna_private import GroupingStorage
from optim.record.quiet import no_warnings
from optim.record.rescue import Kept, keep, rescue
from optim.record.storages import broken_line, exists, open_storage
from optim.spec.secrets import mask, mask_uri
from optim.spec.sections import Direction
from optim.spec.uris import is_url

ID, SPEC, VERSIONS = "optim:id", "optim:spec", "optim:versions"
NUMBERS_SINCE = (0, 2)  # the first version whose results are today's to the last digit
ENDED = "optim:ended"  # why the search last ended, and with how many trials
OWNER = "optim:owner"  # in a database: who writes, as another coordinator is told
BATCH, SLOT = "optim:batch", "optim:slot"
ASKED = "optim:asked"  # a trial's number in the memory of the search, where that is another one than in the record


class Record:
    """One study in one storage."""

    def __init__(self, study: optuna.Study, storage: str, backend: BaseStorage):
        self.study = study
        self.location = mask_uri(storage)
        self._secret = storage
        self._file = file_of(storage)
        self._storage = backend
        self._guard: Callable[[], None] = lambda: None
        self._kept: Kept | None = None  # what to rescue, and
        self._known: list[optuna.trial.FrozenTrial] = []

    def claim(self, owner: str, guard: Callable[[], None]) -> None:
        """Written by `owner` from now on; `guard` raises when another coordinator may write."""
        self._guard = guard
        if is_url(self.location):
            self.study.set_user_attr(OWNER, owner)
        if self._file is not None:
            self._known = list(self.trials())
            self._kept = keep(self.study, self._storage, self._file)

    @property
    def study_id(self) -> str:
        """The study's identity: made once, kept with the record."""
        return str(self.study.user_attrs[ID])

    @functools.cached_property
    def number(self) -> int:
        """The study's number in its storage, by which Optuna's dashboard knows it."""
        return self._storage.get_study_id_from_name(self.study.study_name)

    @property
    def spec(self) -> dict[str, Any]:
        """What determined the results when the study was created."""
        return dict(self.study.user_attrs[SPEC])

    @property
    def versions(self) -> dict[str, str]:
        """The versions with which the study was begun, by package."""
        return {name: str(text) for name, text in self.study.user_attrs.get(VERSIONS, {}).items()}

    @property
    def version(self) -> str:
        """The version of optim that began the study; empty when it is not known."""
        return self.versions.get("optim", "")

    def ended(self) -> str:
        """Why the search that wrote the last of these trials ended; empty when that is not known."""
        said = self.study.user_attrs.get(ENDED) or {}
        return str(said["reason"]) if said.get("trials") == len(self.trials()) else ""

    def note_end(self, reason: str) -> None:
        """Keep why the search ended, where that is news."""
        said = {"reason": reason, "trials": len(self.trials())}
        if self.study.user_attrs.get(ENDED) != said:
            self._guard()
            self.study.set_user_attr(ENDED, said)

    def noted(self, name: str) -> Any:
        """What was kept beside the trials under a name; None if nothing was. Dashboards do not show it."""
        try:
            return whole(self._storage.get_study_system_attrs(self.number), name)
        except Exception as error:
            raise self._failure(error, (), "read") from error

    def note(self, name: str, value: Any) -> None:
        """Keep something beside the trials: plain data, in the place of what has the name already."""
        self._guard()
        try:
            before = self._storage.get_study_system_attrs(self.number).get(name)
            for part, kept in parts_of(name, value, before):
                self._storage.set_study_system_attr(self.number, part, kept)
        except Exception as error:
            raise self._failure(error, (), "written") from error

    def refuse_other_numbers(self) -> None:
        """RecordError when the study was begun by a version whose results differ from today's."""
        if (parts := re.match(r"(\d+)\.(\d+)", self.version)) and tuple(map(int, parts.groups())) < NUMBERS_SINCE:
            raise RecordError(
                f"study {self.study.study_name!r} in {self.location} was begun with optim {self.version}, whose "
                "numbers differ from this version's (see CHANGELOG.md): show, export, sync work; to go on or replay it "
                f"install optim {self.version}, or begin anew under another name (--new-name NAME)"
            )

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """All trials, in order of their numbers; RecordError when the storage cannot be read."""
        if self._kept is not None and self._lost():
            raise rescue(self._kept, self._known)
        try:
            return self.study.get_trials(deepcopy=False)
        except Exception as error:
            raise self._failure(error, (), "read") from error

    def append(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Write finished trials, which change no more; RecordError when the storage cannot take them."""
        self._guard()
        if self._kept is not None and self._lost():
            raise rescue(self._kept, [*self._known, *trials])
        try:
            if isinstance(self._storage, GroupingStorage):
                self._storage.add_trials(self.number, trials)
            else:
                self.study.add_trials(trials)
        except Exception as error:
            raise self._failure(error, trials, "written") from error
        if self._kept is not None:
            self._known += trials

    def intact(self) -> bool:
        """Whether the storage still is what was opened; what others have added to it will be seen."""
        return not isinstance(self._storage, GroupingStorage) or self._storage.intact()

    def _lost(self) -> bool:
        """Whether the file is no longer the one that the study was begun or resumed with."""
        return not self.intact() or (self._kept is not None and self._kept.moved())

    def _failure(self, error: Exception, trials: Sequence[optuna.trial.FrozenTrial], done: str) -> RecordError:
        """What went wrong and what has become of the trials; a lost record is rescued."""
        if self._kept is not None and self._lost():
            return rescue(self._kept, [*self._known, *trials])
        if broken := broken_line(self._secret):
            return broken
        said = mask(one_line(str(error)), self._secret)
        return RecordError(
            f"the record {self.location} cannot be {done} ({type(error).__name__}: {said}); "
            "all trials before this batch are safe: make room or bring it back, then run the same command to resume"
        )


def file_of(storage: str) -> Path | None:
    """The file that holds the record; None for a database server."""
    return sqlite_file(storage) if is_url(storage) else Path(storage)


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
    backend = open_storage(storage)
    try:
        study = optuna.create_study(storage=backend, study_name=name, directions=list(directions), load_if_exists=True)
        known = study.user_attrs.get(ID)
        begun = bool(study.get_trials(deepcopy=False))
        if begun and known is None:
            raise RecordError(
                f"{mask_uri(storage)} has a study named {name!r} that was not made by optim; give [study] another name"
            )
        if known is not None and not begun and any(differences(study.user_attrs.get(SPEC, {}), fingerprint)):
            optuna.delete_study(study_name=name, storage=backend)
            study = optuna.create_study(storage=backend, study_name=name, directions=list(directions))
        if ID not in study.user_attrs:
            with no_warnings():
                study.set_metric_names(list(metrics))  # else dashboards call them Objective 0, 1 ...
            study.set_user_attr(SPEC, dict(fingerprint))
            study.set_user_attr(VERSIONS, dict(versions))
            study.set_user_attr(ID, known or uuid.uuid4().hex)
    except RecordError:
        raise
    except Exception as error:
        said = mask(one_line(str(error)), storage)
        raise RecordError(f"the record {mask_uri(storage)} cannot be used: {type(error).__name__}: {said}") from error
    return Record(study, storage, backend)


def load_record(storage: str, name: str) -> Record | None:
    """The study if it is there; nothing is created."""
    if not exists(storage):
        return None
    try:
        backend = open_storage(storage)
        study = optuna.load_study(storage=backend, study_name=name)
    except KeyError:
        return None
    return Record(study, storage, backend) if ID in study.user_attrs else None


def noted_everywhere(record: Record, name: str) -> list[Any]:
    """What every study in a record's storage keeps under a name."""
    try:
        studies = record._storage.get_all_studies()
    except Exception as error:
        raise record._failure(error, (), "read") from error
    return [whole(study.system_attrs, name) for study in studies if name in study.system_attrs]
