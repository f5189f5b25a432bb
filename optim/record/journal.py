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
from pathlib import Path
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult
from optuna.trial import FrozenTrial

from optim.errors import RecordError, shown
from optim.record.files import foreign_journal, keep_beside

STALE_LOCK_SECONDS = 5  # a lock is held for one group of entries; an older one belongs to a dead process
_LOOKED_AT = 4096  # bytes at the end of a journal by which it is known again


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

    def intact(self) -> bool:
        """Whether what was read and written still stands in the file; False when it was cut or written anew."""
        return self._journal.intact()


class GroupingJournal(JournalFileBackend):
    """The file behind a GroupingStorage."""

    def __init__(self, path: str) -> None:
        self._group_lock = JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS)
        super().__init__(path, self._group_lock)
        with open(path, "rb") as handle:
            start = max(handle.seek(0, os.SEEK_END) - _LOOKED_AT, 0)
            handle.seek(start)
            last = handle.read()
        self._known = start, last[: last.rfind(b"\n") + 1]  # bytes that stay where they are: entries only follow them

    def intact(self) -> bool:
        """Whether the bytes that were last are where they were."""
        start, expected = self._known
        try:
            with open(self._file_path, "rb") as handle:
                handle.seek(start)
                return handle.read(len(expected)) == expected
        except OSError:
            return False

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the file's lock."""
        return get_lock_file(self._group_lock)

    def append(self, entries: Sequence[dict[str, Any]], after: int) -> None:
        """Append entries behind the first `after` ones, which are all there are; the lock must be held.

        ValueError when something else stands there, a torn line that another process left: Optuna could not read past.
        """
        encode = json.JSONEncoder(separators=(",", ":")).encode
        lines = [encode(entry).encode() + b"\n" for entry in entries]
        with open(self._file_path, "r+b") as handle:  # "ab" would make a new file of one that was deleted
            if handle.seek(0, os.SEEK_END) != self._log_number_offset[after]:
                raise ValueError("another process has left a torn line at the end of the journal")
            handle.writelines(lines)
            handle.flush()
            os.fsync(handle.fileno())
        for number, line in enumerate(lines, start=after):
            self._log_number_offset[number + 1] = self._log_number_offset[number] + len(line)
        if lines:
            self._known = self._log_number_offset[after + len(lines) - 1], lines[-1]


def unreadable_line(path: str) -> str:
    """The first line that Optuna cannot read, as `line 7 ('...')`; "" if there is none. A torn last line is none."""
    replay = JournalStorageReplayResult("")
    try:
        with open(path, "rb") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    replay.apply_logs([json.loads(line)])
                except Exception:  # noqa: BLE001 - Optuna takes an entry as it comes: any error is one of the entry's
                    return f"line {number} ({shown(line[:200].decode(errors='replace').rstrip())})"
    except OSError:
        pass
    return ""


def repair_tail(path: Path) -> None:
    """Cut a torn last line, which a killed process or a full disk leaves: Optuna could not read past it.

    What is cut stays beside the journal as `<journal>.torn-1`. RecordError when the file is no journal.
    """
    if not path.exists():
        return
    if reason := foreign_journal(path):
        raise RecordError(f"[study] storage = '{path}': {reason}")
    try:
        with path.open("r+b") as handle:
            end = handle.seek(0, os.SEEK_END)
            start = _last_line(handle, end)
            handle.seek(start)
            line = handle.read(end - start)
            if line and not _whole(line):
                keep_beside(path, line, "torn")
                handle.truncate(start)
    except OSError as error:
        raise RecordError(f"the record {path} ends in a torn line and cannot be mended: {error.strerror}") from None


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
    except (ValueError, RecursionError):
        return False
    return True


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
