"""study.toml -> StudySpec: every key known, typed and checked before anything is computed or written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from engine.account import Account
from optim.errors import SpecError
from optim.expressions import suggestion
from optim.sections import (
    BLIND,
    DataSection,
    EvaluationSection,
    ParallelSection,
    Scalar,
    Section,
    StrategySection,
    StudySection,
    TrackingSection,
)
from optim.space import SearchSpace, Value, parse_space


class StudySpec(Section):
    """A whole study file, checked. `path` is where it came from.

    All relative paths in it are relative to its folder.
    """

    path: Path
    study: StudySection
    data: DataSection
    strategy: StrategySection
    backtest: dict[str, Scalar] = Field(default_factory=dict)
    evaluation: EvaluationSection = EvaluationSection()
    parallel: ParallelSection = ParallelSection()
    tracking: TrackingSection = TrackingSection()

    @property
    def folder(self) -> Path:
        """The folder of the study file."""
        return self.path.parent

    @property
    def portfolio(self) -> bool:
        """Whether all instruments share one account."""
        return bool(self.backtest.get("portfolio", False))

    @property
    def sweeps(self) -> bool:
        """Whether the points are one sequence: the sampler needs no feedback and nothing else does."""
        return (
            self.study.sampler.name in BLIND
            and self.study.pruner.name == "NopPruner"
            and not self.study.enqueue
            and self.study.patience is None
            and self.parallel.trial_timeout is None
        )

    def account(self) -> Account:
        """The account rules that are the same for every trial."""
        return Account(**{k: v for k, v in self.backtest.items() if k != "portfolio"})  # type: ignore[arg-type]

    def search_space(self) -> SearchSpace:
        """The parsed search space: inline, from a file, or the built-in one of the strategy."""
        table, where = self._space_table()
        return parse_space(table, self.strategy.fixed, where)

    def _space_table(self) -> tuple[Mapping[str, Any], str]:
        given = self.strategy.search_space
        if isinstance(given, dict):
            return given, f"{self.path}: [strategy.search_space]"
        if given is not None:
            file = self.folder / given
        elif ".py" in self.strategy.name:
            source, _, function = self.strategy.name.rpartition(":")
            file = (self.folder / source).with_name(f"{function}.toml")
        else:
            file = space_folder() / f"{self.strategy.name}.toml"
        return read_toml(file, f"{self.path}: [strategy] search_space"), str(file)


def space_folder() -> Path:
    """Where the search spaces of the built-in strategies are: inside the wheel, or beside the package in a checkout."""
    installed = Path(__file__).parent / "search_spaces"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "search_spaces"


def read_toml(path: Path, where: str = "") -> dict[str, Any]:
    """The TOML file as a dictionary; SpecError when it is missing or no TOML."""
    prefix = f"{where}: " if where else ""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{prefix}no such file: {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{prefix}{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None


def load_spec(path: str | Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> StudySpec:
    """Read and check a study file. `overrides` ({section: {key: value}}) come from the command line and win.

    Raises SpecError: one sentence with the file, the key, the value and the rule it breaks.
    """
    file = Path(path).resolve()
    table = read_toml(file)
    for section, values in (overrides or {}).items():
        current = table.get(section, {})
        table[section] = {**current, **values} if isinstance(current, dict) else current
    if "path" in table:
        raise SpecError(f"{file}: unknown key 'path'; the data file goes into [data] path")
    try:
        spec = StudySpec(path=file, **table)
    except ValidationError as error:
        raise SpecError(f"{file}: {_sentence(error.errors()[0])}") from None
    _check_backtest(spec)
    for row in spec.study.enqueue:
        _check_enqueued(row, spec)
    return spec


def with_start(spec: StudySpec, path: Path) -> StudySpec:
    """The spec with the searched parameters of a `best_params.toml` as its first point."""
    table = read_toml(path, "--from")
    names = {p.name for p in spec.search_space().parameters}
    given = {**table.get("strategy", {}).get("fixed", {}), **table.get("backtest", {})}
    point = {name: value for name, value in given.items() if name in names}
    if not point:
        wanted = ", ".join(sorted(names))
        raise SpecError(f"--from {path}: none of its parameters is searched; it needs [strategy.fixed] with {wanted}")
    study = spec.study.model_copy(update={"enqueue": [point, *spec.study.enqueue]})
    return spec.model_copy(update={"study": study})


def _check_backtest(spec: StudySpec) -> None:
    defaults = {**Account()._asdict(), "portfolio": False}
    for key, value in spec.backtest.items():
        if key not in defaults:
            raise SpecError(f"{spec.path}: [backtest] {key}: unknown key{suggestion(key, defaults)}")
        default = defaults[key]
        numeric = not isinstance(default, bool | str)
        if numeric and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise SpecError(f"{spec.path}: [backtest] {key} = {value!r}: must be a number")
        if not numeric and not isinstance(value, type(default)):
            wanted = "true or false" if isinstance(default, bool) else f"a text such as {default!r}"
            raise SpecError(f"{spec.path}: [backtest] {key} = {value!r}: must be {wanted}")


def _check_enqueued(row: Mapping[str, Value], spec: StudySpec) -> None:
    names = [p.name for p in spec.search_space().parameters]
    for key in row:
        if key not in names:
            raise SpecError(f"{spec.path}: [[study.enqueue]] {key}: no such searched parameter{suggestion(key, names)}")


def _sentence(error: ErrorDetails) -> str:
    """One pydantic error as `[section] key = value: rule`."""
    place = [str(part) for part in error["loc"] if not _is_union_branch(part)]
    head = f"[{place[0]}]" if place else ""
    key = ".".join(place[1:])
    if error["type"] == "missing":
        return f"{head} {key}: missing; add it" if key else f"{head}: the table is missing; add it"
    if error["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        return f"{head} {key}: unknown key{suggestion(place[-1], known)}" if key else (
            f"unknown table or key {place[0]!r}{suggestion(place[0], known)}"
        )  # fmt: skip
    message = error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be")
    value = "" if isinstance(error["input"], dict) else f" = {error['input']!r}"
    return f"{head} {key}{value}: {message}" if key else f"{head}: {message}"


def _is_union_branch(part: int | str) -> bool:
    """Pydantic puts the tried type of a union into the place, `list[str]` or `literal[...]`: no key looks like that."""
    return isinstance(part, str) and re.fullmatch(r"(str|int|float|bool|(list|literal|dict)\[.*)", part) is not None


def _known_keys(place: list[str]) -> list[str]:
    model: type[BaseModel] = StudySpec
    for name in place:
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return [name for name in model.model_fields if name != "path" or model is not StudySpec]
