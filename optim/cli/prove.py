"""The verbs that prove something: verdict, hold-out, other tools' results, replay, the demo."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from pathlib import Path

from rich.console import Console

from engine.compiled.memory import keep_freed_memory
from optim.api import Study
from optim.cli.commands import EXIT_INTERRUPTED, say
from optim.errors import SpecError, counted
from optim.report.console import print_metrics
from optim.report.judged import (
    print_judged_file,
    print_null,
    print_opening,
    print_stress,
    print_subsets,
    print_verdict,
    print_walk_forward,
    validate_command,
)
from optim.report.screen import Screen
from optim.report.terminal import Terminal
from optim.spec.study import StudySpec

EXIT_DIFFERS = 1
EXIT_NO_EVIDENCE = 1


def validate(spec: StudySpec, *, as_object: bool = False, quiet: bool = False) -> int:
    """Search the shuffled markets and print the verdict; 0 with evidence, 1 without, 130 when interrupted."""
    keep_freed_memory()
    console, study = Screen(stderr=as_object), Study(spec)
    view = Terminal(console, quiet=quiet)
    verdict = study.validate(view)
    if verdict is None:
        raise SpecError(f"{spec.path}: no trial of {spec.study.name!r} is feasible: there is no winner to judge")
    _project(console, study)
    if as_object:
        print(json.dumps(verdict, allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        print_null(console, verdict)
        print_stress(console, verdict)
        print_subsets(console, verdict)
        print_walk_forward(console, verdict)
        print_verdict(console, verdict, validate_command(str(spec.path), spec.flags))
    if view.should_stop():
        return EXIT_INTERRUPTED
    return EXIT_NO_EVIDENCE if verdict["level"] in ("no evidence", "untested") else 0


def holdout(spec: StudySpec, *, as_object: bool = False) -> int:
    """Open the hold-out for the winner, write that down, and print what it shows."""
    console, study = Screen(stderr=as_object), Study(spec)
    opening = study.open_holdout()
    _project(console, study)
    if as_object:
        print(json.dumps(opening, allow_nan=False))  # noqa: T201 - the object on stdout
        return 0
    summary = study.summary()
    print_opening(console, opening)
    print_metrics(console, summary)
    print_verdict(console, summary.verdict, validate_command(str(spec.path), spec.flags))
    return 0


def _project(console: Console, study: Study) -> None:
    """Tell MLflow too; it may be away, which `optim sync` mends later."""
    if study.spec.tracking.enabled:
        with console.status("Telling MLflow ..."):
            report = study.sync()
        if report.error:
            later = f"python -m optim sync {shlex.quote(str(study.spec.path))}{study.spec.flags}"
            say(console, f"MLflow: {report.error}; later: {later}")


def judge(options: argparse.Namespace) -> int:
    """Print what the statistics say of another tool's results."""
    from optim.verdict.foreign import Matrix, read_results
    from optim.verdict.judge_file import judge_matrix, judge_table

    for name in ("years", "periods_per_year"):
        given = getattr(options, name)
        if given is not None and not 0.0 < given < math.inf:
            raise SpecError(f"--{name.replace('_', '-')} {given}: must be a number above 0")
    read = read_results(Path(options.file))
    if isinstance(read, Matrix):
        if options.years is not None:
            raise SpecError("--years: returns have their own dates; it is for a table of Sharpe ratios")
        told = judge_matrix(read, options.winner, options.benchmark, options.periods_per_year)
    else:
        if options.benchmark is not None:
            raise SpecError("--benchmark: needs the returns of every trial; the file has Sharpe ratios")
        told = judge_table(read, options.winner, options.years, options.periods_per_year)
    if options.json:
        print(json.dumps(told, allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        print_judged_file(Screen(), told)
    return 0


def show_demo() -> int:
    """A beautiful equity curve found on a random walk, and the verdict on it."""
    from optim.cli.demo import demo

    keep_freed_memory()
    demo(Screen())
    return 0


def replay(spec: StudySpec, number: int | None, best: bool, *, as_object: bool = False) -> int:
    """Run recorded trials again and prove every metric equal; 1 and what differs if not."""
    console, study = Screen(), Study(spec)
    winner = study.best if best else None
    if best and winner is None:
        raise SpecError(
            f"{spec.path}: --best: no trial of {spec.study.name!r} is feasible; replay them all, or --trial N"
        )
    again = study.replay(number if winner is None else winner.number)
    if not again:
        raise SpecError(f"{spec.path}: study {spec.study.name!r} has no trial yet; run it first")
    inputs = study.changed_inputs()
    wrong = [one for one in again if one.differences]
    equal = not wrong and all(text.startswith("version of ") for text in inputs)
    if as_object:
        told = {"trials": len(again), "equal": equal, "differ": [one._asdict() for one in wrong], "inputs": inputs}
        print(json.dumps(told, allow_nan=False))  # noqa: T201 - the object on stdout
        return 0 if equal else EXIT_DIFFERS
    for one in wrong[:10]:
        say(console, f"trial {one.number}: {'; '.join(one.differences[:5])}")
    if equal:
        say(console, f"{counted(len(again), 'trial')} replayed, every metric equal to the last digit.")
        return 0
    say(console, f"{len(wrong)} of {counted(len(again), 'trial')} differ.")
    say(console, f"Inputs that differ: {'; '.join(inputs) or 'none'}")
    return EXIT_DIFFERS
