"""The compiled TPE proposes what Optuna's TPESampler proposes, and passes Optuna's own suites for samplers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState

from optim.search import tpe
from tests.search.proposing import SPACE, proposals

pytestmark = pytest.mark.filterwarnings("ignore")  # "experimental": Optuna's users are to know, who name the option

OPTIONS = st.fixed_dictionaries(
    {
        "multivariate": st.booleans(),
        "constant_liar": st.booleans(),
        "consider_endpoints": st.booleans(),
        "consider_magic_clip": st.booleans(),
        "prior_weight": st.sampled_from([0.5, 1.0, 2.0]),
        "n_startup_trials": st.sampled_from([1, 5, 10]),
        "n_ei_candidates": st.sampled_from([1, 7, 24]),
    }
)


@settings(deadline=None, max_examples=120)
@given(
    names=st.lists(st.sampled_from(list(SPACE)), min_size=1, max_size=5, unique=True),
    n=st.integers(0, 60),
    directions=st.lists(st.sampled_from(["maximize", "minimize"]), min_size=1, max_size=3),
    options=OPTIONS,
    group=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_the_same_proposals(
    names: list[str], n: int, directions: list[str], options: dict[str, Any], group: bool, seed: int
) -> None:
    given = {"names": names, "n": n, "directions": directions, "options": options}
    options["group"] = group and options["multivariate"]
    assert proposals(tpe.compiled, given, seed) == proposals(TPESampler, given, seed)


@pytest.mark.parametrize("multivariate", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_whole_studies_are_the_same(multivariate: bool, seed: int) -> None:
    """Three hundred trials, each a consequence of all before it; how many differ is counted, and none does."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=make(seed=seed, multivariate=multivariate))

        def loss(trial: optuna.Trial) -> float:
            x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-3, 10, log=True)
            k, c = trial.suggest_int("k", 1, 40), trial.suggest_categorical("c", ["a", "b"])
            return (x - 1) ** 2 + np.log(y) ** 2 + abs(k - 7) + (c == "b")

        study.optimize(loss, n_trials=300)
        return [trial.params for trial in study.trials]

    ours, theirs = run(tpe.compiled), run(TPESampler)
    assert sum(one != other for one, other in zip(ours, theirs, strict=True)) == 0


def test_own_gamma_and_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"names": ["real", "int", "choice"], "n": 50, "directions": ["minimize"]}
    options = {"gamma": lambda n: max(1, n // 3), "weights": lambda n: np.linspace(0.2, 1.0, n) if n else np.array([])}
    assert proposals(tpe.compiled, {**given, "options": options}, 5) == proposals(
        TPESampler, {**given, "options": options}, 5
    )
    assert tpe.covers(TPESampler)
    monkeypatch.setattr(optuna, "__version__", "99.0.0")
    assert not tpe.covers(TPESampler)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{}, {"multivariate": False}, {"multivariate": True, "group": True}], ids=str)
def test_ranges_that_move(options: dict[str, Any], seed: int) -> None:
    """Most of the history ends up far outside of the range, some values are infinite, and half breaks a constraint."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study = optuna.create_study(
            sampler=make(seed=seed, constraints_func=lambda trial: trial.user_attrs["c"], **options)
        )
        rng = np.random.default_rng(seed)

        def loss(trial: optuna.Trial) -> float:
            narrow = trial.number > 25
            x = trial.suggest_float("x", 4.9 if narrow else -5.0, 5.0)
            n = trial.suggest_int("n", 1, 400 if narrow else int(rng.integers(2, 90)), log=True)
            if rng.random() < 0.2:
                trial.suggest_float("sometimes", 0.0, float(rng.integers(1, 9)), step=0.1)
            trial.set_user_attr("c", [float(rng.integers(-2, 3))])
            return float("inf") if rng.random() < 0.1 else round(abs(x) + n / 50, 1)

        study.optimize(loss, n_trials=60)
        return [trial.params for trial in study.trials]

    assert run(tpe.compiled) == run(TPESampler)


def test_far_from_all_observations_only_rounding_decides() -> None:
    """Late in a study the best ratio of densities is often the priors': equal but for rounding, wherever that is."""
    study = optuna.create_study(sampler=tpe.compiled(seed=0))

    def loss(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
        n, rate = trial.suggest_int("n", 1, 100), trial.suggest_float("rate", 1e-4, 1, log=True)
        wrong = trial.suggest_categorical("kind", ["a", "b", "c"]) != "b"
        return (x - 1) ** 2 + (y + 2) ** 2 + (n - 20) ** 2 / 400 + float(np.log10(rate) + 2) ** 2 + wrong

    study.optimize(loss, n_trials=2600)
    found: list[list[dict[str, Any]]] = [[], []]
    for proposed, make in zip(found, (tpe.compiled, TPESampler), strict=True):
        for seed in range(80):
            study.sampler = make(seed=seed)
            trial = study.ask()
            loss(trial)
            proposed.append(trial.params)
            study.tell(trial, state=TrialState.FAIL)
    assert found[0] == found[1]


@pytest.mark.parametrize("multivariate", [False, True])
def test_whole_studies_of_several_objectives_are_the_same(multivariate: bool) -> None:
    """Three hundred trials: more than one front, ties that hypervolumes break, a constraint that some break."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        sampler = make(seed=3, multivariate=multivariate, constraints_func=lambda trial: [trial.params["n"] - 30.0])
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)

        def both(trial: optuna.Trial) -> tuple[float, float]:
            x, n = trial.suggest_float("x", 0, 1), trial.suggest_int("n", 0, 40)
            return round(x + n / 40, 1), round(x * (1 - x) + n / 80, 2)

        study.optimize(both, n_trials=300)
        return [trial.params for trial in study.trials]

    assert run(tpe.compiled) == run(TPESampler)


def test_what_nsga_has_read_is_handed_over_and_changes_nothing() -> None:
    def run(hand_over: bool) -> list[dict[str, Any]]:
        study, before = optuna.create_study(directions=["minimize", "minimize"]), None
        for batch in range(12):
            sampler = optuna.samplers.NSGAIISampler(seed=batch, population_size=10)
            if hand_over:
                tpe.hand_over(before, sampler)
            study.sampler = before = sampler
            asked = [study.ask() for _ in range(4)]
            for trial in asked:
                x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1 if batch < 9 else 2)
                study.tell(trial, [x + y, (1 - x) ** 2 + y])
        return [trial.params for trial in study.trials]

    assert run(True) == run(False)


@pytest.fixture(
    params=[{}, {"multivariate": True}, {"multivariate": True, "group": True}, {"constant_liar": True}], ids=str
)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


class _Compiled:
    @pytest.fixture
    def sampler(self, options: dict[str, Any]) -> Callable[[], BaseSampler]:
        def make() -> BaseSampler:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return tpe.compiled(n_startup_trials=0, **options)

        return make


class TestBasic(_Compiled, BasicSamplerTestCase):
    """Optuna's suite for every sampler."""


class TestRelative(_Compiled, RelativeSamplerTestCase):
    """Optuna's suite for samplers of several parameters at once."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"multivariate": True}  # with group Optuna's own fails it too: it wants a space that was inferred before


class TestMultiObjective(_Compiled, MultiObjectiveSamplerTestCase):
    """Optuna's suite for several objectives."""
