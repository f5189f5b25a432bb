"""What load_bars accepts and refuses."""

import numpy as np
import pandas as pd
import pytest

from engine.data.load import TooFewBarsError, between, content_hash, load_bars, to_frame
from engine.errors import DataError
from tests.studies import IBM


def frame(n: int = 6) -> pd.DataFrame:
    close = 100.0 + np.arange(n)
    index = pd.date_range("2020-01-01", periods=n, tz="UTC", name="date")
    return pd.DataFrame(
        {"open": close, "high": close + 2, "low": close - 2, "close": close + 1, "volume": 10.0}, index=index
    )


def test_every_format_gives_the_same_bars(tmp_path):
    df = frame()
    df.to_csv(tmp_path / "a.csv")
    df.reset_index().rename(columns=str.upper).to_parquet(tmp_path / "a.parquet")
    df.tz_localize(None).reset_index().to_feather(tmp_path / "a.feather")
    expected = content_hash(load_bars(df))
    for name in ("a.csv", "a.parquet", "a.feather"):
        assert content_hash(load_bars(tmp_path / name)) == expected
    assert content_hash(load_bars(df.tz_convert("America/New_York"))) == expected
    assert content_hash(load_bars(to_frame(load_bars(df)))) == expected


def test_arrays_are_frozen_and_ordered():
    bars = load_bars(frame())
    for column in bars:
        assert column.flags.c_contiguous
        assert not column.flags.writeable
    assert bars.timestamp.dtype == np.int64
    assert bars.close.dtype == np.float64


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_epoch_numbers_are_read_in_their_unit(unit):
    df = frame()
    numbers = df.index.as_unit(unit).asi8
    table = df.reset_index(drop=True).assign(timestamp=numbers)
    assert content_hash(load_bars(table)) == content_hash(load_bars(df))


def test_start_and_end_are_inclusive():
    bars = load_bars(frame(), start="2020-01-02", end="2020-01-04")
    assert list(bars.close) == [102.0, 103.0, 104.0]
    with pytest.raises(DataError, match=r"fewer than 2 bars from start 2021-01-01: 0 of the .* move start or end"):
        load_bars(frame(), start="2021-01-01")
    with pytest.raises(DataError, match="is no date"):
        load_bars(frame(), start="yesterday-ish")


def broken(column: str, value: object) -> pd.DataFrame:
    df = frame().astype({column: object}) if isinstance(value, str) else frame()
    df.iloc[3, df.columns.get_loc(column)] = value
    return df


@pytest.mark.parametrize(
    ("df", "reason"),
    [
        (broken("open", np.nan), r"row 4: open is missing \(NaN\)"),
        (broken("close", 0.0), "row 4: close is not above zero, got 0.0"),
        (broken("low", -1.0), "row 4: low is not above zero, got -1.0"),
        (broken("high", np.inf), "row 4: high is infinite"),
        (broken("high", 50.0), "row 4: high is below low"),
        (broken("open", 200.0), r"row 4: open is outside \[low, high\], got 200.0"),
        (broken("close", 1.0), r"row 4: close is outside \[low, high\], got 1.0"),
        (broken("volume", -1.0), "row 4: volume is negative"),
        (broken("volume", np.nan), "row 4: volume is missing"),
        (broken("close", "n/a?"), "row 4: close is no number, got 'n/a[?]'"),
        (frame().iloc[[0, 1, 3, 2, 4]], "row 4: .*not sorted"),
        (frame().iloc[[0, 1, 2, 2, 4]], "row 4: .*duplicate"),
        (frame().drop(columns=["high", "close"]), "missing column high, close"),
        (frame().reset_index(drop=True), "missing column timestamp"),
        (frame().iloc[:0], "no rows"),
        (frame().iloc[:1], "at least 2 bars, but got 1"),
        (frame().assign(Close=1.0), "column close is there more than once"),
    ],
)
def test_bad_bars_are_refused_with_row_and_reason(df, reason):
    with pytest.raises(DataError, match=reason):
        load_bars(df)


def test_bad_timestamps_are_named():
    with pytest.raises(DataError, match="row 2: 'soon' is no timestamp"):
        load_bars(frame(3).reset_index(drop=True).assign(date=["2020-01-01", "soon", "2020-01-03"]))
    with pytest.raises(DataError, match="row 2: the timestamp is missing"):
        load_bars(frame(3).reset_index(drop=True).assign(date=["2020-01-01", None, "2020-01-03"]))


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        load_bars(tmp_path / "nowhere.csv")
    (tmp_path / "a.xls").write_text("x")
    with pytest.raises(DataError, match="cannot tell the format"):
        load_bars(tmp_path / "a.xls")
    for name in ("empty.csv", "empty.parquet", "empty.feather"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=rf"{name}: is empty: it needs a line with the names"):
            load_bars(tmp_path / name)


def test_a_start_after_the_end_is_said(tmp_path) -> None:
    with pytest.raises(TooFewBarsError, match=r"from start 2010 to end 2005: .*; the start is after the end$"):
        between(load_bars(IBM), "2010", "2005", None)
    with pytest.raises(TooFewBarsError, match=r"from start 2050: 0 of the .*; move start or end into them$"):
        between(load_bars(IBM), "2050", None, None)
