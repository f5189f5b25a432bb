"""What records use of Optuna that Optuna does not promise to keep: the inside of its journal, and of `tell`.

Optuna locks, opens, writes, flushes and reads back for every trial; a flush alone takes longer than a cheap trial.
Here many trials are written under one lock and one flush. The format is untouched: dashboards and other processes read
and append to the same file. With a version of Optuna that is not among `KNOWN` the trials are added one by one, and
told by Optuna's own `tell`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
import orjson
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

from optim.record.journal import STALE_LOCK_SECONDS, append_lock, whole_tail

KNOWN = ("5.0.",)  # the versions of Optuna whose insides are those used here

_TRIAL = f'{{"op_code":{JournalOperation.CREATE_TRIAL:d},'.encode()  # how the entry of a whole trial begins
_STATES = {state.value: state for state in TrialState}
_UTC, _MINUTE = "+00:00", len("2026-01-31T12:34")  # how a time of the journal ends, and its minute


def finish(study: optuna.Study, trial: optuna.Trial, values: Sequence[float] | None, state: TrialState) -> None:
    """`study.tell` without its answer, a deep copy of the trial, which takes longer than all else of it."""
    if optuna.__version__.startswith(KNOWN):
        from optuna.study._tell import _tell_with_warning

        _tell_with_warning(study, trial, values, state)
    else:
        study.tell(trial, values, state)


class GroupingStorage(JournalStorage):
    """A journal storage with `add_trials`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._distributions: dict[str, BaseDistribution] = {}  # by their text
        self._journal = GroupingJournal(path)
        super().__init__(self._journal)
        self._last = whole_tail(path)  # bytes that stay where they are: entries only follow them

    def add_trials(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Append finished trials, an entry each; they are on the disk when this returns.

        The storage may keep the very objects: they must not change any more. A process killed inside leaves whole
        entries and at most one torn last line.
        """
        if optuna.__version__.startswith(KNOWN):
            self._last = self._add_together(study_id, trials) or self._last
        else:
            study = optuna.load_study(study_name=self.get_study_name_from_id(study_id), storage=self)
            study.add_trials(trials)
            self._last = whole_tail(self._path)

    def intact(self) -> bool:
        """Whether what was read and written still stands in the file; False when it was cut or written anew."""
        start, expected = self._last
        try:
            with open(self._path, "rb") as handle:
                handle.seek(start)
                return handle.read(len(expected)) == expected
        except OSError:
            return False

    def _sync_with_backend(self) -> None:
        """Take what others have written; distributions, the same in every trial, are decoded once.

        Uses JournalStorage's `_backend` and `_replay_result`, whose answers it gives (tests/record/test_storages.py).
        """
        if not optuna.__version__.startswith(KNOWN):
            super()._sync_with_backend()
            return
        replay, known = self._replay_result, self._distributions
        own = replay.worker_id
        for entry in self._backend.read_logs(replay.log_number_read):
            study_id = entry.get("study_id")
            whole = entry["op_code"] == JournalOperation.CREATE_TRIAL and "distributions" in entry
            if not whole or entry["worker_id"] == own or study_id not in replay._studies:
                replay.apply_logs([entry])
                continue
            replay.log_number_read += 1
            numbers, trial_id = replay._study_id_to_trial_ids[study_id], len(replay._trials)
            replay._trials[trial_id] = _trial(entry, trial_id, len(numbers), known)
            replay._trial_id_to_study_id[trial_id] = study_id
            numbers.append(trial_id)

    def _add_together(self, study_id: int, trials: Sequence[FrozenTrial]) -> tuple[int, bytes] | None:
        """`add_trials` without reading back what was written; where the last entry stands, and its bytes.

        Uses JournalStorage's `_thread_lock`, `_sync_with_backend` and `_replay_result`, and FrozenTrial's `_validate`
        and `_trial_id`.
        """
        with self._thread_lock, append_lock(self._path):
            self._sync_with_backend()  # what others have written; from here on nobody else does
            replay = self._replay_result
            texts: dict[int, str] = {}
            head = {"op_code": JournalOperation.CREATE_TRIAL, "worker_id": replay.worker_id, "study_id": study_id}
            for trial in trials:
                trial._validate()
            last = self._journal.append([{**head, **_entry(trial, texts)} for trial in trials], replay.log_number_read)
            numbers = replay._study_id_to_trial_ids[study_id]
            for trial in trials:
                trial.number, trial._trial_id = len(numbers), len(replay._trials)
                numbers.append(trial._trial_id)
                replay._trials[trial._trial_id] = trial
                replay._trial_id_to_study_id[trial._trial_id] = study_id
            replay.log_number_read += len(trials)
        return last


class GroupingJournal(JournalFileBackend):
    """The file behind a GroupingStorage."""

    def __init__(self, path: str) -> None:
        super().__init__(path, JournalFileSymlinkLock(path, grace_period=STALE_LOCK_SECONDS))

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Every entry from one on, as Optuna's own method gives them, decoded several times as fast.

        A last line that is torn, or no JSON, is none: another process may be writing it. Before others it is an error.
        Uses JournalFileBackend's `_file_path` and `_log_number_offset`.
        """
        known = self._log_number_offset
        number = log_number_from if log_number_from in known else 0
        with open(self._file_path, "rb") as handle:
            left = os.fstat(handle.fileno()).st_size - known[number]  # others may go on writing
            handle.seek(known[number])
            broken: ValueError | None = None
            for line in handle:
                left -= len(line)
                if left < 0:
                    return
                if broken:
                    raise broken
                if not line.endswith(b"\n"):
                    broken = ValueError("Invalid log format.")
                    continue
                if number >= log_number_from:
                    try:
                        entry = _decoded(line)
                    except ValueError as error:
                        broken = error
                        continue
                known[number + 1] = known[number] + len(line)
                number += 1
                if number > log_number_from:
                    yield entry

    def append(self, entries: Sequence[dict[str, Any]], after: int) -> tuple[int, bytes] | None:
        """Append entries behind the first `after` ones, which are all there are; the lock must be held.

        Where the last one stands, and its bytes. ValueError when something else stands there, a torn line that another
        process left: Optuna could not read past. Uses JournalFileBackend's `_file_path` and `_log_number_offset`.
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
        return (self._log_number_offset[after + len(lines) - 1], lines[-1]) if lines else None


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


def _trial(entry: dict[str, Any], trial_id: int, number: int, known: dict[str, BaseDistribution]) -> FrozenTrial:
    """An entry as Optuna's `_apply_create_trial` reads it. known: distributions already decoded, by their texts."""
    distributions = {}
    for name, text in entry["distributions"].items():
        if text not in known:
            known[text] = json_to_distribution(text)
        distributions[name] = known[text]
    return FrozenTrial(
        number=number,
        state=_STATES[entry.get("state", TrialState.RUNNING)],
        value=entry.get("value"),
        datetime_start=_local(entry["datetime_start"]),
        datetime_complete=_local(entry["datetime_complete"]) if "datetime_complete" in entry else None,
        params={name: distributions[name].to_external_repr(value) for name, value in entry.get("params", {}).items()},
        distributions=distributions,
        user_attrs=entry.get("user_attrs", {}),
        system_attrs=entry.get("system_attrs", {}),
        intermediate_values={int(step): value for step, value in entry.get("intermediate_values", {}).items()},
        trial_id=trial_id,
        values=entry.get("values"),
    )


def _decoded(line: bytes) -> dict[str, Any]:
    """A line of JSON as the standard library reads it; it alone knows Infinity, NaN and, in attributes, any integer."""
    entry: dict[str, Any]
    if line.startswith(_TRIAL):
        with contextlib.suppress(ValueError):
            entry = orjson.loads(line)
            return entry
    entry = json.loads(line)
    return entry


def _local(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text.endswith(_UTC):
        return datetime.fromisoformat(text[: -len(_UTC)]) + _ahead(text[:_MINUTE])
    moment = datetime.fromisoformat(text)
    return moment.astimezone().replace(tzinfo=None) if moment.tzinfo else moment


@functools.lru_cache(maxsize=4096)
def _ahead(minute: str) -> timedelta:
    """How far local time is ahead of a minute of UTC: clocks are changed at whole minutes."""
    moment = datetime.fromisoformat(minute)
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) - moment


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="microseconds")
