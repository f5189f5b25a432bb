"""What stands at a path that is about to be written: ours to go on with, or somebody else's to leave alone.

One rule for all targets: what is absent or empty may be written, what is of the same making is gone on with, anything
else is refused and stays as it is, byte for byte. Each function gives the reason for a refusal, "" where there is none.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable, Set
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

_FIRST_LINE = 1 << 20  # bytes; the first entry of a journal names a study and its directions
_SQLITE = b"SQLite format 3\x00"
_BESIDE = {"-journal": (b"\xd9\xd5\x05\xf9", b"\0\0\0\0"), "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")}
OPTUNA = frozenset({"studies", "trials"})  # tables by which a database is known as somebody's
MLFLOW = frozenset({"experiments", "runs"})
FILLS = ["time", "trade", "size", "price", "fee", "reason", "position"]  # of engine.report.tables.fills_table
PAGE = b"<!doctype html>\n<!-- optim report -->\n"  # how a report begins
_BEGUN = frozenset({"alembic_version", "version_info", "study_directions"})  # a database whose making was killed early


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///` URI, its options left out; None for any other."""
    found = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(found[1]) if found and found[1] != ":memory:" else None


def foreign_record(storage: str, name: str) -> str:
    """Why study `name` may not be recorded in this file; "" for a database server, which has rules of its own."""
    database = sqlite_file(storage)
    if database is None and "://" in storage:
        return ""
    path = database or Path(storage)
    reason = foreign_journal(path) if database is None else foreign_database(path, OPTUNA)
    return reason or foreign_locks(path, name)


def foreign_journal(path: Path) -> str:
    """Why this is no journal of Optuna: one begins with an entry that creates a study."""
    try:
        if _absent_or_empty(path):
            return ""
        with path.open("rb") as handle:
            first = handle.readline(_FIRST_LINE)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except _Unusual as kind:
        return str(kind)
    entry = _json_object(first) if first.endswith(b"\n") else {}
    worker, study = entry.get("worker_id"), entry.get("study_name")
    if entry.get("op_code") == 0 and isinstance(worker, str) and isinstance(study, str):
        return ""
    return "the file is there already and is no record of Optuna; name another"


def foreign_database(path: Path, core: Set[str]) -> str:
    """Why this is no SQLite database whose tables include `core`, or none at all yet."""
    try:
        if reason := _foreign_beside(path):
            return reason
        if _absent_or_empty(path):
            return ""
        if _head(path, len(_SQLITE)) != _SQLITE:
            return "the file is there already and is no record of Optuna or MLflow: no SQLite database; name another"
        tables = _tables(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except sqlite3.DatabaseError as error:
        return f"the file is there already and cannot be read as a SQLite database ({error}); name another"
    except _Unusual as kind:
        return str(kind)
    if core <= tables or tables <= core | _BEGUN:
        return ""
    of = "Optuna" if core == OPTUNA else "MLflow"
    return f"the database is another program's: it has tables, but not {of}'s; name another file"


def has_tables(path: Path, core: Set[str]) -> bool:
    """Whether a SQLite database is there with these tables; looking changes nothing."""
    try:
        return not _absent_or_empty(path) and core <= _tables(path)
    except (OSError, sqlite3.DatabaseError, _Unusual):
        return False


def foreign_locks(path: Path, name: str) -> str:
    """Why the files that guard a record cannot be made beside it."""
    guard = writer_file(path, name)
    if os.path.lexists(guard):
        if guard.is_symlink() or not guard.is_file():
            return f"{guard.name} beside it is no lock file of optim; move it away"
        try:
            if not re.fullmatch(rb"(pid \d+ on [^\n]{0,300})?", _head(guard, 400)):
                return f"{guard.name} beside it is no lock file of optim; move it away"
        except OSError as error:
            return f"{guard.name} beside it cannot be read: {error.strerror}"
    lock = path.with_name(f"{path.name}.lock")
    if os.path.lexists(lock) and not is_append_lock(lock, path):
        return f"{lock.name} beside it is no lock of Optuna; move it away"
    return ""


def writer_file(path: Path, name: str) -> Path:
    """The file beside a record that the coordinator of study `name` holds locked."""
    return path.with_name(f".{path.name}.{name}.writer")


def is_append_lock(lock: Path, path: Path) -> bool:
    """Whether `lock` is what Optuna locks a journal with: a link to it."""
    return lock.is_symlink() and Path(os.readlink(lock)).name == path.name


def foreign_table(path: Path) -> str:
    """Why this file is no earlier trials table of the same format."""
    from optim.record.table import is_trials_table

    return _foreign_columns(path, is_trials_table, "trials table")


def foreign_fills(path: Path) -> str:
    """Why this file is no earlier table of fills of the same format."""
    return _foreign_columns(path, lambda names: [name for name in names if name != "instrument"] == FILLS, "fills")


def _foreign_columns(path: Path, ours: Callable[[list[str]], bool], what: str) -> str:
    try:
        if _absent_or_empty(path):
            return ""
        names = _csv_header(path) if path.suffix == ".csv" else _parquet_header(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except _Unusual as kind:
        return str(kind)
    return "" if ours(names) else f"the file is there already and holds no {what}; name another"


def foreign_params(path: Path) -> str:
    """Why this file is no earlier block of a trial's parameters."""
    try:
        if _absent_or_empty(path):
            return ""
        known = re.match(rb"# [^\n]+, trial \d+\n\[strategy\]\n", _head(path, 400))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except _Unusual as kind:
        return str(kind)
    return "" if known else "the file is there already and holds no trial's parameters; name another"


def foreign_page(path: Path) -> str:
    """Why this file is no earlier report."""
    if path.suffix != ".html":
        return "the ending must be .html"
    try:
        if _absent_or_empty(path):
            return ""
        with path.open("rb") as file:
            known = file.read(len(PAGE)) == PAGE
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except _Unusual as kind:
        return str(kind)
    return "" if known else "the file is there already and is no report; name another"


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path: the same as long as it is neither deleted nor replaced; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def keep_beside(path: Path, data: bytes, kind: str) -> Path:
    """A new file `<path>.<kind>-1` (or 2, 3 ...) with `data`, on the disk when this returns."""
    number = 1
    while True:
        target = path.with_name(f"{path.name}.{kind}-{number}")
        try:
            with target.open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            return target
        except FileExistsError:
            number += 1


class _Unusual(Exception):  # noqa: N818 - never leaves this module
    """What is there is no ordinary file."""


def _absent_or_empty(path: Path) -> bool:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    if stat.S_ISDIR(status.st_mode):
        raise _Unusual("is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for the other end
        raise _Unusual("is no ordinary file; name another")
    return status.st_size == 0


def _head(path: Path, length: int) -> bytes:
    with path.open("rb") as handle:
        return handle.read(length)


def _json_object(line: bytes) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _foreign_beside(path: Path) -> str:
    """SQLite replays or deletes what it finds under these names, whoever wrote it."""
    for suffix, begins in _BESIDE.items():
        other = path.with_name(path.name + suffix)
        if os.path.lexists(other) and not (_absent_or_empty(other) or _head(other, 4) in begins):
            return f"{other.name} beside it is not SQLite's; move it away"
    return ""


def _tables(path: Path) -> set[str]:
    """Read without a lock or a file beside it, unless what was written last still lies in a file beside it."""
    wal = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    return {str(name) for (name,) in rows if not str(name).startswith("sqlite_")}


def _csv_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as handle:
        try:
            return next(csv.reader([handle.readline(_FIRST_LINE)]), [])
        except (csv.Error, UnicodeDecodeError):
            return []


def _parquet_header(path: Path) -> list[str]:
    import pyarrow
    from pyarrow.parquet import read_schema

    try:
        return [str(name) for name in read_schema(path).names]
    except (pyarrow.ArrowException, ValueError):
        return []


def replace_whole(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file beside its place and put it there: an earlier one stays whole until then. Raises OSError.

    Who may read and write the earlier one may the new one, and nobody else.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with partial.open("xb") as handle:
            if file.exists():
                shutil.copymode(file, partial)
            write(handle)
        partial.replace(file)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            partial.unlink(missing_ok=True)
        raise
