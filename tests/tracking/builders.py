"""Fabricated studies: what the record would hold, without running anything."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from engine.backtest import BacktestEngine, BacktestResult
from engine.check import random_bars
from optim.tracking import Dataset, StudyInfo

T = TypeVar("T")
WINDOWS = {"fast_window": 5, "slow_window": 20}
START = datetime(2026, 1, 2, 3, 4, 5)
SPACE = {
    "fast_window": IntDistribution(5, 50),
    "slow_window": IntDistribution(20, 200),
    "ma_type": CategoricalDistribution(["sma", "ema"]),
}


def study_info(**changes: Any) -> StudyInfo:
    info = StudyInfo(
        study_id="5e1f",
        name="ma_crossover_ibm",
        objectives=("sharpe_ratio",),
        directions=("maximize",),
        start=START,
        params={"strategy": "ma_crossover", "fee_bps": 10.0, "seed": 7, "commit_sha": "0123abc"},
        tags={"market": "IBM", "timeframe": "1d"},
        key_params=("fast_window", "slow_window"),
        datasets=(Dataset("IBM", "data/ibm_1d.csv", "ab" * 32, 3268, "2000-03-01", "2013-03-01"),),
        config_toml='[study]\nname = "ma_crossover_ibm"\n',
        storage="optuna.journal",
    )
    return info._replace(**changes)


def make_trial(number: int, state: TrialState = TrialState.COMPLETE, **attributes: Any) -> FrozenTrial:
    value = round(0.01 * number, 4)
    metrics = {"sharpe_ratio": value, "total_return": 0.25, "max_drawdown": -0.15, "n_trades": 12.0}
    attributes = metrics | {"cell_values": [value + cell for cell in range(5)]} | attributes
    if state == TrialState.FAIL:
        attributes = {"error": "the signal is not finite"}
    trial = create_trial(
        state=state,
        values=[value] if state == TrialState.COMPLETE else None,
        params={"fast_window": 5 + number % 40, "slow_window": 60 + number % 100, "ma_type": "ema"},
        distributions=SPACE,
        user_attrs=attributes,
    )
    trial.number = number
    trial.datetime_start = START + timedelta(seconds=number)
    trial.datetime_complete = trial.datetime_start + timedelta(milliseconds=300)
    return trial


@functools.cache
def backtest(instrument: str = "") -> BacktestResult:
    """A backtest as the product makes it."""
    engine = BacktestEngine(fee_bps=10)
    result = engine.run_realistic(random_bars(np.random.default_rng(1), 300), "ma_crossover", WINDOWS)
    return result._replace(instrument=instrument)


def make_trials(count: int) -> list[FrozenTrial]:
    """Mostly complete, some pruned, some failed."""
    states = {3: TrialState.PRUNED, 5: TrialState.FAIL}
    return [make_trial(number, states.get(number % 10, TrialState.COMPLETE)) for number in range(count)]
