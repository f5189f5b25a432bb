"""The winner's run among the trials of a study: marked, and with what the opened hold-out showed of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from optim.tracking.info import StudyInfo
from optim.tracking.rows import STUDY_TAG
from optim.tracking.store import RunStore

WINNER_TAG = "optim.winner"
HOLDOUT = "holdout/"  # how the names of metrics over the opened hold-out begin


def mark_winner(store: RunStore, info: StudyInfo, run_id: str | None) -> None:
    """Tag the winner's run, and no other of the study."""
    marked = {run.info.run_id for run in store.find({STUDY_TAG: info.study_id, WINNER_TAG: "true"})}
    for former in marked - {run_id}:
        store.client.delete_tag(former, WINNER_TAG)
    if run_id and run_id not in marked:
        store.set_tags(run_id, {WINNER_TAG: "true"})


def opened(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of the result's metrics those over the hold-out."""
    return {name: value for name, value in metrics.items() if name.startswith(HOLDOUT)}


def withdrawn(shown: Iterable[str], metrics: Mapping[str, float]) -> dict[str, float]:
    """NaN for what a former winner's hold-out showed: MLflow takes no metric away, and sorts NaN last."""
    return {name: float("nan") for name in shown if name.startswith(HOLDOUT) and name not in metrics}
