"""A study under another name, or taken out of its storage."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from optim.errors import RecordError, one_line
from optim.record.optuna_private import GroupingStorage
from optim.record.record import ID, load_record
from optim.record.rescue import Kept, keep
from optim.record.storages import open_storage, study_names
from optim.spec.secrets import mask, mask_uri

_FROM = "optim:renaming"  # of a copy that is not whole yet: the identity of what it is a copy of


def delete_record(storage: str, name: str) -> None:
    """Take a study and its trials out; the caller holds it alone. RecordError when the storage refuses."""
    try:
        optuna.delete_study(study_name=name, storage=open_storage(storage))
    except Exception as error:
        raise _refused(storage, error) from error


def rename_record(storage: str, name: str, new: str) -> None:
    """Give a study another name; the caller holds both. In a database at once, in a journal by a copy.

    A copy is known as a study by what is written last, and only then the old one goes: whenever this is cut short, the
    study is whole under one of the names, and the same call ends it. RecordError when `new` is taken.
    """
    refuse_taken(storage, name, new)
    backend = open_storage(storage)
    try:
        if isinstance(backend, RDBStorage):
            _rename_row(backend, name, new)
            return
        if load_record(storage, new) is None:
            if new in dict(study_names(storage)):  # a copy that was cut short
                optuna.delete_study(study_name=new, storage=backend)
            study = optuna.load_study(study_name=name, storage=backend)
            _copy(keep(study, backend, Path(storage)), backend, new, study.get_trials(deepcopy=False))
        optuna.delete_study(study_name=name, storage=backend)
    except Exception as error:
        raise _refused(storage, error) from error


def refuse_taken(storage: str, name: str, new: str) -> None:
    """RecordError when a study has the new name that is no copy of this one."""
    if new not in dict(study_names(storage)):
        return
    old, study = load_record(storage, name), optuna.load_study(study_name=new, storage=open_storage(storage))
    identity = study.user_attrs.get(ID) or study.user_attrs.get(_FROM)
    if old is None or new == name or identity != old.study_id:
        raise RecordError(f"{mask_uri(storage)} has a study named {new!r} already; choose another name")


def _copy(kept: Kept, backend: BaseStorage, new: str, trials: Sequence[FrozenTrial]) -> None:
    study = optuna.create_study(storage=backend, study_name=new, directions=kept.directions)
    study.set_user_attr(_FROM, kept.user_attrs[ID])
    number = backend.get_study_id_from_name(new)
    for key, value in kept.system_attrs.items():
        backend.set_study_system_attr(number, key, value)
    for key, value in kept.user_attrs.items():
        if key not in (ID, _FROM):
            study.set_user_attr(key, value)
    if isinstance(backend, GroupingStorage):
        backend.add_trials(number, [copy.copy(trial) for trial in trials])
    else:
        study.add_trials(trials)
    study.set_user_attr(ID, kept.user_attrs[ID])


def _rename_row(backend: RDBStorage, name: str, new: str) -> None:
    from sqlalchemy import text

    with backend.engine.begin() as connection:
        change = text("UPDATE studies SET study_name = :new WHERE study_name = :name")
        connection.execute(change, {"new": new, "name": name})


def _refused(storage: str, error: Exception) -> RecordError:
    said = mask(one_line(str(error)), storage)
    return RecordError(
        f"the record {mask_uri(storage)} cannot be changed ({type(error).__name__}: {said}); the study is whole in it: "
        "run the same command again"
    )
