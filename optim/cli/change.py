"""The verbs that change a study as a whole: another name, or none of it any more.

MLflow comes first, the record last: cut short in between, the record is there, and the same command ends what it began.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from collections.abc import Iterator

from rich.console import Console

from optim.api import Study
from optim.cli.commands import say
from optim.errors import SpecError, counted
from optim.record.differences import differences
from optim.record.files import replace_whole
from optim.record.guard import sole_writer
from optim.record.locks import owner
from optim.record.moving import delete_record, refuse_taken, rename_record
from optim.record.quiet import quiet_optuna
from optim.record.record import load_record
from optim.report.screen import Screen
from optim.report.tracked import tracking_settings
from optim.spec.secrets import mask_uri
from optim.spec.study import StudySpec, load_spec
from optim.tracking.removal import StudyRuns, held

_NAME = re.compile(r"""(?m)^name[ \t]*=[ \t]*("[^"\\\n]*"|'[^'\n]*')""")  # what follows it, a comment, stays


def delete(spec: StudySpec, *, yes: bool) -> int:
    """Take a study out of its record and MLflow, once the user agrees; 0 when it is gone, 1 when it was left."""
    name, console = spec.study.name, Screen()
    with _alone(spec) as (storage, n_trials, runs):
        what = f"study {name!r}: {counted(n_trials, 'trial')} in {mask_uri(storage)}"
        if runs is not None:
            what += f", {counted(len(runs), 'run')} in MLflow (experiment and artifacts stay)"
        say(
            console,
            f"This deletes {what}, and its lines in the ledger of searches; the gap counts "
            "as a search, unless they are the last.",
        )
        if not _agreed("Delete it?", yes):
            say(console, "Nothing was deleted.")
            return 1
        if runs is not None:
            runs.delete()
        delete_record(storage, name)
    say(console, f"Deleted {what}.")
    return 0


def rename(spec: StudySpec, new: str, *, yes: bool) -> int:
    """Give a study another name in record, MLflow and study file; 0 when it has it, 1 when it was left."""
    load_spec(spec.path, {"study": {"name": new}})  # is it a name?
    name, console = spec.study.name, Screen()
    if new == name:
        raise SpecError(f"{spec.path}: study {name!r} has that name already")
    if _is_renamed(spec, new):
        _say_renamed(console, spec, new)
        return 0
    with _alone(spec) as (storage, n_trials, runs), sole_writer(storage, new):
        refuse_taken(storage, name, new)
        what = f"study {name!r} ({counted(n_trials, 'trial')} in {mask_uri(storage)})"
        where = " and in MLflow" if runs is not None else ""
        say(console, f"This renames {what} to {new!r}, in the record{where}.")
        if not _agreed("Rename it?", yes):
            say(console, "Nothing was renamed.")
            return 1
        if runs is not None:
            runs.rename(new)
        rename_record(storage, name, new)
    _say_renamed(console, spec, new)
    return 0


def _is_renamed(spec: StudySpec, new: str) -> bool:
    """Whether the record has this very study under the new name: a rename was cut short before its last step."""
    plan = Study(spec).plan
    moved = load_record(plan.storage, new)
    if moved is None or load_record(plan.storage, spec.study.name) is not None:
        return False
    return not any(differences(moved.spec, plan.fingerprint()))


def _say_renamed(console: Console, spec: StudySpec, new: str) -> None:
    """Write the name into the study file where that is plain, and say what is left to do."""
    said = f"{spec.path} says so" if _write_name(spec, new) else f"write name = {new!r} into [study] of {spec.path}"
    say(console, f"Study {spec.study.name!r} is now {new!r}; {said}.")


@contextlib.contextmanager
def _alone(spec: StudySpec) -> Iterator[tuple[str, int, StudyRuns | None]]:
    """The storage, the number of trials and the runs of a recorded study that nobody else writes."""
    with quiet_optuna():
        plan, record = Study(spec).recorded()
        with sole_writer(plan.storage, spec.study.name) as guard, contextlib.ExitStack() as stack:
            record.claim(owner(), guard)
            tracked = spec.tracking.enabled
            runs = stack.enter_context(held(record.study_id, tracking_settings(plan))) if tracked else None
            yield plan.storage, len(record.trials()), runs


def _agreed(question: str, yes: bool) -> bool:
    """Ask the user. SpecError where there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise SpecError("nobody can be asked here: add --yes to do it")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _write_name(spec: StudySpec, new: str) -> bool:
    """Change the name in the study file where it stands alone on a line of [study]; whether it was changed.

    Its line ends and its permissions stay: it may hold a password.
    """
    import tomli_w

    before = tomllib.loads(spec.text)
    wanted = {**before, "study": {**before["study"], "name": new}}
    if spec.overrides.get("study", {}).get("name") is not None:
        return False
    for found in _NAME.finditer(spec.text):
        text = spec.text[: found.start()] + tomli_w.dumps({"name": new}).strip() + spec.text[found.end() :]
        with contextlib.suppress(tomllib.TOMLDecodeError, OSError):
            if tomllib.loads(text) == wanted:
                ends = "\r\n" if b"\r\n" in spec.path.read_bytes() else "\n"
                encoded = text.replace("\n", ends).encode()
                replace_whole(spec.path, lambda handle, encoded=encoded: handle.write(encoded))  # type: ignore[misc]
                return True
    return False
