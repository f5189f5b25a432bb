"""`optim run`: from a plan to a finished study, with everything that surrounds the loop."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from optim.errors import SpecError, counted
from optim.problem.plan import Plan
from optim.problem.provenance import git_state, versions
from optim.record.guard import sole_writer
from optim.record.locks import owner
from optim.record.record import Record, differences, load_record, open_record
from optim.report.console import Live, as_json, print_commands, print_summary
from optim.report.summary import Summary, best_params_toml, summarise
from optim.search.events import Listener
from optim.search.loop import Search
from optim.search.rehearsal import ready
from optim.search.sweep import Sweep
from optim.spec.secrets import mask, mask_uri
from optim.spec.study import StudySpec
from optim.tracking.info import MirrorReport, Scalar, StudyInfo, StudyResult
from optim.tracking.mirror import Mirror, NullMirror, StudyMirror
from optim.tracking.settings import MLflowSettings
from optim.workers.pool import Pool

EXIT_NO_WINNER = 1
EXIT_INTERRUPTED = 130
UNFINISHED = ("interrupted", "timeout")


def run(spec: StudySpec, *, as_object: bool = False) -> int:
    """Run or resume a study and print its result; 0 with a winner, 1 without one, 130 when interrupted."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console(stderr=as_object)
    plan, said, good = ready(spec)
    if not good:
        console.print(f"Look-ahead {said}.", highlight=False, markup=False, soft_wrap=True)
    with sole_writer(plan.storage, spec.study.name) as guard:
        plan, record = continued(plan) or (plan, begun(plan))
        record.claim(owner(), guard)
        done = record.trials()
        if len(done) >= spec.study.n_trials:
            console.print(
                f"Study {spec.study.name!r} is finished: "
                f"{len(done)} of {spec.study.n_trials} trials are in the record. "
                "Raise n_trials to go on, or give [study] another name to start anew.",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        elif done:
            text = f"Resuming study {spec.study.name!r} at trial {len(done)} of {spec.study.n_trials}."
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        with make_mirror(plan, record) as mirror:
            mirror.finished(done)
            with make_pool(plan) as pool:
                reason = search(plan, record, mirror, console, pool)
                pool.abandon()
                summary = summarise(plan, record.trials(), reason, pool)
            result = study_result(plan, summary)
            mirror.conclude(result)
            try:
                if not as_object:
                    print_summary(console, summary, best_params_toml(plan, summary))
                report = close_mirror(mirror, result, console)
            except KeyboardInterrupt:
                report = mirror.give_up()
    shown = report if spec.tracking.enabled else None
    print_commands(console, summary, shown)
    if as_object:
        print(json.dumps(as_json(summary, shown), allow_nan=False))  # noqa: T201 - the one object on stdout
    if reason == "interrupted" or report.interrupted:
        return EXIT_INTERRUPTED
    return 0 if summary.best is not None else EXIT_NO_WINNER


def search(plan: Plan, record: Record, mirror: StudyMirror, console: Console, pool: Pool) -> str:
    """The search itself, under a progress bar and a signal handler; why it ended."""
    with _stop_flag() as stop, Live(console, plan, record.trials()) as live:

        def finished(trials: Sequence[FrozenTrial]) -> None:
            mirror.finished(trials)
            live.finished(trials)

        listener = Listener(finished, mirror.running, lambda: bool(stop))
        search_or_sweep = Sweep if plan.spec.sweeps else Search
        return search_or_sweep(plan, record, pool, listener).run()


def make_pool(plan: Plan, *, here: bool = False) -> Pool:
    """The workers of [parallel]; `here`: on this machine although the study's are elsewhere."""
    given = plan.spec.parallel
    backend = "auto" if here and given.backend in ("dask", "ray") else given.backend
    return Pool(plan.job, n_jobs=given.n_jobs, backend=backend, timeout=given.trial_timeout, address=given.address)


def continued(plan: Plan) -> tuple[Plan, Record] | None:
    """A study that has trials, and its plan: begun with --from it is the same study without the flag; else None.

    Nothing is written. SpecError or RecordError when it cannot be gone on with.
    """
    record = load_record(plan.storage, plan.spec.study.name)
    if record is None or not record.trials():
        return None
    point = record.spec.get("study", {}).get("start") if plan.spec.start is None else None
    if point is not None:
        plan = plan._replace(spec=plan.spec.starting_at(point))
    check_fingerprint(plan, record)
    return plan, record


def begun(plan: Plan) -> Record:
    """The record of a study that has no trial yet."""
    goals = plan.objective.goals
    directions, names = [goal.direction for goal in goals], [goal.name for goal in goals]
    return open_record(plan.storage, plan.spec.study.name, directions, plan.fingerprint(), versions(), names)


def check_fingerprint(plan: Plan, record: Record) -> None:
    """Refuse to go on with a record that was made from something else."""
    record.refuse_other_numbers()
    changes = list(differences(record.spec, plan.fingerprint()))
    if changes:
        raise SpecError(
            f"{plan.spec.path}: study {plan.spec.study.name!r} was begun with other settings: {'; '.join(changes)}; "
            "undo the change, or give [study] another name (--new-name NAME)"
        )


def make_mirror(plan: Plan, record: Record) -> StudyMirror:
    """The mirror process, started at once so that importing MLflow overlaps with the search; or none."""
    return Mirror(study_info(plan, record), tracking_settings(plan)) if plan.spec.tracking.enabled else NullMirror()


def tracking_settings(plan: Plan) -> MLflowSettings:
    """[tracking.mlflow] as the projection takes it."""
    given = plan.spec.tracking.mlflow
    return MLflowSettings(
        plan.tracking_uri, given.experiment_name or f"{plan.strategy.name}_optimization", given.artifact_location
    )


def study_info(plan: Plan, record: Record) -> StudyInfo:
    """What the projection shows of the study as a whole."""
    spec = plan.spec
    params: dict[str, Scalar] = {
        "strategy": plan.strategy.name,
        **spec.strategy.fixed,
        **{
            name: value
            for name, value in plan.account._asdict().items()
            if name not in {p.name for p in plan.space.parameters}
        },
        "objective": ", ".join(spec.study.objectives),
        "seed": spec.study.seed,
        "sampler": spec.study.sampler.name,
        "pruner": spec.study.pruner.name,
        "batch_size": spec.parallel.batch_size,
        "folds": spec.evaluation.folds,
        "holdout": spec.evaluation.holdout,
        "aggregate": spec.evaluation.aggregate,
        "periods_per_year": plan.job.periods_per_year,
        "data_sha256": " ".join(d.digest for d in plan.datasets),
        "data_start": min(d.start for d in plan.datasets),
        "data_end": max(d.end for d in plan.datasets),
        **git_state(spec.folder),
        **{f"version_{name}": text for name, text in versions().items()},
    }
    start = min((t.datetime_start for t in record.trials() if t.datetime_start), default=None)
    return StudyInfo(
        study_id=record.study_id,
        name=spec.study.name,
        objectives=tuple(goal.name for goal in plan.objective.goals),
        directions=tuple(goal.direction for goal in plan.objective.goals),
        start=start or datetime.now(),
        params=params,
        tags={key: mask(text, plan.storage, plan.tracking_uri) for key, text in spec.tracking.tags.items()},
        key_params=tuple(p.name for p in plan.space.parameters),
        datasets=plan.datasets,
        config_toml=mask(spec.as_toml(), plan.storage, plan.tracking_uri),
        storage=mask_uri(plan.storage),
        children=0 if spec.tracking.children == "all" else int(spec.tracking.children.removeprefix("top:")),
    )


def study_result(plan: Plan, summary: Summary) -> StudyResult:
    """The result as the projection takes it: the winner's number, its backtest before the hold-out, a text."""
    best = summary.best
    status = "interrupted" if summary.reason in UNFINISHED else "finished"
    if best is None:
        return StudyResult(None, (), (), "", _markdown(summary), status)
    searched, _, holdout = (window.backtests if window else () for window in summary.winner)
    return StudyResult(best.number, searched, holdout, best_params_toml(plan, summary), _markdown(summary), status)


def close_mirror(mirror: StudyMirror, result: StudyResult, console: Console) -> MirrorReport:
    """Wait for the projection, with a line that says so."""
    with console.status("Writing the trials to MLflow ...") as status:

        def progress(done: int, told: int) -> None:
            status.update(f"Writing the trials to MLflow: {done} of {told} ...")

        return mirror.close(result, progress)


def _markdown(summary: Summary) -> str:
    lines = [f"{counted(sum(summary.counts[k] for k in ('complete', 'pruned', 'failed')), 'trial')}, {summary.reason}."]
    if summary.best is not None:
        lines.append(f"Best: trial {summary.best.number}")
        lines += [
            f"* {name} = {value:.6g}" for name, value in zip(summary.objectives, summary.best.values, strict=True)
        ]
        lines += [f"* {name} = {value}" for name, value in summary.best.params.items()]
    return "\n".join(lines)


@contextlib.contextmanager
def _stop_flag() -> Iterator[list[int]]:
    """A list that gets the first SIGINT or SIGTERM; a second SIGINT ends the program at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
