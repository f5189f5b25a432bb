"""Files of values beside the bars: each bar has what was known at its close, and nothing later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Bars, join
from engine.check import random_bars
from engine.data.bars import add_features, features_of
from engine.data.frames import closes
from engine.errors import DataError

MINUTE = 60 * 10**9


def bars_at(times: Any) -> Bars:
    stamps = np.array(pd.DatetimeIndex(times).as_unit("ns").asi8)
    stamps.setflags(write=False)
    return random_bars(np.random.default_rng(1), len(stamps))._replace(timestamp=stamps)


HOURS = bars_at(pd.date_range("2024-01-01", periods=96, freq="1h"))


def write(folder: Path, text: str) -> Path:
    path = folder / "vix.csv"
    path.write_text(text)
    return path


def test_a_value_is_known_its_lag_after_its_timestamp(tmp_path: Path) -> None:
    path = write(tmp_path, "date,close\n2023-12-31,10\n2024-01-01,11\n2024-01-02,null\n2024-01-03,13\n")
    ends = np.r_[0, 1, np.arange(3, 97)]  # when each hour closes; the first two are taken to close at their open
    for lag, hours in (("1D", 24), (None, 24), ("0m", 0), ("17h", 17), ("25h", 25)):
        expected = np.where(ends >= hours + 48, 13.0, np.where(ends >= hours, 11.0, 10.0))  # what is missing is none
        expected[ends < hours - 24] = np.nan
        np.testing.assert_array_equal(features_of(join(HOURS, "vix", path, lag=lag))["vix"], expected)


def test_old_values_are_none(tmp_path: Path) -> None:
    path = write(tmp_path, "date,close\n2024-01-01,11\n2024-01-03,13\n")
    vix = features_of(join(HOURS, "vix", path, lag="6h", max_age="1D"))["vix"]
    expected = np.full(96, np.nan)
    expected[5:24] = 11  # known at 06:00, the close of the bar of 05:00; a day old at the close of 23:00
    expected[53:72] = 13
    np.testing.assert_array_equal(vix, expected)


def test_every_column_of_numbers_is_a_feature_whatever_the_file_looks_like(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "Datum;Eröffnung;Schluss;Land;Stand\n03.01.2024;1,5;2,25;DE;2024-01-04\n01.01.2024;1;2;DE;2024-01-02\n",
    )
    found = features_of(join(HOURS, "vdax", path, lag="0m", date_format="%d.%m.%Y"))
    assert list(found) == ["vdax_eröffnung", "vdax_schluss"]
    assert found["vdax_schluss"][[2, 95]].tolist() == [2.0, 2.25]
    frame = pd.DataFrame({"rate": [1, 2]}, index=pd.DatetimeIndex(["2024-01-01", "2024-01-02"]))
    assert features_of(join(HOURS, "funding", frame, lag="0m"))["funding"][[2, 95]].tolist() == [1.0, 2.0]
    frame.to_parquet(tmp_path / "rate.parquet")
    assert list(features_of(join(HOURS, "funding", tmp_path / "rate.parquet"))) == ["funding"]


def test_the_lag_of_monthly_values_is_the_longest_month() -> None:
    months = pd.date_range("2023-01-01", "2023-12-01", freq="MS")
    days = bars_at(pd.date_range("2023-01-01", periods=400, freq="1D"))
    cpi = features_of(join(days, "cpi", pd.DataFrame({"cpi": np.arange(1.0, 13.0)}, index=months)))["cpi"]
    assert (cpi == 2).argmax() == 61  # February's, 31 days after its first: 2023-03-04, the close of the 3rd


@settings(deadline=None)
@given(
    steps=st.lists(st.integers(1, 400), min_size=3, max_size=60),
    stamps=st.lists(st.integers(0, 9_000), min_size=2, max_size=40, unique=True).map(sorted),
    lag=st.integers(0, 2_000),
    max_age=st.none() | st.integers(0, 4_000),
)
def test_a_search_through_all_values_finds_the_same(
    steps: list[int], stamps: list[int], lag: int, max_age: int | None
) -> None:
    start = 19_723 * 1_440
    bars = bars_at(pd.DatetimeIndex((start + np.cumsum(steps)) * MINUTE))
    values = np.where(np.arange(len(stamps)) % 5 == 3, np.nan, np.arange(len(stamps)) + 0.5)
    frame = pd.DataFrame({"x": values}, index=pd.DatetimeIndex((start + np.array(stamps)) * MINUTE))
    told = {"lag": f"{lag}m", "max_age": None if max_age is None else f"{max_age}m"}
    found = features_of(join(bars, "x", frame, **told))["x"]
    for t, close in enumerate(closes(bars.timestamp) // MINUTE - start):
        known = [i for i, stamp in enumerate(stamps) if stamp + lag <= close and not np.isnan(values[i])]
        fresh = bool(known) and (max_age is None or close - stamps[known[-1]] <= max_age)
        np.testing.assert_equal(found[t], values[known[-1]] if fresh else np.nan)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("date,close\n2024-01-01,11\n", {}, "has one row, which does not tell how long .* give lag"),
        ("date,close\n2024-01-01,11\n2024-01-01,12\n", {}, "row 2: its time .* is there twice or out of order"),
        ("date,close\n2024-01-01,11\n2024-01-02,x1\n2024-01-03,2\n", {}, "row 2: close is no number, got 'x1'"),
        ("date,word\n2024-01-01,a\n2024-01-02,b\n", {}, "no column holds numbers; present are date, word"),
        (
            "day,close\n2024-01-01,1\n2024-01-02,2\n",
            {},
            'missing column timestamp; .* date = "day" }; present are day, close',
        ),
        ("date,a b,a_b\n2024-01-01,1,1\n2024-01-02,2,2\n", {}, "two columns would both be a_b"),
        ("date,close\n2024-01-01,11\n2024-01-02,12\n", {"lag": "-1D"}, "lag = '-1D': must be a number and one of"),
        ("date,close\n2024-01-01,11\n2024-01-02,12\n", {"max_age": "1M"}, "max_age = '1M': months differ in length"),
        (
            "date,close\n2024-01-01,11\n2024-01-02,12\n",
            {"lag": "99999W"},
            "lag = '99999W': must be no longer than ten years",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused_with_the_file(
    tmp_path: Path, text: str, more: dict[str, str], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        join(HOURS, "vix", write(tmp_path, text), **more)
    assert str(caught.value).startswith(str(tmp_path / "vix.csv"))


def test_names_that_clash_are_refused() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.DatetimeIndex(["2024-01-01", "2024-01-02"]))
    scored = add_features(HOURS, {"vix": np.zeros(96)})
    with pytest.raises(DataError, match="the feature vix is there already"):
        join(scored, "vix", frame)
    for name in ("close", "class", "a b"):
        with pytest.raises(DataError, match="cannot be the name of a feature"):
            join(HOURS, name, frame)
