"""MLflow as the tests see it: through its own client, never through ours."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial

from optim.spec.uris import with_driver
from optim.tracking import MLflowSettings, StudyResult
from tests.waiting import until

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


RESULT = StudyResult(9, (), (), "fast_window = 14\n", "Best: **0.09**")


def open_client(settings: MLflowSettings) -> MlflowClient:
    return MlflowClient(tracking_uri=with_driver(settings.tracking_uri))


def all_runs(settings: MLflowSettings) -> list[Run]:
    """Every run of the experiment; none while there is no experiment."""
    client = open_client(settings)
    experiment = client.get_experiment_by_name(settings.experiment_name)
    found, token = [], None
    if experiment is None:
        return found
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def children(settings: MLflowSettings) -> dict[int, Run]:
    runs = [run for run in all_runs(settings) if "optim.trial" in run.data.tags]
    found = {int(run.data.tags["optim.trial"]): run for run in runs}
    assert len(found) == len(runs), "a trial has two runs"
    return found


def snapshot(settings: MLflowSettings) -> dict[str, object]:
    return {run.info.run_id: run.to_dictionary() for run in all_runs(settings)}


def artifacts(settings: MLflowSettings, run_id: str, path: str = "") -> set[str]:
    return {item.path for item in open_client(settings).list_artifacts(run_id, path)}


def wait_for_child(settings: MLflowSettings, metric: str | None = None) -> Run:
    """Poll until the mirror shows the running trial (its process needs seconds to import MLflow)."""

    def shown() -> Run | None:
        return next((run for run in children(settings).values() if not metric or metric in run.data.metrics), None)

    return until(shown, "the running trial never appeared")


def assert_exact(settings: MLflowSettings, trials: Sequence[FrozenTrial]) -> None:
    """MLflow holds exactly these trials: one child each, true times, everything in it."""
    runs, client = children(settings), open_client(settings)
    assert sorted(runs) == sorted(trial.number for trial in trials)
    for trial in trials:
        run = runs[trial.number]
        times = (round(trial.datetime_start.timestamp() * 1000), round(trial.datetime_complete.timestamp() * 1000))
        assert (run.info.start_time, run.info.end_time) == times
        assert run.info.status == STATUS[trial.state.name]
        assert {name: str(value) for name, value in trial.params.items()}.items() <= run.data.params.items()
        prefix = "" if trial.state.name == "COMPLETE" else "partial/"
        metrics = {f"{prefix}{key}": value for key, value in trial.user_attrs.items() if isinstance(value, float)}
        assert metrics.items() <= run.data.metrics.items()
        if trial.number % (len(trials) // 50 + 1):
            continue  # one call per run: a sample of large studies
        history = client.get_metric_history(run.info.run_id, "cell/sharpe_ratio")
        cells = sorted((point.step, point.value) for point in history)
        assert cells == list(enumerate(trial.user_attrs.get("cell_values", [])))
