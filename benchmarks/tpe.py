"""What a proposal costs: the compiled TPE and Optuna's own, asked and told alike, in one run; and where they differ."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from optim.search import tpe

MARKS = (200, 1000, 2000, 4000, 10_000)
MOST = {"several at once": 4000, "one at a time": 1000}  # beyond it Optuna's own takes minutes
BATCH = 8
_LAST = 200  # trials over which the cost at a mark is measured


def main() -> dict[str, Any]:
    """Milliseconds a trial at so many trials (asked, suggested, told; five parameters, one thread)."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study(tpe.compiled, 40, {})  # compiles
    figures: dict[str, Any] = {}
    for name, most in MOST.items():
        options = {"multivariate": name == "several at once"}
        ours, mine = study(tpe.compiled, MARKS[-1] if options["multivariate"] else most, options)
        theirs, other = study(optuna.samplers.TPESampler, most, options)
        figures[name] = {
            "compiled_ms": ours,
            "optuna_ms": theirs,
            "optuna_over_compiled": {mark: theirs[mark] / ours[mark] for mark in theirs},
            "different_proposals": sum(a != b for a, b in zip(mine, other, strict=False)),
            "of": len(other),
        }
    return figures


def study(
    make: Callable[..., optuna.samplers.BaseSampler], n_trials: int, options: dict[str, Any]
) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """Milliseconds a trial before each mark, and all parameters, of a study asked in batches, a seed each."""
    found = optuna.create_study()
    before, costs, started = None, {}, time.perf_counter()
    for first in range(0, n_trials, BATCH):
        sampler = make(seed=first, **options)
        if before is not None:
            tpe.hand_over(before, sampler)
        found.sampler = before = sampler
        asked = [(trial, loss(trial)) for trial in (found.ask() for _ in range(BATCH))]
        for trial, value in asked:
            found.tell(trial, value)
        if (done := first + BATCH) + _LAST in MARKS:
            started = time.perf_counter()
        elif done in MARKS:
            costs[done] = (time.perf_counter() - started) / min(_LAST, done) * 1000
    return costs, [trial.params for trial in found.get_trials(deepcopy=False)]


def loss(trial: optuna.Trial) -> float:
    """A bowl over two floats, a whole number, a logarithmic float and a choice."""
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    n, rate = trial.suggest_int("n", 1, 100), trial.suggest_float("rate", 1e-4, 1, log=True)
    wrong = trial.suggest_categorical("kind", ["a", "b", "c"]) != "b"
    return (x - 1) ** 2 + (y + 2) ** 2 + (n - 20) ** 2 / 400 + float(np.log10(rate) + 2) ** 2 + wrong
