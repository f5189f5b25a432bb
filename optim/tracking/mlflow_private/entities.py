"""What a LocalClient is told, under the names that MLflow gives it."""

from __future__ import annotations

from typing import NamedTuple

from optim.tracking.rows import MetricPoint

Metric = MetricPoint


class RunTag(NamedTuple):
    key: str
    value: str


Param = InputTag = RunTag


class Dataset(NamedTuple):
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInput(NamedTuple):
    dataset: Dataset
    tags: list[RunTag]
