"""The verbs beside `run`: each takes a checked spec and returns an exit code."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console

from optim.errors import OptimError, SpecError, TrackingError, counted, cut
from optim.problem.checks import check_storage, check_target
from optim.problem.plan import Plan, feasible_point, make_plan, resolve_storage
from optim.problem.provenance import versions
from optim.record.record import VERSIONS, Record, differences, load_record, study_names
from optim.record.table import trials_frame
from optim.replay import replay as replay_trials
from optim.report.console import print_commands, print_summary
from optim.report.summary import best_params_toml, rank, summarise
from optim.run import EXIT_NO_WINNER, make_pool, study_info, study_result, tracking_settings
from optim.search.rehearsal import ready
from optim.spec.secrets import mask_uri, variables_sent
from optim.spec.study import StudySpec

EXIT_DIFFERS = 1
EXIT_UNPROVEN = 1


def open_study(spec: StudySpec) -> tuple[Plan, Record]:
    """The plan of a study file and its record; SpecError when it was never run."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = make_plan(spec)
    record = load_record(plan.storage, spec.study.name)
    if record is None:
        raise SpecError(f"{spec.path}: study {spec.study.name!r} is not in {mask_uri(plan.storage)}; run it first")
    return plan, record


def sync(spec: StudySpec) -> int:
    """Bring MLflow to exactly the record of a study."""
    console = Console()
    if not spec.tracking.enabled:
        raise SpecError(f"{spec.path}: [tracking] enabled = false: there is nothing to bring up to date")
    plan, record = open_study(spec)
    from optim.tracking import sync as bring_up_to_date

    trials = record.trials()
    with make_pool(plan, here=True) as pool:
        ended = "as recorded" if len(trials) >= spec.study.n_trials else "interrupted"
        summary = summarise(plan, trials, ended, pool)
    info, settings = study_info(plan, record), tracking_settings(plan)
    with console.status(f"Comparing {len(trials)} trials with MLflow ..."):
        report = bring_up_to_date(info, settings, trials, study_result(plan, summary))
    if report.error:
        raise TrackingError(f"{report.missing} of {len(trials)} trials are not in MLflow: {report.error}")
    console.print(
        f"MLflow holds all {len(trials)} trials of {spec.study.name!r}.", highlight=False, markup=False, soft_wrap=True
    )
    return 0


def ui(spec: StudySpec, *, write: bool = False) -> int:
    """Open both dashboards on a study and stay until Ctrl-C; they only show, unless `write`."""
    from optim.serve.ui import Study, serve

    plan, record = open_study(spec)
    console = Console()
    settings = tracking_settings(plan) if spec.tracking.enabled else None
    study = Study(spec.study.name, record.study_id, record.study._study_id, plan.storage, settings)
    return serve(study, lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True), write=write)


def show(spec: StudySpec) -> int:
    """Print the result of what is recorded so far; 0 with a winner, 1 without one."""
    plan, record = open_study(spec)
    with make_pool(plan, here=True) as pool:
        summary = summarise(plan, record.trials(), "as recorded", pool)
    console = Console()
    print_summary(console, summary, best_params_toml(plan, summary))
    print_commands(console, summary, None)
    return 0 if summary.best is not None else EXIT_NO_WINNER


def list_studies(spec: StudySpec) -> int:
    """Print the studies in the storage of a study file."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console()
    storage = resolve_storage(spec)
    check_storage(spec, storage)
    for name, n_trials in study_names(storage):
        console.print(f"{name}  {counted(n_trials, 'trial')}", highlight=False, markup=False, soft_wrap=True)
    return 0


def export(spec: StudySpec, target: Path) -> int:
    """Write the trials table, one row a trial, every metric a column, as .csv or .parquet."""
    if target.suffix not in (".csv", ".parquet"):
        raise SpecError(f"--output {target}: the ending must be .csv or .parquet")
    plan, record = open_study(spec)
    file = target.resolve()
    check_target(spec, file, (plan.storage, plan.tracking_uri))
    frame = trials_frame(record.trials())
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
    Console().print(
        f"{counted(len(frame), 'trial')} written to {target}", highlight=False, markup=False, soft_wrap=True
    )
    return 0


def replay(spec: StudySpec, number: int | None, best: bool) -> int:
    """Run recorded trials again and prove every metric equal; 1 and what differs if not."""
    plan, record = open_study(spec)
    console = Console()
    trials = record.trials()
    if best:
        trials = list(rank(trials, [goal.direction for goal in plan.objective.goals])[:1])
    elif number is not None:
        if not 0 <= number < len(trials):
            raise SpecError(f"--trial {number}: the record has trials 0 to {len(trials) - 1}")
        trials = [trials[number]]
    record.refuse_other_numbers()
    inputs = list(differences(*map(_of_a_trial, (record.spec, plan.fingerprint()))))
    with make_pool(plan, here=True) as pool:
        wrong = [again for again in replay_trials(plan, trials, pool) if again.differences]
    for again in wrong[:10]:
        console.print(
            f"trial {again.number}: {'; '.join(again.differences[:5])}", highlight=False, markup=False, soft_wrap=True
        )
    if not wrong and not inputs:
        console.print(
            f"{counted(len(trials), 'trial')} replayed, every metric equal to the last digit.", highlight=False
        )
        return 0
    then, now = record.study.user_attrs.get(VERSIONS, {}), versions()
    inputs += [f"version of {name} was {then.get(name)}, is {now[name]}" for name in now if then.get(name) != now[name]]
    console.print(f"{len(wrong)} of {counted(len(trials), 'trial')} differ.", highlight=False)
    console.print(f"Inputs that differ: {'; '.join(inputs) or 'none'}", highlight=False, markup=False, soft_wrap=True)
    return EXIT_DIFFERS


def _of_a_trial(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What one trial depends on, whose parameters are in the record: not on how they were found."""
    found = {name: part for name, part in fingerprint.items() if name not in ("search_space", "parallel")}
    return {**found, "study": {key: fingerprint["study"].get(key) for key in ("objective", "direction")}}


def check(spec: StudySpec) -> int:
    """Say what a study would do and how long it would take, from a probe of one trial; nothing is written.

    1 when the probe fails.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan, lookahead, _ = ready(spec)
    task = plan.task(feasible_point(plan), plan.cells)
    parallel = spec.parallel
    with make_pool(plan) as pool:
        n_jobs, backend, reason = pool.n_jobs, pool.backend, pool.reason
        result = [pool.run([task])[0] for _ in range(2)][1]  # the first one compiles
    seconds = result.ended - result.started
    size = plan.space.size()
    n_trials = min(spec.study.n_trials, size)
    workers = n_jobs if seconds * parallel.batch_size > 0.005 else 1
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
    Console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return EXIT_NO_WINNER if failed else 0


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


_LOOP_SECONDS = 0.004  # asking, telling, recording: of the order measured by benchmarks/study_loop.py


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
