"""What every statistic refuses, what stays with its name, and what importing costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim.errors import OptimError, StatisticsError
from optim.validation.bootstrap import sharpe_confidence_interval
from optim.validation.matrix import MIN_ROWS, checked
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import reality_check, romano_wolf, spa
from optim.validation.selection import winner_interval
from optim.validation.statistics import (
    effective_trials,
    long_run_probabilistic_sharpe_ratio,
    moments,
    sharpe_ratio,
    sharpe_ratios,
)
from tests.validation import naive


def first(returns: Any) -> Any:
    """The name of the first column."""
    return returns.columns[0] if hasattr(returns, "columns") else 0


OF_A_MATRIX: dict[str, Callable[[Any], object]] = {
    "sharpe_ratios": sharpe_ratios,
    "effective_trials": effective_trials,
    "pbo": lambda x: probability_of_backtest_overfitting(x, 4),
    "reality_check": lambda x: reality_check(x, first(x), n_draws=100),
    "spa": lambda x: spa(x, first(x), n_draws=100),
    "romano_wolf": lambda x: romano_wolf(x, first(x), n_draws=100),
    "winner_interval": lambda x: winner_interval(x, n_draws=100),
}
OF_A_SERIES: dict[str, Callable[[Any], object]] = {
    "sharpe_ratio": sharpe_ratio,
    "moments": moments,
    "long_run": long_run_probabilistic_sharpe_ratio,
    "interval": lambda x: sharpe_confidence_interval(x, n_draws=100),
}


def with_value(value: float) -> np.ndarray:
    x = naive.noise(0, 60, 4)
    x[7, 2] = value
    return x


def dated(rows: int, columns: int) -> pd.DataFrame:
    days = pd.date_range("2020-01-01", periods=rows, freq="D")
    return pd.DataFrame(naive.noise(0, rows, columns), index=days, columns=[f"trial {i}" for i in range(columns)])


BAD: dict[str, tuple[Any, str]] = {
    "nan": (with_value(np.nan), "the returns of 2 are nan in row 7"),
    "infinite": (with_value(-np.inf), "the returns of 2 are -inf in row 7"),
    "huge": (with_value(1e200), "the returns of 2 are 1e\\+200 in row 7"),
    "no trial": (np.empty((60, 0)), "returns have no column"),
    "masked": (np.ma.masked_equal(with_value(0.5), 0.5), "the returns of 2 are nan in row 7"),
    "short": (naive.noise(0, MIN_ROWS - 1, 4), "returns have 29 rows"),
    "empty": (np.empty((0, 0)), "returns have 0 rows"),
    "transposed": (naive.noise(0, 60, 700), "looks transposed, pass returns.T"),
    "transposed short": (naive.noise(0, 60, 5).T, "looks transposed, pass returns.T"),
    "dates as columns": (dated(60, 40).T, "the columns of returns are dates"),
    "plain dates as columns": (
        dated(60, 40).T.rename(columns=lambda stamp: stamp.date()),
        "columns of returns are dates",
    ),
    "unsorted": (dated(60, 4).iloc[::-1], "must be in time order"),
    "a date twice": (pd.concat([dated(60, 4), dated(60, 4).iloc[-1:]]), "must be in time order, each date once"),
    "a name twice": (dated(60, 4).set_axis(["a", "b", "a", "c"], axis=1), "the name 'a' stands for more than one"),
    "text": ([["0.1", "0.2"]] * 60, "returns must be numbers"),
    "truths": (np.ones((60, 4), dtype=bool), "returns must be numbers"),
    "complex": (np.ones((60, 4), dtype=complex), "returns must be numbers"),
    "ragged": ([[0.1, 0.2]] * 59 + [[0.1]], "returns must be numbers"),
    "missing": (dated(60, 4).astype("Float64").mask(lambda x: x > 0.02), "nan in row"),
    "cube": (np.zeros((60, 4, 2)), "must be a matrix"),
    "number": (0.5, "must be a matrix"),
}


@pytest.mark.parametrize("statistic", OF_A_MATRIX)
@pytest.mark.parametrize("case", BAD)
def test_a_bad_matrix_is_refused_in_one_sentence(statistic: str, case: str) -> None:
    returns, says = BAD[case]
    with pytest.raises(StatisticsError, match=says) as refused:
        OF_A_MATRIX[statistic](returns)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, OptimError)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("statistic", OF_A_SERIES)
@pytest.mark.parametrize(
    ("returns", "says"),
    [
        (with_value(np.nan)[:, 2], "are nan in row 7"),
        (naive.noise(0, 29, 1)[:, 0], "29 rows"),
        (naive.noise(0, 60, 2), "must be one-dimensional"),
        (dated(60, 1).iloc[::-1, 0], "must be in time order"),
        (["a"] * 60, "must be numbers"),
    ],
)
def test_a_bad_series_is_refused_in_one_sentence(statistic: str, returns: Any, says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        OF_A_SERIES[statistic](returns)


def test_names_must_fit() -> None:
    x = naive.noise(0, 60, 40)
    with pytest.raises(StatisticsError, match="60 names for 40 columns of returns: the matrix looks transposed"):
        checked(x, range(60))
    with pytest.raises(StatisticsError, match=r"3 names for 40 columns of returns$"):
        checked(x, ["a", "b", "c"])
    with pytest.raises(StatisticsError, match="must be hashable"):
        checked(x, [[i] for i in range(40)])  # type: ignore[misc]
    with pytest.raises(StatisticsError, match="names its columns itself"):
        checked(dated(60, 2), ["a", "b"])


def test_a_year_of_days_may_have_many_trials() -> None:
    assert checked(naive.noise(0, 250, 1000)).values.shape == (250, 1000)
    assert checked(dated(60, 700)).values.shape == (60, 700)


def test_any_table_of_numbers_will_do() -> None:
    frame = dated(60, 3)
    for same in (frame, frame.astype("Float64"), frame.convert_dtypes(), frame.set_axis(frame.index.to_period("D"))):
        found = checked(same)
        assert found.names == ("trial 0", "trial 1", "trial 2")
        np.testing.assert_array_equal(found.values, frame.to_numpy())
    np.testing.assert_array_equal(checked(frame.to_numpy().tolist()).values, frame.to_numpy())
    assert checked(np.ones((60, 2), dtype=np.int8)).values.dtype == np.float64


@pytest.mark.parametrize("statistic", OF_A_MATRIX)
def test_the_callers_matrix_is_left_alone(statistic: str) -> None:
    x = naive.noise(0, 60, 4)
    before = x.copy()
    OF_A_MATRIX[statistic](x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["spa", "romano_wolf", "reality_check"])
@pytest.mark.parametrize("benchmark", ["nobody", None, 4])
def test_the_benchmark_must_be_a_column(name: str, benchmark: object) -> None:
    call = {"spa": spa, "romano_wolf": romano_wolf, "reality_check": reality_check}[name]
    with pytest.raises(StatisticsError, match="is no column of returns: there are"):
        call(naive.noise(0, 60, 4), benchmark)


@pytest.mark.parametrize(
    "module", ["statistics", "haircut", "longrun", "overfitting", "bootstrap", "reality", "selection", "matrix"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, optim.validation.{module}\n"
        "print(*{'optuna', 'mlflow', 'numba', 'pandas', 'scipy', 'joblib', 'matplotlib'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not printed.strip()
