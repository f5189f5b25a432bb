"""The verbs that run a study and show it: each takes a checked study and returns an exit code."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from pathlib import Path
from subprocess import Popen

from rich.console import Console

from engine.compiled.memory import keep_freed_memory
from optim.api import Study
from optim.errors import SpecError, TrackingError, counted
from optim.problem.checks import check_storage
from optim.problem.plan import resolve_storage
from optim.record.quiet import quiet_optuna
from optim.record.storages import study_names
from optim.report import trials as listed
from optim.report.console import as_json, print_commands, print_summary
from optim.report.folder import studies_in
from optim.report.screen import Screen
from optim.report.showcase import show_point
from optim.report.summary import best_params_toml
from optim.report.terminal import Terminal
from optim.report.told import Told
from optim.report.tracked import tracking_settings
from optim.report.trials import Query, select
from optim.report.view import View
from optim.search.ranking import chosen
from optim.search.search import make_pool
from optim.spec.study import StudySpec

EXIT_NO_WINNER = 1
EXIT_INTERRUPTED = 130
TOP = 20  # trials, where no number is given


def run(spec: StudySpec, process: Popen[bytes] | None, options: Namespace) -> int:
    """Run or resume a study and print its result; 0 with a winner, 1 without one, 130 when interrupted."""
    keep_freed_memory()
    as_object: bool = options.json
    console = Screen(stderr=as_object)
    view: View = Terminal(console, tables=not as_object, quiet=options.quiet)
    ended = Study(spec).run(Told(view) if options.verbose else view, process)
    print_commands(console, ended.summary, ended.mlflow)
    if as_object:
        print(json.dumps(as_json(ended.summary, ended.mlflow), allow_nan=False))  # noqa: T201 - the object on stdout
    if ended.interrupted:
        return EXIT_INTERRUPTED
    return 0 if ended.summary.best is not None else EXIT_NO_WINNER


def sync(spec: StudySpec, *, as_object: bool = False) -> int:
    """Bring MLflow to exactly the record of a study."""
    console, study = Screen(stderr=as_object), Study(spec)
    with console.status("Comparing the record with MLflow ..."):
        report = study.sync()
    n_trials = len(study.recorded()[1].trials())
    if report.error:
        raise TrackingError(f"{report.missing} of {n_trials} trials are not in MLflow: {report.error}")
    if as_object:
        print(json.dumps({"study": spec.study.name, "trials": n_trials, **report._asdict()}))  # noqa: T201 - on stdout
        return 0
    held = report.note or f"all {n_trials} trials are in MLflow"
    say(console, f"{spec.study.name!r}: {held}.")
    return 0


def ui(spec: StudySpec, *, write: bool = False) -> int:
    """Open both dashboards on a study and stay until Ctrl-C; they only show, unless `write`."""
    from optim.serve.ui import Shown, serve

    plan, record = Study(spec).recorded()
    console = Screen()
    settings = tracking_settings(plan) if spec.tracking.enabled else None
    shown = Shown(spec.study.name, record.study_id, record.number, plan.storage, settings)
    return serve(shown, lambda text: say(console, text), write=write)


def show(spec: StudySpec, options: argparse.Namespace) -> int:
    """Print the result of what is recorded so far, or the trials that are asked for; 0 with one, 1 without."""
    study, console, as_object = Study(spec), Screen(), options.json
    asked = (options.top, options.where, options.sort)
    if options.trial is not None:
        if asked != (None, None, None):
            raise SpecError("--trial shows one trial; leave --top, --where and --sort away")
        return _show_trial(study, console, options.trial, as_object)
    if asked != (None, None, None):
        return _show_trials(
            study, console, Query(options.where, options.sort, TOP if options.top is None else options.top), as_object
        )
    summary = study.summary()._replace(reason="as recorded")
    say_changed(study)
    if as_object:
        print(json.dumps(as_json(summary, None), allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        print_summary(console, summary, best_params_toml(study.recorded()[0], summary))
        print_commands(console, summary, None)
    return 0 if summary.best is not None else EXIT_NO_WINNER


def say_changed(*studies: Study) -> None:
    """On stderr: what is no longer as it was when a study began, though its trial is run anew for what is printed."""
    for study in studies:
        name = f"{study.spec.study.name}: " if len(studies) > 1 else ""
        for changed in study.changed_inputs():
            say(Screen(stderr=True), f"note: {name}not as the study began: {changed}")


def _show_trials(study: Study, console: Console, query: Query, as_object: bool) -> int:
    with quiet_optuna():
        plan, record = study.recorded()
        found = select(plan, record.trials(), query)
    if as_object:
        print(json.dumps([listed.as_object(plan, trial) for trial in found], allow_nan=False))  # noqa: T201 - stdout
    else:
        listed.print_trials(console, plan, found, query)
    return 0 if found else EXIT_NO_WINNER


def _show_trial(study: Study, console: Console, number: int, as_object: bool) -> int:
    with quiet_optuna():
        plan, record = study.recorded()
        trial = chosen(plan, record.trials(), number)
        with make_pool(plan, here=True) as pool:
            window = show_point(plan, trial.params, pool)
    say_changed(study)
    if as_object:
        print(json.dumps(listed.as_object(plan, trial, window), allow_nan=False))  # noqa: T201 - stdout
    else:
        listed.print_trial(console, plan, trial, window)
    return 0


def report(spec: StudySpec, target: Path | None) -> int:
    """Write the result as one HTML page; 0 with a winner, 1 without one."""
    study, console = Study(spec), Screen()
    with console.status("Drawing ..."):
        file = study.report(target)
        best = study.best
    say(console, f"Written to {file if target is None else target}; open it in a browser.")
    return 0 if best is not None else EXIT_NO_WINNER


def list_studies(spec: StudySpec | None, options: argparse.Namespace) -> int:
    """Print the studies in the storage of a study file; without one, those of the study files in this folder."""
    console = Screen()
    if spec is None:
        return _list_here(console, options)
    storage = resolve_storage(spec)
    check_storage(spec, storage)
    with quiet_optuna():
        found = study_names(storage)
    if options.json:
        print(json.dumps([{"study": name, "trials": n_trials} for name, n_trials in found]))  # noqa: T201 - stdout
        return 0
    for name, n_trials in found:
        say(console, f"{name}  {counted(n_trials, 'trial')}")
    return 0


def _list_here(console: Console, options: argparse.Namespace) -> int:
    with quiet_optuna():
        found = studies_in(Path(), no_env=options.no_env)
    if options.json:
        print(json.dumps([one._asdict() for one in found]))  # noqa: T201 - stdout
    for one in () if options.json else found:
        told = one.error or ("not run yet" if one.trials is None else counted(one.trials, "trial"))
        say(console, f"{one.file}  {one.study}  {told}")
    if not found:
        say(Screen(stderr=True), "No study file in this folder; optim new FOLDER begins one.")
    return 0


def say(console: Console, text: str) -> None:
    """One line as it stands."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
