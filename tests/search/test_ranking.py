"""Which trial wins: the best one, or the one with the best surroundings, against a loop over all pairs."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from optim.api import Study
from optim.problem.plan import make_plan
from optim.search.ranking import NEAREST, rank, ranked, winner_of
from optim.search.scoring import is_feasible
from optim.search.search import search
from optim.spec.study import load_spec
from optim.verdict.markets import Market, on_market, winner_on
from tests.studies import SPACE, write_study

MIXED = {
    **SPACE,
    "parameters": {
        **SPACE["parameters"],  # type: ignore[dict-item]
        "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
        "stop_pct": {"type": "float", "low": 0.01, "high": 0.1, "when": "ma_type == 'ema'"},
    },
}


@pytest.mark.parametrize("objective", ["sharpe_ratio", "annual_volatility"])
@pytest.mark.parametrize("pruner", ["NopPruner", "MedianPruner"])
def test_surroundings_by_a_loop_over_all_pairs(objective: str, pruner: str, tmp_path: Path) -> None:
    study: dict[str, Any] = {"select": "plateau", "n_trials": 60, "objective": objective, "pruner": {"name": pruner}}
    evaluation = {"min_trades": 20}
    plan = make_plan(
        load_spec(
            write_study(tmp_path, study=study, strategy={"search_space": MIXED, "fixed": {}}, evaluation=evaluation)
        )
    )
    trials, _ = search(plan)
    sign = 1.0 if plan.objective.goals[0].direction == "maximize" else -1.0
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]

    def far(one: Any, other: Any) -> float:
        total = 0.0
        for p in plan.space.parameters:
            a, b = one.params.get(p.name), other.params.get(p.name)
            if p.type == "categorical":
                total += float(a != b)
            elif (a is None) != (b is None):  # one has it and the other has not: half for that, and its place
                total += 0.5 + p.unit(b if a is None else a) ** 2
            elif a is not None:
                total += (p.unit(a) - p.unit(b)) ** 2
        return math.sqrt(total)

    def worth(trial: Any) -> float:
        near = sorted(ended, key=lambda other: (far(trial, other), other is not trial))[: NEAREST + 1]
        return statistics.median(sign * t.values[0] if is_feasible(t) else -math.inf for t in near)

    best = winner_of(plan, trials)
    assert best is not None
    assert worth(best) == max(worth(t) for t in ended if is_feasible(t))
    assert {t.number for t in ranked(plan, trials)} == {t.number for t in rank(trials, ["maximize"])}


def test_the_null_chooses_as_the_study_does(tmp_path: Path) -> None:
    study = {"select": "plateau", "n_trials": 15, "pruner": {"name": "NopPruner"}}
    path = write_study(tmp_path, study=study, validation={"null": {"markets": 19}})
    plan = make_plan(load_spec(path))
    other = on_market(plan, Market("single", 2))
    trials, _ = search(other)
    best = winner_of(other, trials)
    assert best is not None
    assert winner_on(plan, Market("single", 2)) == best.values[0]
    one = Study.from_toml(path)
    one.run()
    chosen = one.best
    assert chosen is not None
    assert chosen.params == one.summary().top[0].params
    two = Study.from_toml(path, select="best")
    assert two.best is not None
    assert two.best.values[0] >= chosen.values[0]
