"""What a trial costs beside sampler and backtest, and the whole against the guide's loop: Optuna's SQLite storage and
MLflow's fluent nested runs. Both do random trials of the same backtest with everything persisted, in one run."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Line
from optim.problem.plan import make_plan
from optim.search.proposals import Proposer
from optim.spec.study import load_spec
from optim.workers.pool import Pool
from tests.studies import write_study

TRIALS = 1000
LINES = (
    Line("1,000 random trials, record and MLflow, start to end", "s", "seconds", "the guide's loop", "guide_seconds"),
    Line("the same without start and end", "s", "loop_seconds", "the guide's loop", "guide_seconds"),
    Line("a trial beside sampler and backtest", "ms", "overhead_ms_per_trial"),
)


def main(n_trials: int = TRIALS) -> dict[str, Any]:
    """Seconds of both loops and the milliseconds per trial of each part of ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "warm").mkdir()
        ours(folder / "warm", 10)
        (folder / "ours").mkdir()
        (folder / "guide").mkdir()
        result = ours(folder / "ours", n_trials)
        result["guide_seconds"] = guide(folder / "guide", n_trials)
    result["times_faster_end_to_end"] = result["guide_seconds"] / result["seconds"]
    result["times_faster_without_start_and_end"] = result["guide_seconds"] / result["loop_seconds"]
    return {"n_trials": n_trials, **result}


def study(folder: Path, n_trials: int) -> Path:
    """A study with all of it persisted: journal, MLflow on SQLite; five cells, pruned, in this process."""
    uri = f"sqlite:///{folder}/mlflow.db"
    return write_study(
        folder,
        study={"n_trials": n_trials, "pruner": {"name": "MedianPruner"}},
        evaluation={"folds": 5, "holdout": 0.2},
        tracking={"enabled": True, "mlflow": {"tracking_uri": uri}},
    )


def ours(folder: Path, n_trials: int) -> dict[str, Any]:
    """`Study.run` in this process, with the time spent in asking and in backtests told apart."""
    from optim.api import Study
    from optim.search.loop import Search

    spec = load_spec(study(folder, n_trials))
    with timed(Proposer, "ask") as asking, timed(Pool, "collect") as working, timed(Search, "run") as looping:
        started = time.perf_counter()
        Study(spec).run()
        seconds = time.perf_counter() - started
    rest, rest_cpu = (looping[i] - asking[i] - working[i] for i in (0, 1))
    return {
        "seconds": seconds,
        "loop_seconds": looping[0],
        "ask_ms_per_trial": 1000 * asking[0] / n_trials,
        "backtest_ms_per_trial": 1000 * working[0] / n_trials,
        "overhead_ms_per_trial": 1000 * rest / n_trials,
        "overhead_cpu_ms_per_trial": 1000 * rest_cpu / n_trials,  # of the coordinator's thread
    }


@contextlib.contextmanager
def timed(owner: type, method: str) -> Iterator[list[float]]:
    """Add up the seconds, and this thread's CPU seconds, spent in a method."""
    plain: Callable[..., Any] = getattr(owner, method)
    total = [0.0, 0.0]

    def measured(*arguments: Any, **options: Any) -> Any:
        started, cpu = time.perf_counter(), time.thread_time()
        try:
            return plain(*arguments, **options)
        finally:
            total[0] += time.perf_counter() - started
            total[1] += time.thread_time() - cpu

    setattr(owner, method, measured)
    try:
        yield total
    finally:
        setattr(owner, method, plain)


def guide(folder: Path, n_trials: int) -> float:
    """The loop of the tracking guide: `study.optimize` around a fluent MLflow run per trial."""
    import mlflow
    import optuna

    from engine.evaluate import evaluate

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plan = make_plan(load_spec(study(folder, n_trials)))
    mlflow.set_tracking_uri(f"sqlite:///{folder}/guide_mlflow.db")
    mlflow.set_experiment("guide")

    def objective(trial: optuna.Trial) -> float:
        fast = trial.suggest_int("fast_window", 5, 50)
        params = {"fast_window": fast, "slow_window": trial.suggest_int("slow_window", fast + 1, 200), "ma_type": "sma"}
        with mlflow.start_run(nested=True):
            mlflow.log_params(params)
            for step, cell in enumerate(plan.cells):
                outcome = evaluate(plan.strategy, params, plan.account, plan.job.instruments, cell, 252.0)
                trial.report(outcome.metrics["sharpe_ratio"], step)
            mlflow.log_metrics({name: value for name, value in outcome.metrics.items() if value == value})
            for name, value in outcome.metrics.items():
                trial.set_user_attr(name, value if value == value else None)
            return outcome.metrics["sharpe_ratio"]

    started = time.perf_counter()
    storage = f"sqlite:///{folder}/guide_optuna.db"
    search = optuna.create_study(
        storage=storage, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=3), study_name="guide"
    )
    with mlflow.start_run(run_name="guide"):
        search.optimize(objective, n_trials=n_trials)
    return time.perf_counter() - started
