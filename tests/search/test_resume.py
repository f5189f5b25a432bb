"""An interrupted study ends with the trials of an uninterrupted one, whatever its space, sampler and pruner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.studies import SPACE, essence, run_here, write_study

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental:optuna.exceptions.ExperimentalWarning")
WINDOWS = SPACE["parameters"]
SPACES: dict[str, dict[str, Any]] = {
    "constrained": SPACE,
    "a small branch": {  # of three points: proposals in it are soon used up and thrown away
        "parameters": {
            "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
            "fast_window": {"type": "int", "low": 5, "high": 7, "when": "ma_type == 'sma'"},
            "slow_window": {"type": "int", "low": 10, "high": 200, "when": "ma_type == 'ema'"},
            "stop_pct": {"type": "float", "low": 0.01, "high": 0.2, "log": True, "when": "ma_type == 'ema'"},
        }
    },
    "tiny": {
        "parameters": {
            "fast_window": {"type": "int", "low": 5, "high": 8},
            "slow_window": {"type": "int", "low": 20, "high": 60, "step": 10},
        }
    },
}
STRATEGY = """
from typing import NamedTuple
from engine.data.bars import Bars
from engine.strategies.signals import mean_above
from engine.strategies.base import strategy

class Params(NamedTuple):
    fast_window: int = 10
    slow_window: int = 40
    ma_type: str = "sma"

@strategy
def mine(bars: Bars, p: Params):
    return mean_above(bars.close, p.fast_window, max(p.slow_window, p.fast_window + 1))
"""
SAMPLERS: list[dict[str, Any]] = [
    {"name": "TPESampler", "n_startup_trials": 6},
    {"name": "TPESampler", "n_startup_trials": 6, "multivariate": True, "group": True},
    {"name": "RandomSampler"},
    {"name": "QMCSampler"},
    {"name": "NSGAIISampler", "population_size": 6},
    {"name": "CmaEsSampler", "n_startup_trials": 4},
    {"name": "GridSampler"},
    {"name": "BruteForceSampler"},
]
PRUNERS: list[dict[str, Any]] = [
    {"name": "NopPruner"},
    {"name": "MedianPruner", "n_startup_trials": 3},
    {"name": "PercentilePruner", "percentile": 30.0, "n_startup_trials": 3},
    {"name": "SuccessiveHalvingPruner"},
    {"name": "HyperbandPruner"},
    {"name": "ThresholdPruner", "lower": 0.0},
    {"name": "PatientPruner", "patience": 1, "wrapped_pruner": {"name": "MedianPruner"}},
    {"name": "WilcoxonPruner"},
]


def test_no_sampler_or_pruner_of_optuna_is_left_out() -> None:
    """GPSampler needs torch; PartialFixedSampler and NSGA-III are built on others, here or for several objectives."""
    left_out = {"BaseSampler", "BaseGASampler", "BasePruner", "GPSampler", "PartialFixedSampler", "NSGAIIISampler"}
    for module, drawn in ((optuna.samplers, SAMPLERS), (optuna.pruners, PRUNERS)):
        names = {name for name in module.__all__ if name.endswith(("Sampler", "Pruner"))}
        assert names - left_out == {row["name"] for row in drawn}


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all studies: every folder that a strategy came from is looked through at each load."""
    path = tmp_path_factory.mktemp("strategy") / "mine.py"
    path.write_text(STRATEGY)
    return path


@example(space="constrained", sampler=SAMPLERS[4], pruner=PRUNERS[0], ahead=0, stops=[10, 31])  # parents kept
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(
    space=st.sampled_from(sorted(SPACES)),
    sampler=st.sampled_from(SAMPLERS),
    pruner=st.sampled_from(PRUNERS),
    ahead=st.sampled_from([0, 0, 1]),
    stops=st.lists(st.integers(1, 70), min_size=1, max_size=3),
)
def test_an_interrupted_study_is_the_same_study(
    space: str,
    sampler: dict[str, Any],
    pruner: dict[str, Any],
    ahead: int,
    stops: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    mine: Path,
) -> None:
    if sampler["name"] in ("GridSampler", "BruteForceSampler") and space == "a small branch":
        space = "tiny"  # a continuous parameter has no grid
    changes: dict[str, Any] = {
        "study": {"n_trials": 30, "sampler": sampler, "pruner": pruner},
        "strategy": {"name": f"{mine}:mine", "search_space": SPACES[space], "fixed": None},
        "parallel": {"ahead": ahead, "batch_size": 4},
    }
    paths = [write_study(tmp_path_factory.mktemp(name), **changes) for name in ("whole", "parts")]
    reason, whole = run_here(paths[0])
    for stop_after in stops:
        run_here(paths[1], stop_after)
    again, parts = run_here(paths[1])
    assert essence(parts) == essence(whole)
    assert again == reason


def test_pruners_count_proposals_that_were_thrown_away(tmp_path: Path) -> None:
    """Hyperband chooses a bracket by the number of a trial in memory, which a resumed study must count alike."""
    study = {
        "n_trials": 30,
        "sampler": {"name": "TPESampler", "n_startup_trials": 6},
        "pruner": {"name": "HyperbandPruner"},
    }
    strategy = {"name": "mine.py:mine", "search_space": SPACES["a small branch"], "fixed": None}
    results = []
    for name, stops in (("whole", []), ("parts", [30, 7, 20])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(STRATEGY)
        path = write_study(tmp_path / name, study=study, strategy=strategy)
        for stop_after in stops:
            run_here(path, stop_after)
        results.append(run_here(path)[1])
    assert any("optim:asked" in trial.system_attrs for trial in results[0])  # else nothing was thrown away
    assert essence(results[0]) == essence(results[1])
