"""When the file of a record is deleted or replaced under a running study: its trials, from memory, into a new one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from optim.errors import RecordError
from optim.record.files import identity
from optim.record.optuna_private import GroupingStorage


class Kept(NamedTuple):
    """All that a record says of a study, but for its trials, and which file it is."""

    path: Path
    file: tuple[int, int] | None
    name: str
    directions: list[optuna.study.StudyDirection]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]

    def moved(self) -> bool:
        """Whether another file, or none, stands at the path now."""
        return identity(self.path) != self.file


def keep(study: optuna.Study, storage: BaseStorage, path: Path) -> Kept:
    """What to write anew if the file at `path` should vanish."""
    system_attrs = storage.get_study_system_attrs(storage.get_study_id_from_name(study.study_name))
    attrs = dict(study.user_attrs), dict(system_attrs)
    return Kept(path, identity(path), study.study_name, list(study.directions), *attrs)


def rescue(kept: Kept, trials: Sequence[FrozenTrial]) -> RecordError:
    """Write a fresh journal beside the lost record; the error that says where it is, or that there is none."""
    lost = (
        f"the record {kept.path} was deleted or replaced while study {kept.name!r} ran; nothing more is written there"
    )
    try:
        target = _free(kept.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        storage = GroupingStorage(str(target))
        study = optuna.create_study(storage=storage, study_name=kept.name, directions=kept.directions)
        study_id = storage.get_study_id_from_name(kept.name)
        for key, value in kept.system_attrs.items():
            storage.set_study_system_attr(study_id, key, value)
        for key, value in kept.user_attrs.items():
            study.set_user_attr(key, value)
        storage.add_trials(study_id, [copy.copy(trial) for trial in trials])
    except OSError as error:
        return RecordError(f"{lost}, and its {len(trials)} trials could not be kept: {error.strerror}")
    return RecordError(
        f"{lost}. All its {len(trials)} trials are in {target}: rename it to what [study] storage says, or name it "
        "there, then run the same command to resume"
    )


def _free(path: Path) -> Path:
    """A name beside the record that nothing has yet."""
    number = 1
    while True:
        target = path.with_name(f"{path.stem}.rescue{'' if number == 1 else f'-{number}'}.journal")
        if not target.exists() and not target.is_symlink():
            return target
        number += 1
