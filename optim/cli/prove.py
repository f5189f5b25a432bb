"""The verbs that prove something: verdict, hold-out, other tools' results, replay, checks, the demo."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from engine.compiled.memory import keep_freed_memory
from optim.api import Study
from optim.cli.commands import EXIT_INTERRUPTED, say
from optim.errors import SpecError, counted, cut
from optim.problem.plan import feasible_point
from optim.record.quiet import quiet_optuna
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
from optim.report.terminal import Terminal
from optim.search.rehearsal import ready
from optim.search.search import make_pool
from optim.spec.secrets import mask_uri, variables_sent
from optim.spec.study import StudySpec
from optim.verdict.bearing import Bearing, bearing
from optim.workers.pace import INLINE_SECONDS

EXIT_FAILED = 1
EXIT_DIFFERS = 1
EXIT_UNPROVEN = 1
EXIT_NO_EVIDENCE = 1
_NULL_SECONDS = 3.0  # for shuffled markets, where a search takes less
_LOOP_SECONDS = 0.004  # asking, telling, recording: of the order measured by benchmarks/study_loop.py


def validate(spec: StudySpec, *, as_object: bool = False, quiet: bool = False) -> int:
    """Search the shuffled markets and print the verdict; 0 with evidence, 1 without, 130 when interrupted."""
    keep_freed_memory()
    console, study = Console(stderr=as_object), Study(spec)
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
    console, study = Console(stderr=as_object), Study(spec)
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
        print_judged_file(Console(), told)
    return 0


def show_demo() -> int:
    """A beautiful equity curve found on a random walk, and the verdict on it."""
    from optim.cli.demo import demo

    keep_freed_memory()
    demo(Console())
    return 0


def replay(spec: StudySpec, number: int | None, best: bool, *, as_object: bool = False) -> int:
    """Run recorded trials again and prove every metric equal; 1 and what differs if not."""
    console, study = Console(), Study(spec)
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


def check(spec: StudySpec, *, as_object: bool = False) -> int:
    """Say what a study would do and how long it would take, from a probe of one trial; nothing is written.

    1 when the probe fails.
    """
    with quiet_optuna():
        plan, lookahead, _ = ready(spec)
    task = plan.task(feasible_point(plan), plan.cells)
    parallel = spec.parallel
    with make_pool(plan) as pool:
        n_jobs, backend, reason = pool.n_jobs, pool.backend, pool.reason
        result = [pool.run([task])[0] for _ in range(2)][1]  # the first one compiles
    seconds = result.ended - result.started
    size = plan.space.size()
    n_trials = min(spec.study.n_trials, size)
    workers = n_jobs if seconds * parallel.batch_size > INLINE_SECONDS else 1
    total = n_trials * (seconds / workers + _LOOP_SECONDS)
    failed = next((outcome.error for outcome in result.outcomes if outcome.error), "")
    points_text = (
        "infinitely many points"
        if math.isinf(size)
        else counted(int(size), "point")
        if size < 1e9
        else f"{size:.2g} points"
    )
    lines = [
        *_environment(spec),
        *(("data", f"{d.name}: {counted(d.n_bars, 'bar')}, {d.start} to {d.end}") for d in plan.datasets),
        *((("note", "; ".join(plan.effects)),) if plan.effects else ()),
        *(("warning", note) for note in plan.notes),
        ("clock", plan.clock),
        ("cells", f"{len(plan.cells)} for the search, {len(plan.holdouts)} locked"),
        ("space", f"{counted(len(plan.space.parameters), 'parameter')}, {points_text}"),
        ("lookahead", lookahead),
        ("workers", f"{n_jobs}, {backend}: {reason}"),
        ("trial", f"{seconds * 1000:.2f} ms on one core" + (f"; it failed: {cut(failed)}" if failed else "")),
        ("study", f"about {_duration(total)} for {counted(int(n_trials), 'trial')} without pruning"),
    ]
    if not failed:
        cheap = seconds * n_trials < _NULL_SECONDS and plan.strategy.compiled
        with quiet_optuna():
            lines += _bearing(bearing(plan, min(_NULL_SECONDS, spec.validation.quick) if cheap else 0.0), spec)
    if as_object:
        told: dict[str, list[str]] = {}
        for label, text in lines:
            told.setdefault(label, []).append(text)
        print(json.dumps({**told, "trial_seconds": seconds, "study_seconds": total, "failed": failed}))  # noqa: T201
    else:
        text = "\n".join(f"{label:<9} {text}" for label, text in lines)
        Console().print(text, highlight=False, markup=False, soft_wrap=True)
    return EXIT_FAILED if failed else 0


def _bearing(found: Bearing, spec: StudySpec) -> Iterator[tuple[str, str]]:
    """What the data can bear, in words."""
    trials = counted(found.n_trials, "trial")
    yield (
        "luck",
        f"the best of {trials} without skill shows a Sharpe ratio of {found.luck:.2f} on these "
        f"{found.years:.1f} years; below 1 it takes {found.min_years:.1f} years",
    )
    if found.detectable == found.detectable:
        yield (
            "power",
            f"{spec.study.objectives[0]} must be truly {found.detectable:.3g} to be told from luck in four "
            f"of five cases ({found.markets} shuffled markets)",
        )
    if not math.isinf(found.bars_per_parameter):
        yield "bars", f"{found.bars_per_parameter:,.0f} for each searched parameter"


def _environment(spec: StudySpec) -> Iterator[tuple[str, str]]:
    """Which variables of the environment a study sends where; their names only."""
    for key, uri in spec.uris:
        if names := variables_sent(uri):
            yield "secrets", f"{', '.join(names)} of the environment: {key}, to {mask_uri(uri)}"


def check_strategy(reference: str, features: str = "") -> int:
    """Run the conformance suite of the engine over one strategy; 1 when there was nothing to prove it on."""
    from engine.check import check_strategy as run_suite
    from engine.errors import EngineError

    try:
        report = run_suite(reference, features=[name.strip() for name in features.split(",") if name.strip()])
    except EngineError as error:
        raise SpecError(str(error)) from None
    Console().print(str(report), highlight=False, markup=False, soft_wrap=True)
    return EXIT_UNPROVEN if report.unproven else 0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
