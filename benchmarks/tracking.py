"""What tracking costs: ours and the guide's own loop on the same rows, in one run.

The guide's loop is Optuna on a database with fluent nested MLflow runs on a database. Ours is Optuna in memory, whole
trials appended to a journal file, and the mirror process. Every child has 10 parameters, 12 metrics, 5 steps, 5 tags;
the "backtest" costs nothing, so what is left is bookkeeping. Both use RandomSampler. MLflow's one-time start (import,
schema, parent run) is measured apart.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from benchmarks.table import Line
from optim.record.record import open_record
from optim.search.loop import WRITE_SECONDS
from optim.tracking import Mirror, MLflowSettings, NullMirror, StudyInfo, StudyResult
from optim.tracking.study_mirror import StudyMirror

BATCH = 8
LINES = (
    *(
        Line(
            f"a trial and its MLflow run, {name}",
            "ms",
            f"{key}/ours_end_to_end",
            "the guide's loop",
            f"{key}/guide_end_to_end",
        )
        for name, key in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    Line("the search loop with tracking", "ms", "search_loop/with", "without", "search_loop/without"),
)
NAMES = [f"parameter_{number}" for number in range(10)]
METRICS = [f"metric_{number}" for number in range(11)]
TAGS = {f"tag_{number}": "value" for number in range(5)}
RESULT = StudyResult(0, (), (), "", "")


def main(trials: int = 1000, guide_trials: int = 100) -> dict[str, Any]:
    """All figures; milliseconds per trial unless the name says otherwise."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    figures: dict[str, Any] = {"trials": trials, "guide_trials": guide_trials}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        figures["search_loop"] = slowdown(folder, trials)
        figures["sqlite"] = compare(
            f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/optuna.db", trials, guide_trials
        )
        if server := postgresql(stack):
            mlflow_uri, optuna_uri = server
            figures["postgresql"] = compare(mlflow_uri, optuna_uri, trials, guide_trials)
    return figures


def slowdown(folder: Path, trials: int, repeats: int = 5) -> dict[str, float]:
    """The search loop with and without tracking, in turns; the mirror is running already, then it is just starting."""
    times: dict[str, list[float]] = {"without": [], "with": [], "while_starting": []}
    for repeat in range(repeats):
        settings = MLflowSettings(f"sqlite:///{folder}/slowdown.db", "slowdown")
        times["without"].append(loop(folder, trials, NullMirror()))
        for name in ("while_starting", "with"):
            start = open_mirror if name == "with" else lambda study, place: Mirror(info(study), place)
            mirror = start(f"{name}-{repeat}", settings)
            times[name].append(loop(folder, trials, mirror))
            mirror.close(RESULT)
    least = {name: 1000 * min(values) / trials for name, values in times.items()}  # other programs only ever add
    ratios = {f"slowdown_{name}": least[name] / least["without"] for name in ("with", "while_starting")}
    return least | ratios


def compare(mlflow_uri: str, optuna_uri: str, trials: int, guide_trials: int) -> dict[str, float]:
    """End to end, and the marginal cost of a child run."""
    began = time.perf_counter()
    settings = MLflowSettings(mlflow_uri, "ours")
    mirror = open_mirror("first", settings)
    start = time.perf_counter() - began
    loop_time = loop(Path(tempfile.mkdtemp()), trials, mirror)
    began = time.perf_counter()
    report = mirror.close(RESULT)
    close_time = time.perf_counter() - began
    assert report.complete, report.error
    guide = guide_loop(mlflow_uri, optuna_uri, guide_trials)
    ours = 1000 * (loop_time + close_time) / trials
    return {
        "mlflow_start_seconds": start,
        "child_run": 1000 * marginal(settings, trials),
        "complete_after_search_seconds": close_time,
        "ours_end_to_end": ours,
        "guide_end_to_end": 1000 * guide,
        "ratio": 1000 * guide / ours,
    }


def marginal(settings: MLflowSettings, trials: int) -> float:
    """Seconds per child run of the projection itself, in this process, on an open connection."""
    from optim.tracking.projection import Projection

    projection = Projection(info("marginal"), settings)
    projection.project([])
    made = [finished_trial(number) for number in range(trials)]
    began = time.perf_counter()
    projection.project(made)
    return (time.perf_counter() - began) / trials


def loop(folder: Path, trials: int, mirror: StudyMirror) -> float:
    """What `optim.search.loop` does, without the backtest; seconds until the last trial is told."""
    record = open_record(str(folder / f"{time.time_ns()}.journal"), "record", ["minimize"], {}, {}, ["value"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    unwritten: list[FrozenTrial] = []
    began = written = time.perf_counter()
    for first in range(0, trials, BATCH):
        for trial in [study.ask() for _ in range(BATCH)]:
            for name in NAMES:
                trial.suggest_float(name, 0.0, 1.0)
            for name, value in results(trial.number).items():
                trial.set_user_attr(name, value)
            trial.set_user_attr("cell_values", [0.0, 1.0, 2.0, 3.0, 4.0])
            unwritten.append(study.tell(trial, float(trial.number)))
        if time.perf_counter() - written > WRITE_SECONDS or first + BATCH >= trials:
            done, unwritten, written = unwritten, [], time.perf_counter()
            record.append(done)
            mirror.finished(done)
    return time.perf_counter() - began


def guide_loop(mlflow_uri: str, optuna_uri: str, trials: int) -> float:
    """The loop of the guide; seconds per trial. Schema and imports are paid before the clock starts."""
    import mlflow

    mlflow.set_tracking_uri(with_psycopg2(mlflow_uri))
    mlflow.set_experiment("guide")
    study = optuna.create_study(storage=with_psycopg2(optuna_uri), sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_float(name, 0.0, 1.0) for name in NAMES}
        log_fluently(params, trial.number)
        return float(trial.number)

    with mlflow.start_run(run_name="study"):
        began = time.perf_counter()
        study.optimize(objective, n_trials=trials)
        return (time.perf_counter() - began) / trials


def log_fluently(params: dict[str, float], number: int) -> None:
    """One child run as the guide writes it."""
    import mlflow

    with mlflow.start_run(run_name=f"trial_{number}", nested=True):
        mlflow.log_params(params)
        for step in range(5):
            mlflow.log_metrics({"cell": float(step)}, step=step)
        mlflow.log_metrics(results(number) | {"metric_11": 1.0})
        mlflow.set_tags(TAGS)


def info(study_id: str) -> StudyInfo:
    return StudyInfo(study_id, study_id, ("value",), ("minimize",), datetime.now(), {}, TAGS, (), (), "", "")


def results(number: int) -> dict[str, float]:
    return {name: float(number + position) for position, name in enumerate(METRICS)}


def finished_trial(number: int) -> FrozenTrial:
    attributes = results(number) | {"cell_values": [0.0, 1.0, 2.0, 3.0, 4.0]}
    distributions = dict.fromkeys(NAMES, optuna.distributions.FloatDistribution(0.0, 1.0))
    trial = optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        value=float(number),
        params=dict.fromkeys(NAMES, 0.5),
        distributions=distributions,
        user_attrs=attributes,
    )
    trial.number = number
    return trial


def open_mirror(study_id: str, settings: MLflowSettings) -> Mirror:
    """A mirror whose MLflow is open."""
    mirror = Mirror(info(study_id), settings)
    if not mirror.wait_until_open():
        raise RuntimeError(mirror.problem)
    return mirror


def postgresql(stack: ExitStack) -> tuple[str, str] | None:
    """Two fresh databases of a cluster made for this run, if PostgreSQL is installed."""
    from tests.conftest import postgresql_bin
    from tests.servers import create_database, postgres_cluster

    if postgresql_bin() is None:
        return None
    server = stack.enter_context(postgres_cluster())
    return create_database(server, "mlflow"), create_database(server, "optuna")


def with_psycopg2(uri: str) -> str:
    from optim.spec.uris import with_driver

    return with_driver(uri)


if __name__ == "__main__":
    import json

    print(json.dumps(main(), indent=2))
