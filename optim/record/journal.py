"""Optuna's journal file: the lock under which it is appended to, its last line, and a line that cannot be read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileSymlinkLock

from optim.errors import RecordError, shown
from optim.record.files import foreign_journal, keep_beside

STALE_LOCK_SECONDS = 5  # a lock is held for one group of entries; an older one belongs to a dead process
_LOOKED_AT = 4096  # bytes at the end of a journal by which it is known again


@contextlib.contextmanager
def append_lock(path: str | Path) -> Iterator[None]:
    """Hold the lock under which Optuna's processes append to a journal."""
    lock = JournalFileSymlinkLock(str(path), grace_period=STALE_LOCK_SECONDS)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def whole_tail(path: str | Path) -> tuple[int, bytes]:
    """Where the last bytes of a journal stand, and these bytes, without a torn last line."""
    with open(path, "rb") as handle:
        start = max(handle.seek(0, os.SEEK_END) - _LOOKED_AT, 0)
        handle.seek(start)
        last = handle.read()
    return start, last[: last.rfind(b"\n") + 1]


class _Lines(BaseJournalBackend):
    """A journal as Optuna reads it, line by line; which line was read last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.number, self.line = 0, b""

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Every entry; a torn last line is none."""
        with open(self._path, "rb") as handle:
            for self.number, self.line in enumerate(handle, start=1):
                if self.line.endswith(b"\n"):
                    yield json.loads(self.line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Nothing is written."""


def unreadable_line(path: str) -> str:
    """The first line that Optuna cannot read, as `line 7 ('...')`; "" if there is none. A torn last line is none."""
    lines = _Lines(path)
    try:
        JournalStorage(lines)
    except OSError:
        return ""
    except Exception:  # noqa: BLE001 - Optuna takes an entry as it comes: any error is one of the entry's
        return f"line {lines.number} ({shown(lines.line[:200].decode(errors='replace').rstrip())})"
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
