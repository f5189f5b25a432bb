"""study.toml -> StudySpec: every key known, typed and checked before anything is computed or written."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from engine.errors import EngineError
from engine.simulator.account import Account
from optim.errors import SpecError, cut, shown
from optim.spec.expressions import suggestion
from optim.spec.keys import OWN_KEYS, unknown
from optim.spec.sections import (
    BLIND,
    DataSection,
    EvaluationSection,
    ParallelSection,
    Scalar,
    Section,
    StrategySection,
    StudySection,
    TrackingSection,
    ValidationSection,
)
from optim.spec.sentences import broken_rule, misplaced, sentence
from optim.spec.space import SearchSpace, Value
from optim.spec.space_table import parse_space
from optim.spec.toml_file import read_toml, write_toml


class StudySpec(Section):
    """A whole study file, checked. `path` is where it came from.

    All relative paths in it are relative to its folder.
    """

    path: Path
    text: str = ""  # the file, as it was read
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)  # what the command line says instead
    start: dict[str, Scalar] | None = None  # the point of --from, which is the first of study.enqueue then
    start_file: str = ""
    study: StudySection
    data: DataSection
    strategy: StrategySection
    backtest: dict[str, Scalar] = Field(default_factory=dict)
    instruments: dict[str, dict[str, Scalar]] = Field(default_factory=dict)  # rules of [backtest], by instrument
    evaluation: EvaluationSection = EvaluationSection()
    parallel: ParallelSection = ParallelSection()
    validation: ValidationSection = ValidationSection()
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

    @property
    def uris(self) -> tuple[tuple[str, str], ...]:
        """What may hold variables of the environment, before they are put in, with the keys' names."""
        mlflow = self.tracking.mlflow
        tracking = (
            ("[tracking.mlflow] tracking_uri", mlflow.tracking_uri),
            ("[tracking.mlflow] artifact_location", mlflow.artifact_location),
        )
        return (("[study] storage", self.study.storage), *(tracking if self.tracking.enabled else ()))

    @property
    def flags(self) -> str:
        """What a command must be given beside the file to mean this study."""
        name = self.overrides.get("study", {}).get("name")
        return ("" if name is None else f" --new-name {shlex.quote(name)}") + (
            f" --from {shlex.quote(self.start_file)}" if self.start_file else ""
        )

    @property
    def argument(self) -> str:
        """What a command is given to mean this study, typed in its folder."""
        return f"{shlex.quote(self.path.name)}{self.flags}"

    def as_toml(self) -> str:
        """A study file of what runs: the file itself, unless the command line changed something."""
        if not self.overrides and self.start is None:
            return self.text
        import tomli_w

        table = _merged(tomllib.loads(self.text), self.overrides)
        if self.start is not None:
            table["study"]["enqueue"] = [dict(row) for row in self.study.enqueue]
        return tomli_w.dumps(table)

    def starting_at(self, point: Mapping[str, Scalar], file: str = "") -> StudySpec:
        """The same study with this point as its first one."""
        spec = _with_enqueued(self, [dict(point), *self.study.enqueue])
        return spec.model_copy(update={"start": dict(point), "start_file": file})

    def account(self) -> Account:
        """The account rules that are the same for every trial."""
        return Account(**{k: v for k, v in self.backtest.items() if k != "portfolio"})  # type: ignore[arg-type]

    def search_space(self) -> SearchSpace:
        """The parsed search space: inline, from a file, or the built-in one of the strategy."""
        table, where = self._space_table()
        return parse_space(table, self.strategy.fixed, where)

    @property
    def space_place(self) -> str:
        """Where the search space is written, as an error names it."""
        return self._space_table()[1]

    def _space_table(self) -> tuple[Mapping[str, Any], str]:
        given = self.strategy.search_space
        if isinstance(given, dict):
            return given, f"{self.path}: [strategy.search_space]"
        if given is not None:
            file = self.folder / given
        elif ".py" in self.strategy.name:
            source, _, function = self.strategy.name.rpartition(":")
            file = (self.folder / source).parent / f"{function}.toml"
            if not file.is_file():
                self._check_function()
        else:
            file = space_folder() / f"{self.strategy.name}.toml"
            known = [path.stem for path in space_folder().glob("*.toml")]
            if self.strategy.name not in known:
                named = f"{self.path}: [strategy] name = {shown(self.strategy.name)}"
                raise SpecError(f"{named}: no such strategy{suggestion(self.strategy.name, known)}")
        return read_toml(file, f"{self.path}: [strategy] search_space"), str(file)

    def _check_function(self) -> None:
        """SpecError where there is no strategy of this name, of which a space that is not there says nothing."""
        from engine.strategies.base import load_strategy  # heavy, and for a study that is refused anyway

        try:
            load_strategy(self.strategy.name, self.folder)
        except EngineError as error:
            named = f"{self.path}: [strategy] name = {shown(self.strategy.name)}"
            raise SpecError(f"{named}: {cut(str(error), 400)}") from None


def space_folder() -> Path:
    """Where the search spaces of the built-in strategies are: inside the wheel, or beside the package in a checkout."""
    installed = Path(__file__).parents[1] / "search_spaces"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "search_spaces"


def load_spec(path: str | Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> StudySpec:
    """Read and check a study file. `overrides` ({section: {key: value}}) come from the command line and win.

    Raises SpecError: one sentence with the file, the key, the value and the rule it breaks.
    """
    try:
        file = Path(path).resolve()
    except (OSError, ValueError) as error:
        raise SpecError(f"{shown(str(path))} is no path of a file: {cut(str(error))}") from None
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in (overrides or {}).items()
    }
    return _checked(_merged(read_toml(file), given), file, file.read_text(encoding="utf-8-sig"), given)


def spec_from(table: Mapping[str, Any], folder: Path) -> StudySpec:
    """Check a study's tables; paths in them are relative to `folder`. Raises SpecError as load_spec."""
    file = folder.resolve() / "Study.from_dict"  # what errors call it: a study.toml there is another study
    text = write_toml(table, str(file))
    return _checked(tomllib.loads(text), file, text, {})


def _checked(table: dict[str, Any], file: Path, text: str, overrides: dict[str, dict[str, Any]]) -> StudySpec:
    for key in table.keys() & {*OWN_KEYS}:
        raise SpecError(f"{file}: unknown table or key {key!r}{unknown((), key, StudySpec)}")
    try:
        spec = StudySpec(path=file, text=text, overrides=overrides, **table)
    except ValidationError as error:
        raise SpecError(f"{file}: {sentence(error.errors(), StudySpec)}") from None
    _check_rules(spec)
    rows = [_admit(row, spec, f"{file}: [[study.enqueue]]") for row in spec.study.enqueue]
    return _with_enqueued(spec, rows) if rows else spec


def with_start(spec: StudySpec, path: Path) -> StudySpec:
    """The spec with the searched parameters of a `best_params.toml` as its first point."""
    table = read_toml(path, "--from")
    names = {p.name for p in spec.search_space().parameters}
    given: dict[str, Any] = {}
    for section in (_table(table, "strategy", "fixed"), _table(table, "backtest")):
        given |= section
    point = {name: value for name, value in given.items() if name in names}
    if not point:
        wanted = cut(", ".join(sorted(names)))
        raise SpecError(f"--from {path}: none of its parameters is searched; it needs [strategy.fixed] with {wanted}")
    return spec.starting_at(_admit(point, spec, f"--from {path}: [strategy.fixed]"), str(path))


def _merged(table: dict[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    for section, values in overrides.items():
        current = table.get(section, {})
        table[section] = {**current, **values} if isinstance(current, dict) else current
    return table


def _with_enqueued(spec: StudySpec, rows: list[dict[str, Value]]) -> StudySpec:
    return spec.model_copy(update={"study": spec.study.model_copy(update={"enqueue": rows})})


def _admit(row: Mapping[str, Any], spec: StudySpec, where: str) -> dict[str, Value]:
    space = spec.search_space()
    for name in row:
        if name in StudySection.model_fields and name not in {p.name for p in space.parameters}:
            raise SpecError(f"{spec.path}: {misplaced(name)}")
    try:
        return space.admit(row)
    except ValueError as error:
        raise SpecError(f"{where} {error}") from None


def _table(table: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        table = table.get(name, {})
        if not isinstance(table, Mapping):
            return {}
    return table


def _check_rules(spec: StudySpec) -> None:
    own = [(("instruments", name), rules) for name, rules in spec.instruments.items()]
    for place, rules in ((("backtest",), spec.backtest), *own):
        for key, value in rules.items():
            if said := broken_rule((*place, key), value, StudySpec):
                raise SpecError(f"{spec.path}: {said}")
