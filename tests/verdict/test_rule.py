"""The rule, row by row, and what stress and plateau say, against their definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.backtest import BacktestEngine
from optim.search.search import make_pool
from optim.validation.statistics import deflated_sharpe_ratio, moments
from optim.verdict.bearing import detectable
from optim.verdict.evidence import Evidence, evidence
from optim.verdict.null import null_of
from optim.verdict.plateau import Plateau
from optim.verdict.returns import HOLD, Returns, trial_returns
from optim.verdict.rule import NONE, STRONG, UNTESTED, WEAK, Opened, judge, words
from optim.verdict.stress import DEARER, Condition, Stress
from tests.verdict.builders import searched

GOOD, BAD = (Stress({DEARER: Condition(grown, 1.0)}, math.nan, "times") for grown in (0.1, -0.1))
FLAT, SPIKE = Plateau(1.0, (), 0.9), Plateau(1.0, (), 0.2)
OPEN, FAILED = Opened("sharpe_ratio", 1.0, 0.6, True), Opened("sharpe_ratio", -1.0, 0.01, True)


@pytest.mark.parametrize(
    ("as_good", "earlier", "stressed", "near", "opened", "level"),
    [
        (0, 0, GOOD, FLAT, None, STRONG),  # p = 1 / 100
        (4, 0, GOOD, FLAT, None, STRONG),  # 5 / 100
        (5, 0, GOOD, FLAT, None, WEAK),  # 6 / 100
        (0, 1, GOOD, FLAT, None, STRONG),  # 4 / 100
        (1, 1, GOOD, FLAT, None, WEAK),  # 2 / 100 counts four times
        (0, 2, GOOD, FLAT, None, WEAK),  # 9 / 100
        (0, 4, GOOD, FLAT, None, NONE),  # 25 / 100
        (0, 0, BAD, FLAT, None, WEAK),
        (0, 0, GOOD, SPIKE, None, WEAK),
        (0, 0, GOOD, Plateau(-1.0, (), math.nan), None, STRONG),  # a ratio that means nothing says nothing
        (19, 0, GOOD, FLAT, None, WEAK),  # 20 / 100
        (20, 0, GOOD, FLAT, None, NONE),
        (0, 0, GOOD, FLAT, OPEN, STRONG),
        (0, 0, GOOD, FLAT, FAILED, NONE),
    ],
)
def test_every_row(
    as_good: int, earlier: int, stressed: Stress, near: Plateau, opened: Opened | None, level: str
) -> None:
    winners = [0.0] * (99 - as_good) + [2.0] * as_good
    verdict = judge(
        null_of(1.0, "maximize", {"single": winners}, 99), "", near, stressed, earlier=earlier, opened=opened
    )
    assert verdict.level == level
    assert verdict.sentence.lower().startswith(level)


def test_without_a_market_it_is_untested() -> None:
    verdict = judge(None, "no statistics", FLAT, GOOD)
    assert (verdict.level, verdict.reasons) == (UNTESTED, ("no statistics",))
    assert math.isnan(verdict.p_value)


def test_with_few_markets_it_is_untested_unless_that_is_certain() -> None:
    some = null_of(1.0, "maximize", {"single": [0.0] * 18, "volatility": [0.0] * 30}, 199)
    more = null_of(1.0, "maximize", {"single": [0.0] * 19, "volatility": [0.0] * 19}, 199)
    assert [judge(null, "", FLAT, GOOD).level for null in (some, more)] == [UNTESTED, STRONG]


def test_luck_is_the_median_winner_of_the_shuffled_markets() -> None:
    null = null_of(1.0, "maximize", {"single": [0.25, 2.0, 0.75]}, 199)  # the median is .75; 1 - .75 = .25
    assert "luck, the median winner of these markets, is 0.75; net of it the winner's 1 is +0.25" in (
        judge(null, "", FLAT, GOOD).reasons
    )


def test_p_in_words() -> None:
    said = [words(p) for p in (0.01, 0.011, 0.05, 0.051, 0.2, 0.21, math.nan)]
    assert said == ["very rare by luck", "rare by luck", "rare by luck", "unusual by luck", "unusual by luck",
                    "common by luck", "not known"]  # fmt: skip


def test_the_returns_are_those_of_every_distinct_trial(tmp_path: Path) -> None:
    plan, trials, best = searched(tmp_path)
    with make_pool(plan) as pool:
        returns = trial_returns(plan, trials, pool)
    assert returns.tried == len({tuple(sorted(t.params.items())) for t in trials}) == len(returns.names) - 1
    assert returns.names[-1] == HOLD
    (bars,) = plan.job.instruments
    seen = type(bars)(*(column[: plan.searched[0].stop] for column in bars))
    for trial in trials[:5]:
        engine = BacktestEngine(periods_per_year=252.0, fee_bps=10.0)
        own = engine.run_realistic(seen, plan.strategy, {"ma_type": "sma", **trial.params})
        column = returns.values[:, returns.names.index(trial.number)]
        np.testing.assert_allclose(column, own.returns.to_numpy(), rtol=0, atol=1e-12)
    found = evidence(returns, best.number)
    assert isinstance(found, Evidence)
    m = moments(returns.values[:, returns.names.index(best.number)])
    ratios = [moments(returns.values[:, i]).sharpe for i in range(len(returns.names) - 1)]
    assert found.dsr == pytest.approx(
        deflated_sharpe_ratio(m.sharpe, m.n, returns.tried, float(np.nanvar(ratios, ddof=1)), m.skew, m.kurtosis)
    )


def test_hours_become_days_and_instruments_their_mean(tmp_path: Path) -> None:
    rng, frames = np.random.default_rng(1), []
    import pandas as pd

    times = pd.date_range("2020-01-06", periods=24 * 60, freq="1h")
    for name in ("a", "b"):
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, len(times))))
        frame = pd.DataFrame(
            {"timestamp": times, "open": close, "high": close, "low": close, "close": close, "volume": 1.0}
        )
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        frames.append(frame)
    data = {"path": None, "paths": ["a.csv", "b.csv"]}
    plan, trials, _ = searched(tmp_path, data=data, study={"n_trials": 5})
    with make_pool(plan) as pool:
        returns = trial_returns(plan, trials, pool)
    assert returns.values.shape == (48, 6)  # four fifths of sixty days
    trial, means = trials[0], []
    for i in range(2):
        engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, fee_bps=10.0)
        bars = plan.job.instruments[i]
        seen = type(bars)(*(column[: plan.searched[0].stop] for column in bars))
        equity = engine.run_realistic(seen, plan.strategy, {"ma_type": "sma", **trial.params}).equity
        daily = equity.resample("1D").last()
        means.append(daily.pct_change().fillna(daily.iloc[0] / 10_000 - 1).to_numpy())
    np.testing.assert_allclose(returns.values[:, 0], np.mean(means, axis=0), atol=1e-12)


def test_what_can_be_told_from_luck_has_four_fifths_power() -> None:
    """By simulation: winners of the null normal, the real one as uncertain and as far up as it is said to need."""
    rng = np.random.default_rng(3)
    told = []
    for _ in range(3000):
        null = (1.0 + 0.2 * rng.standard_normal(199)).tolist()
        needed = detectable(null, "maximize")
        assert detectable([-winner for winner in null], "minimize") == pytest.approx(-needed)
        told.append(needed + 0.2 * rng.standard_normal() > np.quantile(null, 0.95))
    assert abs(float(np.mean(told)) - 0.8) < 0.03
    assert math.isnan(detectable([1.0] * 9, "maximize"))


def test_what_the_data_cannot_tell_from_the_winner() -> None:
    """A trial that earns nothing while the winner earns .2 deviations a day is told apart after 2,000 days, and one
    that differs by noise alone is not."""
    rng = np.random.default_rng(1)
    market = rng.normal(0, 0.01, 2000)
    columns = [
        market + rng.normal(0.002, 0.001, 2000),
        market + rng.normal(0.002, 0.001, 2000),
        rng.normal(0, 0.01, 2000),
        market,
    ]
    returns = Returns(np.column_stack([*columns, market]), (4, 7, 8, 9, HOLD), np.arange(2000), 4)
    found = evidence(returns, 4)
    assert isinstance(found, Evidence)
    assert found.alike == (7,)
    for alike, said in (((7,), ["the data cannot tell the winner from 1 of the other trials"]), ((), [])):
        verdict = judge(None, found._replace(alike=alike), FLAT, GOOD)
        assert [reason for reason in verdict.reasons if "cannot tell" in reason] == said
