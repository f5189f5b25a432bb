"""A plain strategy gets the user's own frame and may answer on its index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import BacktestEngine, sweep
from engine.check import random_bars
from engine.data.load import load_bars, to_frame
from engine.errors import StrategyError

N = 200
ENGINE = BacktestEngine(fee_bps=10)
METRICS = ["total_return", "n_trades"]


def own_frame(timezone: str | None, name: str = "Datum") -> pd.DataFrame:
    """Hourly bars as a user may have them: columns in title case, a text beside them."""
    frame = to_frame(random_bars(np.random.default_rng(4), N)).rename(columns=str.title)
    index = frame.index.tz_localize(None) if timezone is None else frame.index.tz_convert(timezone)
    return frame.set_index(index.rename(name)).assign(Session="day", Volume=1.0)


def mean(df: pd.DataFrame) -> pd.Series:
    return (df["Close"] > df["Close"].rolling(5).mean()).astype(float)


@pytest.mark.parametrize("timezone", [None, "UTC", "Europe/Berlin", "America/New_York"])
def test_the_frame_comes_back_as_it_was_given(timezone: str | None) -> None:
    given = own_frame(timezone)
    before = given.copy()
    signal = mean(given)  # made before, on the frame's own index
    seen: list[pd.DataFrame] = []

    def mine(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
        seen.append(df.copy())
        df["Close"] = 0.0  # what a function does to its frame is its own affair
        return signal.loc[df.index]

    found = ENGINE.run_realistic(given, mine, {})
    columns = ["Open", "High", "Low", "Close", "Volume", "Session"]
    pd.testing.assert_frame_equal(seen[0][columns], before, check_freq=False)
    pd.testing.assert_frame_equal(given, before)
    assert seen[0]["close"].tolist() == before["Close"].tolist()
    ours = ENGINE.run_realistic(load_bars(given), lambda df, params: signal.to_numpy(), {})
    np.testing.assert_array_equal(found.equity, ours.equity)
    assert found.metrics["n_trades"] > 10
    table = sweep(given, mine, [{}], fee_bps=10, metrics=METRICS)
    assert table[METRICS].iloc[0].tolist() == [found.metrics[name] for name in METRICS]


def test_rows_from_the_newest_on_and_rows_without_prices() -> None:
    given = own_frame(None)
    signal = mean(given)
    last = pd.DataFrame(np.nan, index=[given.index[-1] + pd.Timedelta("1h")], columns=given.columns)
    expected = ENGINE.run_realistic(given, lambda df, params: signal, {}).equity
    for changed in (given[::-1], pd.concat([given.drop(columns="Session"), last.drop(columns="Session")])):
        found = ENGINE.run_realistic(changed, lambda df, params: signal.loc[df.index], {})
        np.testing.assert_array_equal(found.equity, expected)


def test_only_the_rows_that_are_backtested_are_shown() -> None:
    given = own_frame(None)
    seen: list[pd.Index] = []

    def mine(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
        seen.append(df.index)
        return mean(df)

    ENGINE.run_realistic(given, mine, {}, start=50)
    assert seen[0].equals(given.index)  # all bars before warm the signal up


def test_frames_of_a_portfolio_each_come_back() -> None:
    one, other = own_frame(None), own_frame(None, "when").assign(Close=lambda df: df["Low"])
    seen: list[str] = []

    def mine(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
        seen.append(str(df.index.name))
        return mean(df)

    found = ENGINE.run_realistic([one, other], mine, {})
    assert seen == ["Datum", "when"]
    table = sweep([one, other], mine, [{}], fee_bps=10, metrics=METRICS)
    assert table["total_return"][0] == found.metrics["total_return"]


def test_where_the_index_has_no_times_the_frame_is_ours() -> None:
    given = own_frame(None, "date").reset_index()
    seen: list[pd.DataFrame] = []

    def mine(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
        seen.append(df)
        return (df["close"] > df["close"].rolling(5).mean()).astype(float)

    ENGINE.run_realistic(given, mine, {})
    assert str(seen[0].index.tz) == "UTC"
    assert list(seen[0]) == ["open", "high", "low", "close", "volume"]


def test_another_index_is_refused_still() -> None:
    with pytest.raises(StrategyError, match="not indexed like the bars"):
        ENGINE.run_realistic(own_frame(None), lambda df, params: mean(df).tz_localize("UTC"), {})


def test_an_annotation_that_python_cannot_evaluate_is_refused_in_a_sentence() -> None:
    def mine(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series[float]:
        return mean(df)

    with pytest.raises(StrategyError, match="mine: a type annotation cannot be resolved"):
        ENGINE.run_realistic(own_frame(None), mine, {})
