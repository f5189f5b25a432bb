"""Studies in which the compiled TPE could remember what is no longer so, or take what Optuna refuses."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from optim.search import tpe
from optim.search.tpe import loops
from tests.search.proposing import proposals

pytestmark = pytest.mark.filterwarnings("ignore")  # "experimental": Optuna's users are to know, who name the option


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


def both(run: Callable[[Callable[..., BaseSampler]], Any]) -> tuple[Any, Any]:
    """What a study comes to with the compiled sampler and with Optuna's: proposals, or the kind of error."""

    def answer(make: Callable[..., BaseSampler]) -> Any:
        try:
            return run(make)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other is to raise it too
            return next(kind for kind in (IndexError, TypeError, ValueError, Exception) if isinstance(error, kind))

    return answer(tpe.compiled), answer(TPESampler)


def asked(make: Callable[..., BaseSampler], multivariate: bool, options: Callable[[], dict[str, Any]]) -> Any:
    """Thirty trials, then twelve that fail: what has ended stays the same."""
    study = optuna.create_study(sampler=make(seed=1, multivariate=multivariate, constant_liar=False, **options()))

    def loss(trial: optuna.Trial) -> float:
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 9) + len(trial.suggest_categorical("c", "ab"))

    study.optimize(loss, n_trials=30)
    for _ in range(12):
        trial = study.ask()
        loss(trial)
        study.tell(trial, state=TrialState.FAIL)
    return [trial.params for trial in study.trials]


def in_turns(*values: Any) -> Callable[[int], Any]:
    """A function of n that gives another value each time."""
    left = list(values) * 200
    return lambda n: left.pop()


def weights_in_turns() -> Callable[[int], Any]:
    powers = in_turns(0.5, 1.0, 3.0)
    return lambda n: np.arange(1.0, n + 1) ** powers(n)


@pytest.mark.parametrize("multivariate", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        lambda: {"gamma": in_turns(2, 5, 9, 14)},
        lambda: {"weights": weights_in_turns()},
        lambda: {"gamma": lambda n: -1},
        lambda: {"gamma": lambda n: float("inf")},
        lambda: {"gamma": lambda n: float("nan")},
        lambda: {"gamma": lambda n: 0},
        lambda: {"gamma": lambda n: n + 7},
        lambda: {"prior_weight": 0.0},
        lambda: {"prior_weight": 1},
        lambda: {"prior_weight": -1.0},
        lambda: {"prior_weight": float("nan")},
        lambda: {"prior_weight": float("inf")},
        lambda: {"weights": lambda n: [1] * n},
        lambda: {"weights": lambda n: [1] * n, "prior_weight": 1},
        lambda: {"weights": lambda n: np.ones(n + 3)},
        lambda: {"weights": lambda n: np.ones(max(0, n - 1))},
        lambda: {"weights": lambda n: np.ones((n, 1))},
        lambda: {"weights": lambda n: np.full(n, np.nan)},
        lambda: {"weights": lambda n: np.full(n, 1e308)},
        lambda: {"weights": lambda n: np.ones(n, dtype=complex)},
        lambda: {"n_ei_candidates": 1},
        lambda: {"n_ei_candidates": 1100},
    ],
)
def test_options_that_no_one_should_have(options: Callable[[], dict[str, Any]], multivariate: bool) -> None:
    ours, theirs = both(lambda make: asked(make, multivariate, options))
    assert ours == theirs


@pytest.mark.parametrize("multivariate", [False, True])
def test_a_sampler_with_another_gamma_takes_over(multivariate: bool) -> None:
    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study, before = optuna.create_study(sampler=make(seed=0)), None
        study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 1) ** 2, n_trials=30)
        for k in range(8):
            options = {"multivariate": multivariate, "constant_liar": False, "gamma": in_turns(2 + 3 * k)}
            sampler = make(seed=k, **options)
            tpe.hand_over(before, sampler)
            study.sampler = before = sampler
            trial = study.ask()
            trial.suggest_float("x", -5, 5)
            study.tell(trial, state=TrialState.FAIL)
        return [trial.params for trial in study.trials]

    assert run(tpe.compiled) == run(TPESampler)


@pytest.mark.parametrize("multivariate", [False, True])
def test_a_study_that_is_deleted_and_made_again(multivariate: bool, tmp_path: Path) -> None:
    """SQLite gives the new one the old one's id."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        storage = optuna.storages.get_storage(f"sqlite:///{tmp_path}/{make.__name__}.db")
        sampler, found = make(seed=0, multivariate=multivariate), []
        for length in (25, 20, 30):
            study = optuna.create_study(study_name="again", storage=storage, sampler=sampler)
            study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 20 / length) ** 2, n_trials=length)  # noqa: B023
            found += [trial.params for trial in study.trials]
            optuna.delete_study(study_name="again", storage=storage)
        return found

    assert run(tpe.compiled) == run(TPESampler)


def test_thousands_of_choices_beside_many_numbers() -> None:
    """A row of chances for every choice, of every parameter, were 7 GB."""

    def run(make: Callable[..., BaseSampler]) -> list[dict[str, Any]]:
        study = optuna.create_study(sampler=make(seed=5))

        def loss(trial: optuna.Trial) -> float:
            total: float = sum(trial.suggest_float(f"x{i}", 0, 1) for i in range(100))
            return total + trial.suggest_categorical("c", range(3000)) / 3000

        study.optimize(loss, n_trials=16)
        return [trial.params for trial in study.trials]

    tracemalloc.start()
    try:
        ours = run(tpe.compiled)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100 << 20
    assert ours == run(TPESampler)
