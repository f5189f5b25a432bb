"""The verb that looks before anything is run: what a study would do and take, and what a strategy must obey."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

from optim.errors import SpecError, counted, cut
from optim.problem.plan import Plan, feasible_point
from optim.problem.recorded import continued
from optim.record.quiet import quiet_optuna
from optim.report.screen import Screen
from optim.search.rehearsal import ready
from optim.search.scoring import score_cell
from optim.search.search import make_pool
from optim.spec.secrets import mask_uri, variables_sent
from optim.spec.study import StudySpec
from optim.verdict.bearing import Bearing, bearing
from optim.workers.pace import INLINE_SECONDS
from optim.workers.tasks import Result

EXIT_FAILED = 1
EXIT_UNPROVEN = 1
_NULL_SECONDS = 3.0  # for shuffled markets, where a search takes less
_LABELS = {"luck": "chance"}  # how a key of check's JSON is called on the terminal; luck is a verdict's word
_LOOP_SECONDS = 0.004  # asking, telling, recording: of the order measured by benchmarks/study_loop.py


def check(spec: StudySpec, *, as_object: bool = False) -> int:
    """Say what a study would do and how long it would take, from a probe of one trial; nothing is written.

    1 when the probe fails; SpecError where a run would be refused.
    """
    with quiet_optuna():
        plan, lookahead, _ = ready(spec)
        continued(plan)  # what a run would go on with, or refuse to
    what = "one that compiles the engine where it is the very first" if plan.strategy.compiled else "the first one"
    with Screen(stderr=True).status(f"Trying a trial, {what} ..."):
        probe = _probe(plan)
    result, seconds = probe.result, probe.result.ended - probe.result.started
    size = plan.space.size()
    n_trials = min(spec.study.n_trials, size)
    workers = probe.at_work if seconds * spec.parallel.batch_size > INLINE_SECONDS else 1
    total = n_trials * (seconds / workers + _LOOP_SECONDS)
    failed = _failure(plan, result)
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
        ("workers", f"{probe.n_jobs}, {probe.backend}: {probe.reason}"),
        ("trial", f"{seconds * 1000:.2f} ms on one core" + (f"; it failed: {cut(failed)}" if failed else "")),
        ("study", f"about {_duration(total)} for {counted(int(n_trials), 'trial')} without pruning"),
        ("study", _besides(spec, probe)),
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
        text = "\n".join(f"{_LABELS.get(label, label):<9} {text}" for label, text in lines)
        Screen().print(text, highlight=False, markup=False, soft_wrap=True)
    return EXIT_FAILED if failed else 0


class _Probe(NamedTuple):
    """One trial on the study's own workers, once they are at work."""

    n_jobs: int
    backend: str
    reason: str
    at_work: int  # of the n_jobs: there may be more than a run has trials for
    started: float  # seconds until they were
    result: Result


def _probe(plan: Plan) -> _Probe:
    task, began = plan.task(feasible_point(plan), plan.cells), time.monotonic()
    with make_pool(plan) as pool:
        at_work = 1 if pool.backend == "sequential" else min(pool.n_jobs, _under_way(plan.spec))
        chosen = pool.n_jobs, pool.backend, pool.reason, at_work
        first = pool.run([task] * at_work)  # each worker compiles, or loads what is compiled
        waited = time.monotonic() - began - max(one.ended - one.started for one in first)
        return _Probe(*chosen, max(waited, 0.0), pool.run([task])[0])


def _under_way(spec: StudySpec) -> int:
    """How many trials of a run are evaluated at the same time, however many workers there are."""
    return min(spec.study.n_trials, spec.parallel.batch_size * (1 + spec.parallel.ahead))


def _failure(plan: Plan, result: Result) -> str:
    """Why the trial would fail: the strategy's reason, or the objective's; empty where it would not."""
    for step, outcome in enumerate(result.outcomes):
        if said := outcome.error or score_cell(plan.objective, outcome.metrics, step)[1]:
            return said
    return ""


def _besides(spec: StudySpec, probe: _Probe) -> str:
    """What a run takes beside its trials."""
    parts = [
        f"starting the workers ({_duration(probe.started)} here)" if probe.started >= 0.5 else "the start",
        *([f"a first verdict (of {spec.validation.quick:g} s at the most)"] * (spec.validation.quick > 0)),
        *(["telling MLflow"] * spec.tracking.enabled),
    ]
    return f"besides, a run takes some seconds to begin and to end: {', '.join(parts)}"


def _bearing(found: Bearing, spec: StudySpec) -> Iterator[tuple[str, str]]:
    """What the data can bear, in words."""
    trials = counted(found.n_trials, "independent trial")
    yield (
        "luck",
        f"by a formula, the best of {trials} without skill shows a Sharpe ratio of {found.chance:.2f} on these "
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
    Screen().print(str(report), highlight=False, markup=False, soft_wrap=True)
    return EXIT_UNPROVEN if report.unproven else 0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1.0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
