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
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState, create_trial

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel
from optim.search import tpe
from optim.search.tpe import loops, normal

pytestmark = pytest.mark.filterwarnings("ignore")  # "experimental": Optuna's users are to know, who name the option

SPACE: dict[str, BaseDistribution] = {
    "real": FloatDistribution(-3.0, 5.0),
    "log": FloatDistribution(1e-4, 10.0, log=True),
    "grid": FloatDistribution(0.0, 1.0, step=0.05),
    "int": IntDistribution(1, 60),
    "even": IntDistribution(2, 90, step=2),
    "logint": IntDistribution(1, 500, log=True),
    "choice": CategoricalDistribution(("a", "b", "c")),
    "switch": CategoricalDistribution((True, False)),
}
STATES = (TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
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


def suggest(trial: optuna.Trial, name: str, of: BaseDistribution) -> Any:
    if isinstance(of, CategoricalDistribution):
        return trial.suggest_categorical(name, of.choices)
    assert isinstance(of, FloatDistribution | IntDistribution)
    how = trial.suggest_int if isinstance(of, IntDistribution) else trial.suggest_float
    if of.log:
        return how(name, of.low, of.high, log=True)  # type: ignore[arg-type]
    return how(name, of.low, of.high, step=of.step)  # type: ignore[arg-type]


def history(rng: np.random.Generator, names: list[str], n: int, n_values: int) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended in every way; values repeat, and every fifth trial lacks a parameter."""
    trials = []
    for i in range(n):
        own = {name: SPACE[name] for name in names if i % 5 or name != names[-1]}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=int(rng.integers(2**31))))
        asked = study.ask(own)
        state = STATES[int(rng.integers(len(STATES)))]
        values = [float(np.round(rng.normal(), 1)) for _ in range(n_values)]
        n_steps = int(rng.integers(0, 4)) if n_values == 1 else 0  # Optuna prunes by one objective only
        steps = {step: float(np.round(rng.normal(), 1)) for step in range(n_steps)}
        if steps and rng.random() < 0.2:
            steps[max(steps)] = float("nan")
        trial = create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=asked.params,
            distributions=own,
            intermediate_values=steps,
        )
        if rng.random() < 0.3:
            trial.set_constraint("c", float(np.round(rng.normal(), 1)))
        trials.append(trial)
    return trials


def proposals(make: Callable[..., BaseSampler], given: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Three batches of three proposals after a history, told in between; some of it grows while they are asked."""
    rng = np.random.default_rng(seed)
    n_values = len(given["directions"])
    study = optuna.create_study(directions=given["directions"])
    study.add_trials(history(rng, given["names"], given["n"], n_values))
    found, before = [], None
    for batch in range(3):
        sampler = make(seed=seed + batch, **given["options"])
        if before is not None:
            tpe.hand_over(before, sampler)
        study.sampler = before = sampler
        asked = [study.ask() for _ in range(3)]
        for trial in asked:
            for name in given["names"]:
                if name != given["names"][-1] or trial.number % 3:  # a conditional one
                    suggest(trial, name, SPACE[name])
            found.append(dict(trial.params))
        for trial in asked[:2]:  # the third goes on running
            study.tell(trial, [float(np.round(rng.normal(), 1)) for _ in range(n_values)])
    return found


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


@pytest.mark.parametrize("options", [{}, {"multivariate": False}, {"multivariate": True, "group": True}], ids=str)
def test_a_long_history_read_at_once(options: dict[str, Any]) -> None:
    """More trials than are put in their places one by one, many more than there are whole numbers."""
    names = ["real", "log", "int", "logint", "choice"]
    given = {"names": names, "n": 400, "directions": ["minimize"], "options": options}
    assert proposals(tpe.compiled, given, 3) == proposals(TPESampler, given, 3)


@pytest.mark.parametrize("multivariate", [False, True])
def test_more_spaces_than_are_kept(multivariate: bool) -> None:
    """The range is another one in every trial, then the first one again, then one that never was."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=make(seed=4, multivariate=multivariate))

        def loss(trial: optuna.Trial) -> float:
            high = 10 + (trial.number if trial.number < 90 else trial.number % 2 * 100)
            return (trial.suggest_float("x", 0, high) - 3) ** 2 + trial.suggest_int("n", 1, high)

        study.optimize(loss, n_trials=110)
        return [trial.params for trial in study.trials]

    assert run(tpe.compiled) == run(TPESampler)


@pytest.mark.parametrize("options", [{"multivariate": False}, {"multivariate": True, "group": True}], ids=str)
def test_running_trials_that_get_their_parameters_by_and_by(options: dict[str, Any]) -> None:
    """Four at a time ask for x, then for y or not: a group's y is proposed with x, and counts no more if not used."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study, before = optuna.create_study(), None
        for batch in range(30):
            sampler = make(seed=batch, constant_liar=True, n_startup_trials=4, **options)
            if before is not None:
                tpe.hand_over(before, sampler)
            study.sampler = before = sampler
            study.enqueue_trial({"x": batch / 30, "y": batch / 31})  # the sampler hears of it when others ask
            asked = [(trial, trial.suggest_float("x", 0, 1)) for trial in (study.ask() for _ in range(4))]
            losses = [x + (trial.suggest_float("y", 0, 1) if (trial.number + batch) % 3 else 0.5) for trial, x in asked]
            for (trial, _), loss in zip(asked, losses, strict=True):
                study.tell(trial, loss)
        return [trial.params for trial in study.trials]

    assert run(tpe.compiled) == run(TPESampler)


def test_another_numpy_gets_optunas_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not where it is looked for is not called; the proposals are the same."""

    def run() -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=tpe.compiled(seed=2))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 9), n_trials=20)
        return [trial.params for trial in study.trials]

    ours = run()
    monkeypatch.setattr(loops, "loops", loops.loops.__wrapped__)
    monkeypatch.setattr(loops._Ufunc, "nargs", 7)
    assert not tpe.covers(TPESampler)
    assert run() == ours


@kernel
def _by_numpys_loops(of: Integers, x: Array, y: Array, out: Array) -> None:
    for row, which in enumerate((loops.EXP, loops.LOG, loops.LOG1P, loops.EXPM1)):
        loops.apply(of, which, x, out[row])
    for k in range(len(x)):
        out[4, k] = x[k]
    loops.logaddexp(of, out[4], y)
    out[5, 0], out[5, 1] = 0.0, -np.inf
    loops.reduce(of, loops.ADD, x, out[5, :1])
    loops.reduce(of, loops.MAXIMUM, x, out[5, 1:2])


@settings(deadline=None, max_examples=150)
@given(
    size=st.one_of(st.integers(2, 300), st.sampled_from([8191, 8192, 8193, 20_001])),
    seed=st.integers(0, 2**20),
    odd=st.lists(st.sampled_from([0.0, -0.0, 5e-324, 709.0, -745.2, np.inf, -np.inf, np.nan, 1e308]), max_size=4),
)
def test_numpys_loops_called_from_kernels(size: int, seed: int, odd: list[float]) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, size)) * 10.0 ** rng.integers(-8, 3, size)
    x[: min(len(odd), size)] = odd[:size]
    out = np.empty((6, size))
    with np.errstate(all="ignore"):
        _by_numpys_loops(loops.loops(), x, y, out)
        expected = [np.exp(x), np.log(x), np.log1p(x), np.expm1(x), np.logaddexp(x, y)]
        np.testing.assert_array_equal(out[:5], expected)
        np.testing.assert_array_equal(out[5, :2], [x.sum(), x.max()])


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


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**20), spread=st.floats(-3.0, 5.0), size=st.integers(1, 190))
def test_truncated_normals_are_optunas_to_the_last_digit(seed: int, spread: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=size) * np.exp(spread)
    b = np.append(a[: size // 2] + np.exp(rng.uniform(-4, 4, size // 2)), a[size // 2 :] + 0.5)
    where = np.r_[np.arange(size), np.arange(size // 3)]  # some come twice
    with np.errstate(all="ignore"):
        masses = _truncnorm._log_gauss_mass(a, b)
        np.testing.assert_array_equal(normal.log_mass(loops.loops(), a[where], b[where], 2.0), masses[where])
        q = rng.random(size)
        np.testing.assert_array_equal(normal.quantiles(loops.loops(), q, a, b, 2.0), _truncnorm.ppf(q, a, b))


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
