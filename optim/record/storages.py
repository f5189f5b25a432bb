"""A record's storage: a journal file or a database, opened, and refused where it is something else."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage

from optim.errors import RecordError, one_line
from optim.record.files import OPTUNA, foreign_database, foreign_journal, has_tables, sqlite_file
from optim.record.garbage import no_collection
from optim.record.journal import unreadable_line
from optim.record.optuna_private import GroupingStorage
from optim.spec.secrets import mask, mask_uri
from optim.spec.uris import is_url, with_driver


def exists(storage: str) -> bool:
    """Whether there is anything to load; a database server is asked by name later."""
    database = sqlite_file(storage)
    if database is not None:
        _refuse_foreign(foreign_database(database, OPTUNA), storage)
        return has_tables(database, OPTUNA)
    return is_url(storage) or os.path.exists(storage)


def open_storage(storage: str) -> BaseStorage:
    """The storage, made where there is none. RecordError when it cannot be opened or is not Optuna's."""
    database = sqlite_file(storage)
    if database is not None:
        _refuse_foreign(foreign_database(database, OPTUNA), storage)
    elif not is_url(storage):
        _refuse_foreign(foreign_journal(Path(storage)), storage)
    try:
        if is_url(storage):
            if database is not None:
                database.parent.mkdir(parents=True, exist_ok=True)
            return RDBStorage(with_driver(storage))
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        with no_collection():
            return GroupingStorage(storage)
    except Exception as error:
        if broken := broken_line(storage):
            raise broken from None
        cause = getattr(error, "orig", None) or error  # without SQLAlchemy's own links
        said = mask(" ".join(str(cause).split()), storage)
        raise RecordError(f"the record {mask_uri(storage)} cannot be opened: {type(cause).__name__}: {said}") from error


def broken_line(storage: str) -> RecordError | None:
    """What is wrong with a journal that Optuna cannot read, and where."""
    found = "" if is_url(storage) else unreadable_line(storage)
    if not found:
        return None
    return RecordError(
        f"the record {storage}: {found} is no entry of an Optuna journal; bring back a copy of the file, or take the "
        "line out, which loses only what it held, then run the same command again"
    )


def _refuse_foreign(reason: str, storage: str) -> None:
    if reason:
        raise RecordError(f"[study] storage = {mask_uri(storage)!r}: {reason}")


def study_names(storage: str) -> list[tuple[str, int]]:
    """Name and number of trials of every study in a storage; nothing is created."""
    if not exists(storage):
        return []
    backend = open_storage(storage)
    try:
        names = [study.study_name for study in backend.get_all_studies()]
        return [(name, backend.get_n_trials(backend.get_study_id_from_name(name))) for name in names]
    except Exception as error:
        said = mask(one_line(str(error)), storage)
        raise RecordError(f"the record {mask_uri(storage)} cannot be read: {type(error).__name__}: {said}") from error
