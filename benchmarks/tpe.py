"""What a proposal costs: the compiled TPE and Optuna's own, asked and told alike, in one run; and where they differ."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna

from benchmarks.table import Line
from optim.search import tpe

MARKS = (200, 1000, 2000, 4000, 10_000)
TWO = "two objectives"
MOST = {"several at once": 4000, "one at a time": 1000, TWO: 2000}  # beyond it Optuna's own takes minutes
LAST = {"several at once": MARKS[-1]}  # of ours
BATCH = 8
LINES = (
    *(
        Line(
            f"a trial of multivariate TPE, the {mark:,}th", "ms", f"several at once/compiled_ms/{mark}",
            *(("Optuna's own", f"several at once/optuna_ms/{mark}") if mark <= MOST["several at once"] else ()),
        )
        for mark in MARKS
    ),
    Line(
        "the same, two objectives, the 2,000th", "ms", f"{TWO}/compiled_ms/2000",
        "Optuna's own", f"{TWO}/optuna_ms/2000",
    ),
    Line(
        "a trial of NSGA-II, two objectives, the 2,000th", "ms", "nsga-ii/handed_over_ms/2000",
        "Optuna's own", "nsga-ii/optuna_ms/2000",
    ),
)  # fmt: skip
_LAST = 200  # trials over which the cost at a mark is measured


def main() -> dict[str, Any]:
    """Milliseconds a trial at so many trials (asked, suggested, told; five parameters, one thread)."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    study(tpe.compiled, 40, {})  # compiles
    figures: dict[str, Any] = {}
    for name, most in MOST.items():
        options, several = {"multivariate": name != "one at a time"}, name == TWO
        ours, mine = study(tpe.compiled, max(LAST.get(name, most), most), options, several)
        theirs, other = study(optuna.samplers.TPESampler, most, options, several)
        figures[name] = {
            "compiled_ms": ours,
            "optuna_ms": theirs,
            "optuna_over_compiled": {mark: theirs[mark] / ours[mark] for mark in theirs},
            "different_proposals": sum(a != b for a, b in zip(mine, other, strict=False)),
            "of": len(other),
        }
    figures["nsga-ii"] = {
        "handed_over_ms": study(optuna.samplers.NSGAIISampler, 2000, {}, True)[0],
        "optuna_ms": study(optuna.samplers.NSGAIISampler, 2000, {}, True, hand_over=False)[0],
    }
    return figures


def study(
    make: Callable[..., optuna.samplers.BaseSampler],
    n_trials: int,
    options: dict[str, Any],
    several: bool = False,
    hand_over: bool = True,
) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """Milliseconds a trial before each mark, and all parameters, of a study asked in batches, a seed each."""
    found = optuna.create_study(directions=["minimize"] * (1 + several))
    before, costs, started = None, {}, time.perf_counter()
    for first in range(0, n_trials, BATCH):
        sampler = make(seed=first, **options)
        if before is not None and hand_over:
            tpe.hand_over(before, sampler)
        found.sampler = before = sampler
        asked = [(trial, loss(trial)) for trial in (found.ask() for _ in range(BATCH))]
        for trial, value in asked:
            found.tell(trial, [value, (trial.params["x"] + 3) ** 2 + trial.params["n"] / 50] if several else value)
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
