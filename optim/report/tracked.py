"""What MLflow is told of a study as a whole: its description, its result, and where it goes."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime
from subprocess import Popen

from optim.problem.plan import Plan, resolve_artifacts
from optim.problem.provenance import git_state, versions
from optim.record.record import Record
from optim.report.markdown import as_markdown
from optim.report.summary import Summary, best_params_toml
from optim.spec.secrets import mask, mask_uri
from optim.tracking.info import Scalar, StudyInfo, StudyResult, WindowRun, WindowTrial
from optim.tracking.mirror import Mirror
from optim.tracking.settings import MLflowSettings
from optim.tracking.study_mirror import NullMirror, StudyMirror
from optim.verdict.assess import as_searched
from optim.verdict.plain import metrics_of, window_as_plain
from optim.verdict.rule import UNTESTED
from optim.verdict.walk_forward import recorded_windows

UNFINISHED = ("interrupted", "timeout")
AUTO_ALL, AUTO_BEST = 2_000, 1_000  # `children = "auto"`: all trials of a record up to this size, beyond it the best


def tracking_settings(plan: Plan) -> MLflowSettings:
    """[tracking.mlflow] as the projection takes it."""
    given = plan.spec.tracking.mlflow
    return MLflowSettings(
        plan.tracking_uri, given.experiment_name or f"{plan.strategy.name}_optimization", resolve_artifacts(plan.spec)
    )


def mirror_of(plan: Plan, record: Record, process: Popen[bytes] | None) -> StudyMirror:
    """The mirror, in a process that was started before (optim.tracking.early); or none."""
    if process is None:
        return NullMirror()
    return Mirror(study_info(plan, record), tracking_settings(plan), process=process)


def study_info(plan: Plan, record: Record) -> StudyInfo:
    """What the projection shows of the study as a whole."""
    spec = plan.spec
    params: dict[str, Scalar] = {
        "strategy": plan.strategy.name,
        **spec.strategy.fixed,
        **account_rules(plan),
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
        **children_of(spec.tracking.children),
        study_file=spec.argument,
    )


def account_rules(plan: Plan) -> dict[str, Scalar]:
    """The account rules that are not searched, without those that are off as they are by default."""
    searched, default = {p.name for p in plan.space.parameters}, type(plan.account)()._asdict()
    rules = plan.account._asdict().items()
    return {name: value for name, value in rules if name not in searched and (value or value != default[name])}


def children_of(asked: str) -> dict[str, int]:
    """`[tracking] children` as StudyInfo has it."""
    if asked == "auto":
        return {"children": AUTO_BEST, "all_up_to": AUTO_ALL}
    return {"children": 0 if asked == "all" else int(asked.removeprefix("top:"))}


def study_result(plan: Plan, record: Record, summary: Summary) -> StudyResult:
    """The result as the projection takes it: the winner's number, its backtest before the hold-out, a text."""
    best = summary.best
    status = "interrupted" if summary.reason in UNFINISHED else "finished"
    if best is None:
        return StudyResult(None, (), (), "", as_markdown(summary), status)
    searched, holdout = (w.backtests if w else () for w in (summary.winner.searched, summary.winner.holdout))
    return StudyResult(
        best.number,
        searched,
        holdout,
        best_params_toml(plan, summary),
        as_markdown(summary),
        status,
        {"verdict": UNTESTED if summary.verdict is None else summary.verdict["level"]},  # of these trials
        _study_metrics(summary),
        _windows(plan, record, summary),
        _p_values(summary),
    )


def _p_values(summary: Summary) -> dict[int, float] | None:
    statistics = None if summary.verdict is None else summary.verdict["statistics"]
    told = None if statistics is None else statistics.get("p_values")  # a verdict of an older version has none
    return None if told is None else {int(number): float(p) for number, p in told.items()}


def _windows(plan: Plan, record: Record, summary: Summary) -> list[WindowRun]:
    """The walk-forward's windows, in sample by the objective's own name."""
    searched, objective = as_searched(plan, record.trials(), summary.reason), summary.objectives[0]
    found = []
    for number, (window, tried) in enumerate(recorded_windows(searched, record), start=1):
        plain = window_as_plain(window)
        spans = {name: str(plain[name]) for name in ("train", "test")}
        metrics = {
            objective: window.in_sample,
            f"out_of_sample/{objective}": window.out_of_sample,
            "out_of_sample/total_return": float(plain["total_return"]),
        }
        trials = [WindowTrial(*one) for one in tried]
        moments = [moment for one in trials for moment in (one.start, one.end) if moment]
        text = json.dumps([plain, tried])
        found.append(
            WindowRun(
                f"window_{number:02d}_{spans['test'][:10]}",
                hashlib.sha256(text.encode()).hexdigest()[:32],
                {**window.params, **spans},
                {name: value for name, value in metrics.items() if math.isfinite(value)},
                min(moments, default=0),
                max(moments, default=0),
                trials,
            )
        )
    return found


def _study_metrics(summary: Summary) -> dict[str, float]:
    """The verdict's numbers, and the hold-out's once it is open."""
    found = {} if summary.verdict is None else metrics_of(summary.verdict)
    window = summary.winner.holdout
    opened = {} if window is None else {f"holdout/{name}": value for name, value in window.metrics.items()}
    return {name: value for name, value in {**found, **opened}.items() if math.isfinite(value)}
