"""Optuna's journal file, with many trials written under one lock and one flush to the disk.

Optuna locks, opens, writes, flushes and reads back for every trial; a flush alone takes longer than a cheap trial. The
format is untouched: dashboards and other processes read and append to the same file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial

STALE_LOCK_SECONDS = 5  # a lock is held for one group of entries; an older one belongs to a dead process


class GroupingStorage(JournalStorage):
    """A journal storage with `add_trials`."""

    def __init__(self, path: str) -> None:
        self._journal = GroupingJournal(path)
        super().__init__(self._journal)

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Append finished trials, an entry each; they are on the disk when this returns.

        The storage keeps the very objects instead of reading its own entries back: they must not change any more. A
        process killed inside leaves whole entries and at most one torn last line.
        """
        with self._thread_lock, self._journal.locked():
            self._sync_with_backend()  # what others have written; from here on nobody else does
            replay = self._replay_result
            texts: dict[int, str] = {}
            head = {"op_code": JournalOperation.CREATE_TRIAL, "worker_id": replay.worker_id, "study_id": study_id}
            for trial in trials:
                trial._validate()
            self._journal.append([{**head, **_entry(trial, texts)} for trial in trials], replay.log_number_read)
            numbers = replay._study_id_to_trial_ids[study_id]
            for trial in trials:
                trial.number, trial._trial_id = len(numbers), len(replay._trials)
                numbers.append(trial._trial_id)
                replay._trials[trial._trial_id] = trial
                replay._trial_id_to_study_id[trial._trial_id] = study_id
            replay.log_number_read += len(trials)


class GroupingJournal(JournalFileBackend):
    """The file behind a GroupingStorage."""

    def __init__(self, path: str) -> None:
        self._group_lock = JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS)
        super().__init__(path, self._group_lock)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the file's lock."""
        return get_lock_file(self._group_lock)

    def append(self, entries: Sequence[dict[str, Any]], after: int) -> None:
        """Append entries behind the first `after` ones, which are all there are; the lock must be held.

        ValueError when something else stands there, a torn line that another process left: Optuna could not read past.
        """
        encode = json.JSONEncoder(separators=(",", ":")).encode
        lines = [encode(entry).encode() + b"\n" for entry in entries]
        with open(self._file_path, "ab") as handle:
            if handle.seek(0, os.SEEK_END) != self._log_number_offset[after]:
                raise ValueError("another process has left a torn line at the end of the journal")
            handle.writelines(lines)
            handle.flush()
            os.fsync(handle.fileno())
        for number, line in enumerate(lines, start=after):
            self._log_number_offset[number + 1] = self._log_number_offset[number] + len(line)


def _entry(trial: FrozenTrial, texts: dict[int, str]) -> dict[str, Any]:
    """A trial as Optuna's `create_new_trial` writes it. `texts`: distributions already encoded, by their ids."""
    for distribution in trial.distributions.values():
        if id(distribution) not in texts:
            texts[id(distribution)] = distribution_to_json(distribution)
    single = trial.values is None or len(trial.values) == 1
    return {
        "datetime_start": _utc(trial.datetime_start),
        "state": trial.state,
        "value": trial.value if single else None,
        "values": None if single else trial.values,
        "datetime_complete": _utc(trial.datetime_complete),
        "distributions": {name: texts[id(distribution)] for name, distribution in trial.distributions.items()},
        "params": {name: trial.distributions[name].to_internal_repr(value) for name, value in trial.params.items()},
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "intermediate_values": trial.intermediate_values,
    }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
