"""Optuna's journal file, with many entries written under one lock and one flush to the disk.

Optuna locks, opens, writes and flushes for every entry; a flush alone takes longer than a cheap trial. The format is
untouched: dashboards and other processes read and append to the same file.
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

    def group(self) -> contextlib.AbstractContextManager[None]:
        """Everything written in this block is on the disk when it ends, under one lock and one flush."""
        return self._journal.group()


class GroupingJournal(JournalFileBackend):
    """A journal whose entries can be written in groups; a process killed inside one leaves at most a torn last line."""

    def __init__(self, path: str) -> None:
        self._group_lock = JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS)
        self._open: BinaryIO | None = None
        super().__init__(path, self._group_lock)

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """Everything appended in this block is on the disk when it ends."""
        with get_lock_file(self._group_lock), open(self._file_path, "ab") as handle:
            self._open = handle
            try:
                yield
            finally:
                self._open = None
                handle.flush()
                os.fsync(handle.fileno())

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries: within a group to the open file, else as Optuna does."""
        if self._open is None:
            super().append_logs(logs)
            return
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._open.write(lines.encode())
        self._open.flush()  # the storage reads its own entries back
