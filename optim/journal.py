"""Optuna's journal file, with many entries written under one lock and one flush to the disk.

Optuna locks, opens, writes, flushes and reads back for every entry; a flush alone takes longer than a cheap trial. The
format is untouched: dashboards and other processes read and append to the same file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._file import get_lock_file

STALE_LOCK_SECONDS = 5  # a lock is held for one group of entries; an older one belongs to a dead process


class GroupingStorage(JournalStorage):
    """A journal storage with `group`."""

    def __init__(self, path: str) -> None:
        self._journal = GroupingJournal(path)
        super().__init__(self._journal)

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """Everything written in this block is on the disk when it ends, under one lock and one flush.

        A process killed inside leaves whole entries and at most one torn last line.
        """
        with self._journal.locked():
            self.get_all_studies()  # reads what others have written; from here on nobody else does
            with self._journal.writing():
                yield


class GroupingJournal(JournalFileBackend):
    """The file behind a GroupingStorage."""

    def __init__(self, path: str) -> None:
        self._group_lock = JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS)
        self._open: BinaryIO | None = None
        self._unread: list[tuple[dict[str, Any], int]] = []  # entries of the open group and their lengths in bytes
        super().__init__(path, self._group_lock)

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the file's lock."""
        return get_lock_file(self._group_lock)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the file open; flush it to the disk at the end."""
        with open(self._file_path, "ab") as handle:
            self._open = handle
            try:
                yield
            finally:
                self._open = None
                handle.flush()
                os.fsync(handle.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries: to the open file within a group, else as Optuna does."""
        if self._open is None:
            super().append_logs(logs)
            return
        for log in logs:
            line = json.dumps(log, separators=(",", ":")).encode() + b"\n"
            self._open.write(line)
            self._unread.append((log, len(line)))

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Entries from a number on: within a group only its own are new, and they need no reading."""
        if self._open is None:
            yield from super().read_logs(log_number_from)
            return
        offsets = self._log_number_offset
        unread, self._unread = self._unread, []
        for number, (log, length) in enumerate(unread, start=log_number_from):
            offsets[number + 1] = offsets[number] + length
            yield log
