"""`optim backtest`: one set of parameters on the searched bars."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optim.api import Study
from optim.cli.commands import say, say_changed
from optim.errors import OptimError, SpecError, counted, shown
from optim.problem.point import Given, by_name, from_file, outside
from optim.record.quiet import quiet_optuna
from optim.report.backtested import Stretch, as_object, print_backtest
from optim.report.screen import Screen
from optim.search.ranking import chosen
from optim.spec.study import StudySpec


def backtest(spec: StudySpec, options: argparse.Namespace) -> int:
    """Print one backtest, and write its files where that is asked for; what a reader must know goes to stderr."""
    study, notes = Study(spec), Screen(stderr=True)
    if options.out is not None:
        _check_new(options.out)
    given, trial = _given(study, options), None
    if given is None:
        with quiet_optuna():
            plan, record = study.recorded()
            trial = chosen(plan, record.trials(), options.trial).number
    if given is None or options.trial is not None:
        say_changed(study)
    result = study.backtest(trial, given, Stretch(options.instrument, options.start, options.end))
    if given is not None and (reason := outside(study.plan, given)):
        say(notes, f"note: outside the search space: {reason}")
    if options.json:
        print(json.dumps(as_object(result, trial), allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        of = trial if options.trial is None else options.trial
        changed = f" with {', '.join(options.set)}" if options.set and of is not None else ""
        say(Screen(), f"{spec.study.name}, {'parameters as given' if of is None else f'trial {of}'}{changed}")
        print_backtest(Screen(), result)
    if options.out is not None:
        try:
            files = result.save(options.out)
        except OSError as error:
            raise OptimError(f"--out {options.out}: cannot be written: {error.strerror}") from None
        say(notes, f"{counted(len(files), 'file')} written to {options.out}")
    return 0


def _given(study: Study, options: argparse.Namespace) -> Given | None:
    """The parameters of the flags; None for those of a trial as they are."""
    if options.params is None and options.set is None:
        return None
    plan, changed = study.plan, by_name(study.plan, parse_values(options.set or []))
    if options.params is not None:
        given = from_file(plan, options.params)
    elif options.trial is not None:
        with quiet_optuna():
            given = by_name(plan, chosen(plan, study.recorded()[1].trials(), options.trial).params)
    else:
        return changed
    return Given({**given.params, **changed.params}, {**given.rules, **changed.rules})


def parse_values(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs, values as in TOML; a word without quotes is a text. Raises SpecError."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, written = (part.strip() for part in text.partition("="))
        if not (name and equals and written):
            raise SpecError(f"--set {shown(text)}: write it as NAME=VALUE, e.g. fast_window=20")
        if name in values:
            raise SpecError(f"--set {name}: is given twice; give it once")
        values[name] = _value(written)
    return values


def _value(written: str) -> Any:
    try:
        table = tomllib.loads(f"value = {written}")
    except ValueError:
        return written
    return table["value"] if [*table] == ["value"] and isinstance(table["value"], int | float | str) else written


def _check_new(folder: Path) -> None:
    """Nothing is written over."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SpecError(f"--out {folder}: is there already and not an empty folder; name a new one")
