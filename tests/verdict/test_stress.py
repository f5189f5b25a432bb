"""Stress and plateau: each condition is a backtest on the changed account, target, bars or instruments."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import kernel, strategy
from engine.backtest import BacktestEngine
from engine.data.bars import Bars
from engine.data.load import load_bars
from engine.data.shuffle import noisy, resampled
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.delay import Delayed
from optim.api import Study
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.search.search import make_pool
from optim.spec.study import load_spec
from optim.verdict.plateau import plateau
from optim.verdict.stress import (
    AS_IT_IS,
    DEARER,
    FEES,
    LATER,
    NOISES,
    NOISY,
    ORDERS,
    RESAMPLED,
    RESAMPLES,
    SLIPPAGE,
    UNLUCKY,
    quick_stress,
    stress,
)
from tests.studies import IBM, run_here, write_study
from tests.verdict.builders import searched

COSTS = {"fee_bps": 5.0, "slippage_bps": 2.0, "spread_bps": 1.0, "fixed_fee": 1.0}


def cut(bars: Bars, stop: int) -> Bars:
    return Bars(*(column[:stop] for column in bars))


def test_neighbours_are_backtests_with_one_parameter_moved(tmp_path: Path) -> None:
    plan, _, best = searched(tmp_path, backtest=COSTS)
    seen = cut(plan.job.instruments[0], plan.searched[0].stop)

    def run(point: dict[str, Any]) -> float:
        engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **COSTS)
        metrics = engine.run_realistic(seen, plan.strategy, {"ma_type": "sma", **point}).metrics
        return float(metrics["sharpe_ratio"])

    with make_pool(plan) as pool:
        near = plateau(plan, best.params, pool)
    assert near.score == pytest.approx(best.values[0])
    for one in near.neighbours:
        assert one.score == pytest.approx(run({**best.params, one.parameter: one.value}))
    ranges = {"fast_window": (5, 50, 2), "slow_window": (10, 200, 10)}  # a twentieth of each, rounded: 2 and 10
    moved = {(n, best.params[n] + side * step) for n, (_, _, step) in ranges.items() for side in (-1, 1)}
    inside = {(n, v) for n, v in moved if ranges[n][0] <= v <= ranges[n][1]}
    assert {(one.parameter, one.value) for one in near.neighbours} == inside
    assert near.kept == pytest.approx(max(float(np.median([one.score for one in near.neighbours])), 0.0) / near.score)


@pytest.mark.parametrize("files", [1, 2])
def test_each_condition_is_a_backtest_on_what_has_changed(files: int, tmp_path: Path) -> None:
    rows = IBM.read_text().splitlines()
    for number in range(files):
        (tmp_path / f"f{number}.csv").write_text("\n".join([rows[0], *rows[1 + 100 * number : 1500 + 100 * number]]))
    data = {"path": None, "paths": [f"f{number}.csv" for number in range(files)]}
    plan, _, best = searched(tmp_path, backtest=COSTS, data=data, study={"n_trials": 10})
    all_bars = tuple(cut(bars, cell.stop) for bars, cell in zip(plan.job.instruments, plan.searched, strict=True))
    params = {"ma_type": "sma", **best.params}

    def run(many: tuple[Bars, ...] = all_bars, using: Strategy = plan.strategy, **rules: float) -> Any:
        engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **{**COSTS, **rules})
        return [engine.run_realistic(bars, using, params) for bars in many]

    def grown(results: Any) -> float:
        return float(np.mean([result.metrics["total_return"] for result in results]))

    def unlucky(result: Any) -> float:
        best_five = sorted(result.trades["pnl"])[-5:]
        return float(result.metrics["total_return"] - sum(max(pnl, 0.0) for pnl in best_five) / 10_000)

    with make_pool(plan) as pool:
        found, quick = stress(plan, best.params, pool), quick_stress(plan, best.params, pool)
    fees, slips = {"fee_bps": 10.0, "fixed_fee": 2.0}, {"slippage_bps": 6.0, "spread_bps": 3.0}
    later = run(using=Delayed(plan.strategy, 1))
    expected = {
        AS_IT_IS: grown(run()),
        FEES: grown(run(**fees)),
        SLIPPAGE: grown(run(**slips)),
        DEARER: grown(run(**fees, **slips)),
        LATER: grown(later),
        UNLUCKY: float(np.mean([unlucky(result) for result in run()])),
        NOISY: min(grown(run(noisy(all_bars, np.random.default_rng([k]), 0.1))) for k in range(NOISES)),
        RESAMPLED: float(
            np.median([grown(run(resampled(all_bars, np.random.default_rng([k]), 20))) for k in range(RESAMPLES)])
        ),
    }
    if files == 2:
        expected |= {"without f0": grown(run(all_bars[1:])), "without f1": grown(run(all_bars[:1]))}
    assert {name: one.total_return for name, one in found.conditions.items()} == pytest.approx(expected)
    assert found.conditions[LATER].score == pytest.approx(np.mean([r.metrics["sharpe_ratio"] for r in later]))
    assert quick.conditions == {name: found.conditions[name] for name in (AS_IT_IS, DEARER)}
    assert quick.survives == found.survives == (expected[DEARER] > 0)
    dead, alive = (
        grown(run(**{name: cost * found.distance * by for name, cost in COSTS.items()})) for by in (1.0, 0.98)
    )
    assert found.unit == "times"
    assert dead <= 0.0 < alive or (found.distance, expected[AS_IT_IS] <= 0.0) == (1.0, True)


@pytest.mark.parametrize(("intrabar", "other"), [("worst", "best"), ("best", "worst")])
def test_where_stop_and_take_profit_are_on_the_other_order_is_told(intrabar: str, other: str, tmp_path: Path) -> None:
    rules: dict[str, Any] = {"stop_pct": 0.01, "take_profit_pct": 0.01, "fee_bps": 5.0}
    plan, _, best = searched(tmp_path, backtest={**rules, "intrabar": intrabar})
    with make_pool(plan) as pool:
        found = stress(plan, best.params, pool)
    seen, params = cut(plan.job.instruments[0], plan.searched[0].stop), {"ma_type": "sma", **best.params}
    engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **rules, intrabar=other)
    expected = engine.run_realistic(seen, plan.strategy, params).metrics["total_return"]
    assert found.conditions[ORDERS[other]].total_return == pytest.approx(expected)
    assert expected != pytest.approx(found.conditions[AS_IT_IS].total_return)
    assert ORDERS[intrabar] not in found.conditions


def test_without_costs_death_is_in_basis_points(tmp_path: Path) -> None:
    plan, _, best = searched(tmp_path, backtest={"fee_bps": 0.0})
    with make_pool(plan) as pool:
        found = stress(plan, best.params, pool)
    assert found.unit == "bps"
    seen = cut(plan.job.instruments[0], plan.searched[0].stop)
    params = {"ma_type": "sma", **best.params}
    grown = [
        BacktestEngine(periods_per_year=252.0, slippage_bps=bps).run_realistic(seen, plan.strategy, params)
        for bps in (found.distance * 0.98, found.distance)
    ]
    assert grown[0].metrics["total_return"] > 0.0 >= grown[1].metrics["total_return"]


def test_a_later_decision_is_a_shifted_target() -> None:
    bars, params = load_bars(IBM), {"fast_window": 5, "slow_window": 20, "ma_type": "sma"}
    plain = load_strategy("ma_crossover")
    bound = plain.bind(params)
    for late in (1, 3):
        delayed = Delayed(plain, late)
        expected = pd.Series(plain.target(bars, bound)).shift(late).fillna(0.0)
        np.testing.assert_array_equal(delayed.target(bars, bound), expected)
        np.testing.assert_array_equal(delayed.weights((bars, bars), bound), np.stack([expected / 2] * 2, axis=1))
        assert delayed.warmup_bars(bound) == plain.warmup_bars(bound) + late


def test_a_pair_decides_later_too() -> None:
    @kernel
    def spread(a: Any, b: Any) -> Any:
        return np.stack((np.sign(a - b) * 0.5, np.sign(b - a) * 0.5), axis=1)

    @strategy
    def pair(bars: tuple[Bars, Bars], p: Any) -> Any:
        return spread(bars[0].close, bars[1].close)

    one = load_bars(IBM)
    two = Bars(*(column[::1] for column in noisy((one,), np.random.default_rng(1), 0.5)[0]))
    expected = pd.DataFrame(pair.weights((one, two), {})).shift(2).fillna(0.0)
    np.testing.assert_array_equal(Delayed(pair, 2).weights((one, two), {}), expected)


def test_noise_and_resampled_blocks_do_what_they_say() -> None:
    bars = cut(load_bars(IBM), 800)
    moves = np.diff(np.log(bars.close))
    (other,) = noisy((bars,), np.random.default_rng(3), 0.1)
    moved = np.abs(moves) > 1e-6
    factor = np.diff(np.log(other.close))[moved] / moves[moved]
    assert abs(factor.mean() - 1.0) < 0.02
    assert abs(factor.std() - 0.1) < 0.02
    one, two = resampled((bars, bars), np.random.default_rng(3), 20)
    np.testing.assert_array_equal(one.close, two.close)
    drawn = np.diff(np.log(one.close))
    place = [int(np.abs(moves - move).argmin()) for move in drawn]
    assert np.abs(moves[place] - drawn).max() < 1e-9
    assert np.mean(np.diff(place) == 1) > 0.9  # blocks of twenty
    assert len(set(place)) < 800  # some of them twice


def test_validate_tells_all_and_a_run_only_what_the_rule_needs(tmp_path: Path) -> None:
    study = Study.from_toml(
        write_study(tmp_path, study={"n_trials": 6}, validation={"null": {"markets": 19}, "quick": 30})
    )
    verdict = study.run().summary.verdict
    assert verdict is not None
    assert list(verdict["stress"]["conditions"]) == [AS_IT_IS, DEARER]
    assert verdict["stress"]["distance"] is None
    told = study.validate()
    assert told is not None
    assert len(told["stress"]["conditions"]) == 8
    assert told["stress"]["distance"] == "beyond" or not math.isnan(told["stress"]["distance"])


def hardened(path: Path, params: dict[str, Any], which: Callable[[list[float]], float]) -> float:
    """The mean over the folds of the Sharpe ratio under the worst of three conditions, each a backtest of its own."""
    plan = make_plan(load_spec(path))
    own, late = plan.strategy, Delayed(plan.strategy, 1)
    dear = {"fee_bps": 10.0, "slippage_bps": 6.0, "spread_bps": 3.0, "fixed_fee": 2.0}
    values = []
    for cell in plan.cells:
        found = []
        for strategy_used, costs in ((own, COSTS), (own, dear), (late, COSTS)):
            engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **costs)
            seen = cut(plan.job.instruments[0], cell.stop)
            done = engine.run_realistic(seen, strategy_used, {"ma_type": "sma", **params}, start=cell.start)
            found.append(done.metrics["sharpe_ratio"])
        values.append(which(found))
    return float(np.mean(values))


@pytest.mark.parametrize(("direction", "worst"), [("maximize", min), ("minimize", max)])
@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler"])  # swept in one go, asked in batches
def test_a_search_may_judge_by_the_worst_stress(
    direction: str, worst: Callable[[list[float]], float], sampler: str, tmp_path: Path
) -> None:
    study = {"n_trials": 12, "direction": direction, "sampler": {"name": sampler}, "pruner": {"name": "NopPruner"}}
    path = write_study(tmp_path, study=study, backtest=COSTS, evaluation={"folds": 3, "aggregate": "worst_stress"})
    _, trials = run_here(path)
    for trial in trials:
        assert trial.values == pytest.approx([hardened(path, trial.params, worst)])
    assert not any(one.differences for one in Study.from_toml(path).replay())


def test_the_worst_stress_of_an_expression_is_refused(tmp_path: Path) -> None:
    study = {"objective": "sharpe_ratio - max_drawdown", "direction": "maximize"}
    with pytest.raises(SpecError, match=r"aggregate = 'worst_stress' judges by a metric.*name a metric of"):
        make_plan(load_spec(write_study(tmp_path, study=study, evaluation={"aggregate": "worst_stress"})))
