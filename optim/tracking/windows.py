"""Walk-forward in MLflow: a run for every window under the study's, and its trials under that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optim.errors import TrackingError
from optim.tracking.info import StudyInfo, WindowRun, WindowTrial
from optim.tracking.limits import MAX_PARAM, fit_key, fit_metrics, fit_text
from optim.tracking.rows import PARENT_TAG, STATUS, STUDY_TAG, MetricPoint, RunRow, run_name, source_tags
from optim.tracking.store import RunStore, unfinished

WINDOWS_OF = "optim.windows_of"  # on a window's run and its trials, not the study's tag: those are the study's trials
KEY = "optim.window"
_WINDOW, _TRIAL = "window", "window_trial"


def log_windows(
    store: RunStore, info: StudyInfo, parent_id: str, windows: Sequence[WindowRun], progress: Callable[[], None]
) -> None:
    """Bring MLflow to hold these windows, each once; a window of other content, or half written, makes way.

    Raises TrackingError where MLflow refuses a trial of a window.
    """
    wanted = {window.key for window in windows}
    there: set[str] = set()
    for run in store.find({WINDOWS_OF: info.study_id, "optim.role": _WINDOW}):
        key = run.data.tags[KEY]
        if key in wanted - there and not unfinished(run):
            there.add(key)
        else:
            _delete(store, run.info.run_id)
    for window in windows:
        if window.key not in there:
            _write(store, info, parent_id, window)
            progress()


def _delete(store: RunStore, run_id: str) -> None:
    for trial in store.find({PARENT_TAG: run_id, "optim.role": _TRIAL}):
        store.client.delete_run(trial.info.run_id)
    store.client.delete_run(run_id)


def _write(store: RunStore, info: StudyInfo, parent_id: str, window: WindowRun) -> None:
    """Its own end comes last: a window that has ended has all its trials."""
    metrics, _ = fit_metrics(window.metrics)
    points = tuple(MetricPoint(name, value, window.end, 0) for name, value in metrics.items())
    params, _ = fit_text(window.params, MAX_PARAM)
    tags = {**_tags(info, _WINDOW, parent_id, window.key), "mlflow.runName": window.name}
    run_id = store.create(RunRow(window.name, "RUNNING", window.start, None, params, points, tags, {}))
    rows = [_trial_row(info, run_id, window.key, number, trial) for number, trial in enumerate(window.trials)]
    for outcome in store.write(rows):
        if isinstance(outcome, Exception):
            raise TrackingError(f"a trial of {window.name} could not be written: {outcome}")
    store.end(run_id, "FINISHED", window.end)


def _trial_row(info: StudyInfo, window_id: str, key: str, number: int, trial: WindowTrial) -> RunRow:
    name = run_name(number, trial.params, info.key_params)
    params, _ = fit_text(trial.params, MAX_PARAM)
    value = {} if trial.value is None else {fit_key(info.objectives[0]): trial.value}
    points = tuple(MetricPoint(metric, one, trial.end, 0) for metric, one in value.items())
    tags = {**_tags(info, _TRIAL, window_id, key), "mlflow.runName": name, "optim.state": trial.state}
    return RunRow(name, STATUS[trial.state], trial.start, trial.end, params, points, tags, {})


def _tags(info: StudyInfo, role: str, parent_id: str, key: str) -> dict[str, Any]:
    own = {name: text for name, text in source_tags(info).items() if name != STUDY_TAG}
    return {**own, WINDOWS_OF: info.study_id, "optim.role": role, KEY: key, PARENT_TAG: parent_id}
