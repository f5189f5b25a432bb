"""The verbs: each takes a checked study and returns an exit code."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from engine.compiled.memory import keep_freed_memory
from optim.api import Study
from optim.errors import OptimError, SpecError, TrackingError, counted, cut
from optim.problem.checks import check_storage, check_target
from optim.problem.plan import feasible_point, resolve_storage
from optim.record.quiet import quiet_optuna
from optim.record.record import study_names
from optim.report.console import as_json, print_commands, print_metrics, print_summary
from optim.report.judged import (
    print_null,
    print_opening,
    print_stress,
    print_verdict,
    print_walk_forward,
    validate_command,
)
from optim.report.summary import best_params_toml
from optim.report.terminal import Terminal
from optim.report.tracked import tracking_settings
from optim.search.rehearsal import ready
from optim.search.search import make_pool
from optim.spec.secrets import mask_uri, variables_sent
from optim.spec.study import StudySpec
from optim.verdict.bearing import Bearing, bearing
from optim.workers.pace import INLINE_SECONDS

EXIT_NO_WINNER = 1
EXIT_INTERRUPTED = 130
EXIT_DIFFERS = 1
EXIT_UNPROVEN = 1
EXIT_NO_EVIDENCE = 1


def run(spec: StudySpec, *, as_object: bool = False) -> int:
    """Run or resume a study and print its result; 0 with a winner, 1 without one, 130 when interrupted."""
    keep_freed_memory()
    console = Console(stderr=as_object)
    ended = Study(spec).run(Terminal(console, tables=not as_object))
    print_commands(console, ended.summary, ended.mlflow)
    if as_object:
        print(json.dumps(as_json(ended.summary, ended.mlflow), allow_nan=False))  # noqa: T201 - the object on stdout
    if ended.interrupted:
        return EXIT_INTERRUPTED
    return 0 if ended.summary.best is not None else EXIT_NO_WINNER


def sync(spec: StudySpec) -> int:
    """Bring MLflow to exactly the record of a study."""
    console, study = Console(), Study(spec)
    with console.status("Comparing the record with MLflow ..."):
        report = study.sync()
    n_trials = len(study.trials)
    if report.error:
        raise TrackingError(f"{report.missing} of {n_trials} trials are not in MLflow: {report.error}")
    _say(console, f"MLflow holds all {n_trials} trials of {spec.study.name!r}.")
    return 0


def ui(spec: StudySpec, *, write: bool = False) -> int:
    """Open both dashboards on a study and stay until Ctrl-C; they only show, unless `write`."""
    from optim.serve.ui import Shown, serve

    plan, record = Study(spec).recorded()
    console = Console()
    settings = tracking_settings(plan) if spec.tracking.enabled else None
    shown = Shown(spec.study.name, record.study_id, record.number, plan.storage, settings)
    return serve(shown, lambda text: _say(console, text), write=write)


def show(spec: StudySpec) -> int:
    """Print the result of what is recorded so far; 0 with a winner, 1 without one."""
    study, console = Study(spec), Console()
    summary = study.summary()._replace(reason="as recorded")
    print_summary(console, summary, best_params_toml(study.recorded()[0], summary))
    print_commands(console, summary, None)
    return 0 if summary.best is not None else EXIT_NO_WINNER


def validate(spec: StudySpec, *, as_object: bool = False) -> int:
    """Search the shuffled markets and print the verdict; 0 with evidence, 1 without, 130 when interrupted."""
    keep_freed_memory()
    console, study = Console(stderr=as_object), Study(spec)
    view = Terminal(console)
    verdict = study.validate(view)
    if verdict is None:
        raise SpecError(f"{spec.path}: no trial of {spec.study.name!r} is feasible: there is no winner to judge")
    _project(console, study)
    if as_object:
        print(json.dumps(verdict, allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        print_null(console, verdict)
        print_stress(console, verdict)
        print_walk_forward(console, verdict)
        print_verdict(console, verdict, validate_command(str(spec.path), spec.flags))
    if view.should_stop():
        return EXIT_INTERRUPTED
    return EXIT_NO_EVIDENCE if verdict["level"] in ("no evidence", "untested") else 0


def holdout(spec: StudySpec) -> int:
    """Open the hold-out for the winner, write that down, and print what it shows."""
    console, study = Console(), Study(spec)
    opening = study.open_holdout()
    _project(console, study)
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
            _say(console, f"MLflow: {report.error}; later: python -m optim sync {study.spec.path}{study.spec.flags}")


def list_studies(spec: StudySpec) -> int:
    """Print the studies in the storage of a study file."""
    console = Console()
    storage = resolve_storage(spec)
    check_storage(spec, storage)
    with quiet_optuna():
        found = study_names(storage)
    for name, n_trials in found:
        _say(console, f"{name}  {counted(n_trials, 'trial')}")
    return 0


def export(spec: StudySpec, target: Path) -> int:
    """Write the trials table, one row a trial, every metric a column, as .csv or .parquet."""
    if target.suffix not in (".csv", ".parquet"):
        raise SpecError(f"--output {target}: the ending must be .csv or .parquet")
    study = Study(spec)
    plan, _ = study.recorded()
    file = target.resolve()
    check_target(spec, file, (plan.storage, plan.tracking_uri))
    frame = study.trials
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")  # an earlier table stays whole until this one is
    try:
        with partial.open("xb") as handle:
            if target.suffix == ".csv":
                frame.to_csv(handle, index=False)
            else:
                frame.to_parquet(handle, index=False)
        partial.replace(file)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            partial.unlink(missing_ok=True)
        raise OptimError(f"--output {target}: cannot be written: {error.strerror}") from None
    _say(Console(), f"{counted(len(frame), 'trial')} written to {target}")
    return 0


def replay(spec: StudySpec, number: int | None, best: bool) -> int:
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
    for one in wrong[:10]:
        _say(console, f"trial {one.number}: {'; '.join(one.differences[:5])}")
    if not wrong and all(text.startswith("version of ") for text in inputs):
        _say(console, f"{counted(len(again), 'trial')} replayed, every metric equal to the last digit.")
        return 0
    _say(console, f"{len(wrong)} of {counted(len(again), 'trial')} differ.")
    _say(console, f"Inputs that differ: {'; '.join(inputs) or 'none'}")
    return EXIT_DIFFERS


def show_demo() -> int:
    """A beautiful equity curve found on a random walk, and the verdict on it."""
    from optim.cli.demo import demo

    keep_freed_memory()
    demo(Console())
    return 0


def check(spec: StudySpec) -> int:
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
        *(f"data      {d.name}: {counted(d.n_bars, 'bar')}, {d.start} to {d.end}" for d in plan.datasets),
        f"clock     {plan.clock}",
        f"cells     {len(plan.cells)} for the search, {len(plan.holdouts)} locked",
        f"space     {counted(len(plan.space.parameters), 'parameter')}, {points_text}",
        f"lookahead {lookahead}",
        f"workers   {n_jobs}, {backend}: {reason}",
        f"trial     {seconds * 1000:.2f} ms on one core" + (f"; it failed: {cut(failed)}" if failed else ""),
        f"study     about {_duration(total)} for {counted(int(n_trials), 'trial')} without pruning",
    ]
    if not failed:
        cheap = seconds * n_trials < _NULL_SECONDS and plan.strategy.compiled
        with quiet_optuna():
            lines += _bearing(bearing(plan, _NULL_SECONDS if cheap else 0.0), spec)
    Console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return EXIT_NO_WINNER if failed else 0


def _bearing(found: Bearing, spec: StudySpec) -> Iterator[str]:
    """What the data can bear, in words."""
    trials = counted(found.n_trials, "trial")
    yield (
        f"luck      the best of {trials} without skill shows a Sharpe ratio of {found.luck:.2f} on these "
        f"{found.years:.1f} years; below 1 it takes {found.min_years:.1f} years"
    )
    if found.detectable == found.detectable:
        yield (
            f"power     {spec.study.objectives[0]} must be truly {found.detectable:.3g} to be told from luck in four "
            f"of five cases ({found.markets} shuffled markets)"
        )
    if not math.isinf(found.bars_per_parameter):
        yield f"bars      {found.bars_per_parameter:,.0f} for each searched parameter"


def _environment(spec: StudySpec) -> Iterator[str]:
    """Which variables of the environment a study sends where; their names only."""
    for key, uri in spec.uris:
        if names := variables_sent(uri):
            yield f"secrets   {', '.join(names)} of the environment: {key}, to {mask_uri(uri)}"


def check_strategy(reference: str) -> int:
    """Run the conformance suite of the engine over one strategy; 1 when there was nothing to prove it on."""
    from engine.check import check_strategy as run_suite
    from engine.errors import EngineError

    try:
        report = run_suite(reference)
    except EngineError as error:
        raise SpecError(str(error)) from None
    Console().print(str(report), highlight=False, markup=False, soft_wrap=True)
    return EXIT_UNPROVEN if report.unproven else 0


_NULL_SECONDS = 3.0  # for shuffled markets, where a search takes less
_LOOP_SECONDS = 0.004  # asking, telling, recording: of the order measured by benchmarks/study_loop.py


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
