"""What the projection needs to know about a study: plain data, no MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from engine.report.result import BacktestResult

Scalar = str | int | float | bool
LONG_TRIAL = 2.0  # seconds; a trial that runs longer is shown while it runs


class Dataset(NamedTuple):
    """One instrument's bars as the study used them."""

    name: str
    source: str
    digest: str  # sha256 hex of the bars
    n_bars: int
    start: str  # ISO date-times, UTC
    end: str


class StudyInfo(NamedTuple):
    """A study as the projection sees it."""

    study_id: str  # stable identity, kept in the record
    name: str
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    start: datetime  # naive local time, as Optuna keeps it
    params: Mapping[str, Scalar]  # what all trials share: on the study's own run; of them `strategy` on every trial's
    tags: Mapping[str, str]
    key_params: tuple[str, ...]  # the searched parameters that go into run names, in order
    datasets: tuple[Dataset, ...]
    config_toml: str  # secrets masked
    storage: str  # secrets masked
    children: int = 0  # so many of the best trials get a run of their own, once the search has ended; 0: all, at once
    all_up_to: int = 0  # yet all, at once, as long as the record holds no more trials than this
    study_file: str = "study.toml"  # what a command is given to mean this study, as a shell takes it; no path


class LiveTrial(NamedTuple):
    """A trial that is still running."""

    number: int
    params: Mapping[str, Scalar]
    start: datetime
    values: tuple[float, ...]  # raw objective value per finished cell


class WindowTrial(NamedTuple):
    """A trial of a walk-forward window's own search."""

    params: Mapping[str, Scalar]
    value: float | None  # of the first objective
    state: str  # Optuna's: COMPLETE, PRUNED or FAIL
    start: int  # ms since the epoch
    end: int


class WindowRun(NamedTuple):
    """A walk-forward window: a search of its own, and its winner on the bars that follow."""

    name: str
    key: str  # another one whenever anything in it differs
    params: Mapping[str, Scalar]
    metrics: Mapping[str, float]
    start: int  # ms since the epoch
    end: int
    trials: Sequence[WindowTrial]


class StudyResult(NamedTuple):
    """What is known once the search has ended."""

    best_number: int | None
    best: Sequence[BacktestResult]  # over the searched bars, one an instrument
    holdout: Sequence[BacktestResult]  # none while it is sealed
    best_params_toml: str
    summary: str  # Markdown
    status: str = "finished"  # or "interrupted": the budget is not spent
    tags: Mapping[str, str] = {}  # of the study's own run
    metrics: Mapping[str, float] = {}  # likewise
    windows: Sequence[WindowRun] = ()  # of the walk-forward
    p_values: Mapping[int, float] | None = None  # by trial number, those below 1; None: nothing was tested
    page: str = ""  # the report as HTML, where there is one


class MirrorReport(NamedTuple):
    """What the projection did."""

    parent_run_id: str  # empty when MLflow was never reached
    experiment_id: str
    missing: int  # finished trials that are not in MLflow
    error: str  # empty, or one sentence without credentials
    interrupted: bool = False  # by Ctrl-C while it was written
    note: str = ""  # a sentence where not every trial has a run of its own

    @property
    def complete(self) -> bool:
        return not self.missing and not self.error
