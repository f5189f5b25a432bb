"""The tables of a study file: every key, its type, its default and the rule it obeys."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Scalar = int | float | str | bool
Direction = Literal["maximize", "minimize"]
ENUMERATING = ("GridSampler", "BruteForceSampler")  # they know their own size: their points are SearchSpace.grid
BLIND = (*ENUMERATING, "RandomSampler", "QMCSampler")  # they need no feedback


def _seconds(value: Any) -> Any:
    """Seconds of `90`, `"90s"`, `"10m"`, `"1.5h"`, `"2d"`."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])?", value.strip())
        if match is None:
            raise ValueError("must be a number of seconds or a text such as '90s', '10m', '2h'")
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class Section(BaseModel):
    """A table of the study file: frozen, unknown keys refused, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NamedSpec(Section):
    """A class of Optuna by name; all other keys are its arguments."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    name: str

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments given beside the name."""
        return dict(self.model_extra or {})


class StudySection(Section):
    """[study]: what is searched for, how long and how."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^/\\\x00-\x1f]+$")
    objective: str | list[str]
    direction: Literal["maximize", "minimize"] | list[Literal["maximize", "minimize"]] | None = None
    n_trials: int = Field(default=100, gt=0)
    timeout: Seconds | None = None
    patience: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**32)
    sampler: NamedSpec = NamedSpec(name="TPESampler")
    pruner: NamedSpec  # default: MedianPruner where a trial can be pruned and the sampler learns, else NopPruner
    select: Literal["best", "plateau"] = "best"  # which trial is the winner; none of them depends on it
    storage: str = "optuna.journal"
    enqueue: list[dict[str, Scalar]] = []

    @model_validator(mode="before")
    @classmethod
    def _default_pruner(cls, table: Any) -> Any:
        if not isinstance(table, dict) or "pruner" in table:
            return table
        sampler = table.get("sampler")
        blind = isinstance(sampler, dict) and sampler.get("name") in BLIND
        whole = blind or isinstance(table.get("objective"), list)
        return {**table, "pruner": {"name": "NopPruner" if whole else "MedianPruner"}}

    @field_validator("objective")
    @classmethod
    def _some_objective(cls, value: str | list[str]) -> str | list[str]:
        if not value:
            raise ValueError("must name a metric, e.g. 'sharpe_ratio', or a list of metrics")
        return value

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives as a tuple, one or several."""
        return (self.objective,) if isinstance(self.objective, str) else tuple(self.objective)


class FormatSection(Section):
    """[data.format]: how the files of [data] are written, where that cannot be found out."""

    columns: dict[str, str] | list[str] = []  # { open = "Kurs" }, or the names of a file without a header
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", "'", " "] | None = None
    encoding: str | None = None
    epoch_unit: Literal["s", "ms", "us", "ns"] | None = None
    repeated_hour: Literal["in order"] | None = None
    adjusted: bool = False
    drop_empty: bool = False


class FeatureSection(Section):
    """[data.features.NAME]: a file of values beside the bars."""

    path: str
    lag: str | None = None  # how long after its timestamp a value is known; None: the usual step between rows
    max_age: str | None = None
    date_format: str | None = None
    timezone: str | None = None  # default: that of [data]
    format: FormatSection = FormatSection()


_NOT_SPLIT = {
    "detail": "the finer bars would stay on the scale before the splits",
    "format.adjusted": "adjusted prices know their splits",
}


class DataSection(Section):
    """[data]: the bars."""

    path: str | None = None  # a file, a folder, or a pattern such as "universe/*.parquet"
    paths: list[str] = []
    symbol_column: str | None = Field(default=None, min_length=1)  # path is one long table of many instruments
    start: str | None = None
    end: str | None = None
    date_format: str | None = None
    timezone: str | None = None
    format: FormatSection = FormatSection()
    features: dict[str, FeatureSection] = {}
    currencies: dict[str, FeatureSection] = {}  # [data.currencies.NAME]: the value of one unit of other moneys
    funding: str | None = Field(default=None, min_length=1)  # a column of rates: longs pay, shorts receive
    dividends: str | None = Field(default=None, min_length=1)  # a column of money for one unit
    splits: str | None = Field(default=None, min_length=1)  # a column of new units for one old
    detail: str | list[str] = []  # a file of finer bars, or one for each instrument
    timeframe: str | None = None  # the bars of the files are resampled to this one
    timeframe_offset: str | None = None  # how long after local midnight a day begins
    align: Literal["refuse", "common", "union"] = "refuse"  # instruments whose bars have different times
    periods_per_year: float | None = Field(default=None, gt=0, allow_inf_nan=False)  # None: inferred from the bars
    clock: Literal["as given"] | None = None  # periods_per_year holds although the bars say otherwise

    @field_validator("start", "end", mode="before")
    @classmethod
    def _iso(cls, value: Any) -> Any:
        return value.isoformat() if hasattr(value, "isoformat") else value  # TOML has dates of its own

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.path is None) == (not self.paths):
            raise ValueError("give either path = 'file' or paths = ['file', ...]")
        if self.symbol_column is not None and self.paths:
            raise ValueError("symbol_column is of one long table: give path = 'file' instead of paths")
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> DataSection:
        if self.splits is not None and (self.detail or self.format.adjusted):
            other = "detail" if self.detail else "format.adjusted"
            raise ValueError(f"splits and {other} cannot be together: {_NOT_SPLIT[other]}; remove one of them")
        return self

    @model_validator(mode="after")
    def _offset_of_something(self) -> DataSection:
        if self.timeframe_offset is not None and self.timeframe is None:
            raise ValueError("timeframe_offset needs timeframe; give it, or remove timeframe_offset")
        return self

    @property
    def details(self) -> tuple[str, ...]:
        """The files of finer bars, none or one for each instrument."""
        return (self.detail,) if isinstance(self.detail, str) else tuple(self.detail)

    @property
    def files(self) -> tuple[str, ...]:
        """The files, folders and patterns as they are given."""
        return (self.path,) if self.path is not None else tuple(self.paths)


class StrategySection(Section):
    """[strategy]: which function, which parameters."""

    name: str = Field(min_length=1)
    search_space: str | dict[str, Any] | None = None
    fixed: dict[str, Scalar] = {}
    lookahead_check: bool = True


class EvaluationSection(Section):
    """[evaluation]: how one candidate is judged."""

    folds: int = Field(default=5, ge=1)
    holdout: float = Field(default=0.2, ge=0, lt=1)
    aggregate: Literal["mean", "median", "min", "worst_stress"] = "mean"
    min_trades: int = Field(default=0, ge=0)
    constraints: list[str] = []


MOST_JOBS = 10_000  # more is a slip of the hand: each worker has a place from the start


class ParallelSection(Section):
    """[parallel]: where candidates are evaluated. Only batch_size and ahead have a say in the result."""

    n_jobs: int = -1
    backend: Literal["auto", "loky", "threading", "sequential", "dask", "ray"] = "auto"
    batch_size: int = Field(default=8, ge=1)
    ahead: int = Field(default=0, ge=0, le=8)  # batches asked before the results of the one being evaluated are known
    address: str | None = None
    trial_timeout: Seconds | None = None

    @field_validator("n_jobs")
    @classmethod
    def _some_jobs(cls, value: int) -> int:
        if value == 0 or value > MOST_JOBS:
            raise ValueError(f"must be a number of workers up to {MOST_JOBS}, or -1 for all cores")
        return value

    @model_validator(mode="after")
    def _killable(self) -> ParallelSection:
        if self.trial_timeout is not None and self.backend in ("sequential", "threading"):
            raise ValueError(
                f"trial_timeout needs worker processes, which backend = '{self.backend}' has not; remove one of them"
            )
        return self


class NullSection(Section):
    """[validation] null: the same search on shuffled markets."""

    markets: int = Field(default=199, ge=19, le=100_000)  # of each kind; 19 is the fewest that can show 5 %
    block: Literal["auto"] | Annotated[int, Field(ge=1)] = (
        "auto"  # bars that stay together; auto: single ones, of two kinds
    )


Length = Annotated[int, Field(ge=2)] | Annotated[str, Field(pattern=r"^[1-9]\d*[yMwd]$")]  # bars, or "4y", "6M"


class WalkForwardSection(Section):
    """[validation] walk_forward: a search of its own for every window."""

    train: Length
    test: Length
    mode: Literal["rolling", "anchored"] = "rolling"
    gap: Literal["auto"] | int | Length = 0  # between training and trying

    @field_validator("gap")
    @classmethod
    def _no_gap(cls, value: Any) -> Any:
        return 0 if value == "auto" else value  # no trade of a search reaches beyond the bars it sees


class ValidationSection(Section):
    """[validation]: how the winner is tested; none of it has a say in what is searched."""

    quick: Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=3600)] = 5.0  # seconds, at the most
    null: NullSection = NullSection()
    walk_forward: WalkForwardSection | None = None


class MLflowSection(Section):
    """[tracking.mlflow]: where MLflow is."""

    tracking_uri: str = "sqlite:///mlflow.db"
    experiment_name: str | None = None  # default: <strategy>_optimization
    artifact_location: str = ""


class TrackingSection(Section):
    """[tracking]: whether and how trials are mirrored."""

    enabled: bool = True
    backend: Literal["mlflow"] = "mlflow"
    children: str = Field(default="auto", pattern=r"^(auto|all|top:[1-9]\d*)$")
    mlflow: MLflowSection = MLflowSection()
    tags: dict[str, str] = {}
