"""Small studies to test with: a spec on disk, run in this process or through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from optim.problem.plan import make_plan
from optim.record.record import open_record
from optim.search.events import Listener
from optim.search.loop import Search
from optim.search.search import make_pool
from optim.search.sweep import Sweep
from optim.spec.study import StudySpec, load_spec
from optim.tracking import LiveTrial
from tests.forked import ROOT
from tests.forked import command as command

IBM = ROOT / "studies" / "data" / "ibm_1d.csv"
SPACE = {
    "constraints": ["fast_window < slow_window"],
    "parameters": {
        "fast_window": {"type": "int", "low": 5, "high": 50},
        "slow_window": {"type": "int", "low": 10, "high": 200},
    },
}


def write_study(folder: Path, **changes: Mapping[str, Any]) -> Path:
    """A study file of an MA crossover on IBM without tracking; `changes` replace keys of its tables."""
    table: dict[str, dict[str, Any]] = {
        "study": {
            "name": "s",
            "objective": "sharpe_ratio",
            "n_trials": 24,
            "seed": 3,
            "sampler": {"name": "RandomSampler"},
            "pruner": {"name": "MedianPruner"},
        },
        "data": {"path": str(IBM)},
        "strategy": {"name": "ma_crossover", "search_space": SPACE, "fixed": {"ma_type": "sma"}},
        "backtest": {"fee_bps": 10.0},
        "evaluation": {"folds": 3},
        "parallel": {"backend": "sequential", "batch_size": 8},
        "validation": {"quick": 0},
        "tracking": {"enabled": False},
    }
    for section, values in changes.items():
        table[section] = {**table.get(section, {}), **values}
        table[section] = {key: value for key, value in table[section].items() if value is not None}
    path = folder / "study.toml"
    path.write_text(
        "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {toml(v)}" for k, v in t.items()) for name, t in table.items())
    )
    return path


def toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def run_here(
    path: Path,
    stop_after: int | None = None,
    spec: StudySpec | None = None,
    running: Callable[[LiveTrial], None] = lambda _: None,
) -> tuple[str, list[FrozenTrial]]:
    """Run a study in this process without tracking; `stop_after` rounds it is told to stop.

    Returns why it ended, and its trials.
    """
    plan = make_plan(spec or load_spec(path))
    goals = plan.objective.goals
    record = open_record(
        plan.storage,
        plan.spec.study.name,
        [g.direction for g in goals],
        plan.fingerprint(),
        {},
        [g.name for g in goals],
    )
    rounds = 0

    def should_stop() -> bool:
        nonlocal rounds
        rounds += 1
        return stop_after is not None and rounds >= stop_after

    with make_pool(plan) as pool:
        kind = Sweep if plan.spec.sweeps else Search
        reason = kind(plan, record, pool, Listener(lambda _: None, running, should_stop)).run()
    return reason, record.trials()


def essence(trials: list[FrozenTrial]) -> list[tuple[Any, ...]]:
    """All of the trials that must repeat to the last digit: everything but the times, and the random state that Optuna
    pickles with a CMA-ES optimiser and draws no number from.
    """

    def kept(attrs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: ... if name.startswith("cma:optimizer") else value for name, value in attrs.items()}

    return [
        (
            *(t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs),
            *(kept(t.system_attrs), t.distributions),
        )
        for t in trials
    ]


def load(folder: Path, name: str = "s") -> list[FrozenTrial]:
    """The trials of a study's journal, read as any Optuna user would."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal"))
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend)).trials
