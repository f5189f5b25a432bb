"""Batches repeat, hold only feasible points, and never the same point twice, whatever the sampler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from optim.errors import SpecError
from optim.search.proposals import Proposer, _Around
from optim.search.samplers import make_pruner, make_sampler
from optim.spec.space import Parameter
from optim.spec.study import load_spec
from tests.studies import write_study

SAMPLERS = [
    "RandomSampler",
    "TPESampler",
    "CmaEsSampler",
    "QMCSampler",
    "NSGAIISampler",
    "NSGAIIISampler",
    "GridSampler",
    "BruteForceSampler",
]


def batches(folder: Path, name: str, n_batches: int, **changes: Any) -> list[list[dict[str, Any] | None]]:
    spec = load_spec(write_study(folder, study={"sampler": {"name": name}}, **changes))
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    proposer = Proposer(spec, spec.search_space(), study, storage)
    asked = []
    for batch in range(n_batches):
        proposals = list(proposer.ask(batch, 8))
        for proposal in proposals:
            if proposal is not None:
                study.tell(proposal.trial, float(proposal.point["slow_window"]))
        asked.append([None if p is None else p.point for p in proposals])
        assert all(study.trials[p.trial.number].params == p.point for p in proposals if p is not None)
    return asked


@pytest.mark.filterwarnings("ignore:.*experimental:optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_distinct_feasible_points_reproducibly(name: str, tmp_path: Path) -> None:
    first = batches(tmp_path, name, 5)
    points = [point for batch in first for point in batch]
    assert all(point is not None and point["fast_window"] < point["slow_window"] for point in points)
    assert len({tuple(sorted(point.items())) for point in points}) == 40
    assert batches(tmp_path, name, 5) == first


TINY = {
    "constraints": ["fast_window < slow_window"],
    "parameters": {
        "fast_window": {"type": "int", "low": 1, "high": 4},
        "slow_window": {"type": "int", "low": 1, "high": 4},
    },
}


@pytest.mark.parametrize("name", ["RandomSampler", "TPESampler", "GridSampler"])
def test_a_small_space_is_exhausted_and_then_empty(name: str, tmp_path: Path) -> None:
    asked = batches(tmp_path, name, 3, strategy={"search_space": TINY})
    points = [point for batch in asked for point in batch if point is not None]
    assert sorted((p["fast_window"], p["slow_window"]) for p in points) == [
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 3),
        (2, 4),
        (3, 4),
    ]
    assert asked[2] == [None] * 8


@pytest.mark.parametrize("name", ["RandomSampler", "TPESampler"])
def test_a_point_enqueued_twice_gives_way_to_the_sampler(name: str, tmp_path: Path) -> None:
    point = {"fast_window": 7, "slow_window": 70}
    for size in (1, 4):
        path = write_study(tmp_path, study={"enqueue": [point, point, point], "sampler": {"name": name}})
        spec = load_spec(path, {"parallel": {"batch_size": size}})
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name="s")
        proposer = Proposer(spec, spec.search_space(), study, storage)
        points = [p.point for batch in range(4 // size) for p in proposer.ask(batch, size) if p is not None]
        assert len(points) == 4
        assert points.count(point) == 1
        assert len({tuple(p.items()) for p in points}) == 4


def test_a_branch_without_free_points_gives_way_to_the_others(tmp_path: Path) -> None:
    table = {
        "parameters": {
            "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
            "span": {"when": 'ma_type == "ema"', "type": "int", "low": 1, "high": 5},
        }
    }
    spec = load_spec(
        write_study(tmp_path, study={"sampler": {"name": "TPESampler"}}, strategy={"search_space": table, "fixed": {}}),
        {"parallel": {"batch_size": 1}},
    )
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    proposer = Proposer(spec, spec.search_space(), study, storage)
    points = []
    for batch in range(7):
        for proposal in proposer.ask(batch, 1):
            if proposal is not None:
                assert study.trials[proposal.trial.number].params == proposal.point
                study.tell(proposal.trial, float(proposal.point["ma_type"] == "sma"))  # the sampler wants it again
                points.append(proposal.point)
    assert points.count({"ma_type": "sma"}) == 1
    assert sorted(p["span"] for p in points if "span" in p) == [1, 2, 3, 4, 5]


def test_an_enqueued_branch_that_is_used_up_leaves_no_parameter_of_its_own_behind(tmp_path: Path) -> None:
    table = {
        "parameters": {
            "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
            "span": {"when": 'ma_type == "ema"', "type": "int", "low": 1, "high": 2},
            "width": {"when": 'ma_type == "sma"', "type": "int", "low": 1, "high": 50},
        }
    }
    study_table = {"sampler": {"name": "TPESampler"}, "enqueue": [{"ma_type": "ema"}] * 8}
    spec = load_spec(write_study(tmp_path, study=study_table, strategy={"search_space": table, "fixed": {}}))
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    proposals = [p for p in Proposer(spec, spec.search_space(), study, storage).ask(0, 8) if p is not None]
    assert [study.trials[p.trial.number].params for p in proposals] == [p.point for p in proposals]
    assert len({tuple(sorted(p.point.items())) for p in proposals}) == 8


def test_uniform_draws_stay_uniform_over_the_feasible_half(tmp_path: Path) -> None:
    table = {"constraints": ["a < b"], "parameters": {n: {"type": "float", "low": 0.0, "high": 1.0} for n in "ab"}}
    spec = load_spec(write_study(tmp_path, strategy={"search_space": table, "fixed": {}}))
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    proposals = [
        p for batch in range(100) for p in Proposer(spec, spec.search_space(), study, storage).ask(batch, 8) if p
    ]
    gaps = [float(p.point["b"]) - float(p.point["a"]) for p in proposals]
    # the gap of two ordered uniforms has mean 1/3 and P(gap < 0.1) = 0.19
    assert sum(gaps) / len(gaps) == pytest.approx(1 / 3, abs=0.03)
    assert sum(gap < 0.1 for gap in gaps) / len(gaps) == pytest.approx(0.19, abs=0.04)


def test_enqueued_points_come_first_and_partial_ones_are_completed(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"enqueue": [{"fast_window": 7, "slow_window": 70}, {"fast_window": 40}]})
    spec = load_spec(path)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    first, second, *_ = Proposer(spec, spec.search_space(), study, storage).ask(0, 4)
    assert first is not None
    assert second is not None
    assert first.point == {"fast_window": 7, "slow_window": 70}
    assert second.point["fast_window"] == 40
    assert second.point["slow_window"] > 40


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"sampler": {"name": "TPESampel"}}, "unknown sampler; did you mean 'TPESampler'?"),
        (
            {"sampler": {"name": "TPESampler", "n_startup": 3}},
            "has no argument 'n_startup'; did you mean 'n_startup_trials'?",
        ),
        ({"sampler": {"name": "TPESampler", "seed": 3}}, "give it as [study] seed"),
        ({"sampler": {"name": "GridSampler", "search_space": 3}}, "takes its grid from the search space"),
        ({"sampler": {"name": "BaseSampler"}}, "unknown sampler"),
        ({"sampler": {"name": "NSGAIISampler", "population_size": 1}}, "refused its arguments"),
    ],
)
def test_a_bad_sampler_is_refused(study: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        make_sampler(load_spec(write_study(tmp_path, study=study)), 0)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        ({"name": "MedianPrunner"}, "unknown pruner; did you mean 'MedianPruner'?"),
        ({"name": "MedianPruner", "n_warmup": 1}, "did you mean 'n_warmup_steps'?"),
        ({"name": "PercentilePruner", "percentile": 300.0}, "refused its arguments"),
    ],
)
def test_a_bad_pruner_is_refused(pruner: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        make_pruner(load_spec(write_study(tmp_path, study={"pruner": pruner})), 3)
    assert message in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*experimental:optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "pruner",
    [
        {"name": "NopPruner"},
        {"name": "PercentilePruner", "percentile": 30.0},
        {"name": "HyperbandPruner"},
        {"name": "SuccessiveHalvingPruner"},
        {"name": "ThresholdPruner", "lower": 0.0},
        {"name": "WilcoxonPruner", "p_threshold": 0.1},
        {"name": "PatientPruner", "wrapped_pruner": {"name": "MedianPruner"}, "patience": 1},
    ],
)
def test_every_pruner_of_optuna_can_be_named(pruner: Any, tmp_path: Path) -> None:
    made = make_pruner(load_spec(write_study(tmp_path, study={"pruner": pruner})), 3)
    assert type(made).__name__ == pruner["name"]


@pytest.mark.parametrize(
    ("parameter", "value", "reach"),
    [
        (Parameter("n", "int", 0, 100), 50, 0.02),
        (Parameter("n", "int", 0, 10), 10, 0.15),  # a step is a tenth of the range: half a step beyond it
        (Parameter("n", "int", 1, 1000, log=True), 1, 0.02),
        (Parameter("x", "float", -1.0, 1.0), 0.5, 0.02),
        (Parameter("x", "float", 0.0, 1.0, 0.25), 0.75, 0.375),
        (Parameter("n", "int", 3, 3), 3, 1.0),
    ],
)
def test_a_known_point_is_replaced_by_a_near_one(parameter: Parameter, value: float, reach: float) -> None:
    """As far away as the width, or a step and a half, to either side; at the ends of the range it stops."""
    around = _Around.of(parameter, value)
    drawn, expected = np.random.default_rng(7), np.random.default_rng(7)
    for _ in range(50):
        unit = parameter.unit(value) + reach * (2.0 * expected.random() - 1.0)
        assert around.draw(0.02, drawn) == parameter.at(min(max(unit, 0.0), 1.0 - 1e-12))
    assert around.draw(1.0, drawn) == parameter.at(expected.random())


def test_a_choice_of_a_known_point_changes_as_often_as_the_width_says() -> None:
    parameter = Parameter("c", "categorical", choices=("a", "b"))
    around, rng = _Around.of(parameter, "a"), np.random.default_rng(7)
    changed = sum(around.draw(0.2, rng) == "b" for _ in range(2000))
    assert 150 < changed < 250  # 200 are expected: a fifth is drawn anew, half of it the same; sigma is 13
