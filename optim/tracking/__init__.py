"""Tracking: the Tracker protocol and the projection of a study into MLflow. Importing it imports no MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optim.tracking.git import get_git_sha
from optim.tracking.info import Dataset, LiveTrial, MirrorReport, StudyInfo, StudyResult
from optim.tracking.mirror import Mirror
from optim.tracking.settings import MLflowSettings, settings_from
from optim.tracking.study_mirror import NullMirror, StudyMirror
from optim.tracking.tracker import NullTracker, Tracker, build_tracker_from_config

if TYPE_CHECKING:
    from optim.tracking.mlflow_tracker import MLflowTracker
    from optim.tracking.process import sync

__all__ = [
    "Dataset",
    "LiveTrial",
    "MLflowSettings",
    "MLflowTracker",
    "Mirror",
    "MirrorReport",
    "NullMirror",
    "NullTracker",
    "StudyInfo",
    "StudyMirror",
    "StudyResult",
    "Tracker",
    "build_tracker_from_config",
    "get_git_sha",
    "settings_from",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name == "MLflowTracker":
        from optim.tracking.mlflow_tracker import MLflowTracker

        return MLflowTracker
    if name == "sync":
        from optim.tracking.process import sync

        return sync
    raise AttributeError(name)
