"""Rows that are no bars: all of them are named, whatever else is wrong, and what was understood stays true."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from engine.data.formats import make_format
from engine.data.load import load_bars, read_bars
from engine.data.rows import BadRowsError, bars_of
from engine.data.table import read_table
from engine.errors import DataError


def newest_first(days: int = 60) -> list[str]:
    """Lines of a file with decimal commas, a header and then the newest day first."""
    dates = pd.date_range("2024-01-01", periods=days)[::-1].strftime("%d.%m.%Y")
    return ["Datum;Eröffnung;Hoch;Tief;Schlusskurs", *(f"{day};2,5;3,5;1,5;2,25" for day in dates)]


def faults_of(folder: Path, lines: list[str], **told: str) -> BadRowsError:
    (folder / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    format_ = make_format(told)
    with pytest.raises(BadRowsError) as caught:
        bars_of(read_table(folder / "a.csv", format_), format_, None, None)
    return caught.value


def test_one_fault_in_a_file_from_the_newest_on_is_one_fault(tmp_path: Path) -> None:
    lines = newest_first()
    lines[20] = lines[21]
    error = faults_of(tmp_path, lines)
    assert [fault.row for fault in error.faults] == [20]
    assert error.faults[0].reason.startswith("its timestamp is that of the row after (duplicate: keep one)")
    assert error.reading is not None
    assert (error.reading.decimal, error.reading.order) == (",", "newest first")
    moved = newest_first()
    moved.insert(30, moved.pop(10))  # the tenth row stands among older ones
    assert len(faults_of(tmp_path, moved).faults) == 1


def test_one_kind_of_fault_does_not_hide_another(tmp_path: Path) -> None:
    """Thirty impossible dates, a twin, a text, a price of 0 and a high below its low: 20 rows, and each of these."""
    lines = newest_first()
    for i in range(31, 61):
        lines[i] = "31.02.2024" + lines[i][10:]
    lines[12] = lines[13]
    lines[15] = lines[15].replace("2,25", "2x")
    lines[17] = lines[17].replace("1,5;2,25", "0;2,25")
    lines[19] = lines[19].replace("3,5", "1,2")
    faults = {fault.row: fault.reason for fault in faults_of(tmp_path, lines).faults}
    assert len(faults) == 20
    assert [row for row in faults if row < 31] == [12, 15, 17, 19]
    assert faults[15] == "close is no number, got '2x'"
    assert faults[17] == "low is not above zero, got 0.0"
    assert "duplicate" in faults[12]
    assert faults[31].startswith("'31.02.2024' is no timestamp")
    lines[5] = lines[5][10:]
    assert faults_of(tmp_path, lines).faults[0] == (5, "the timestamp is missing")


def test_a_decimal_that_is_told_and_wrong_is_said_with_a_value(tmp_path: Path) -> None:
    error = faults_of(tmp_path, newest_first(), decimal=".")
    assert error.faults[0] == (1, "open is no number with decimal = '.', got '2,5'")
    assert str(error) == "row 1: open is no number with decimal = '.', got '2,5'"
    assert error.reading is not None
    assert (error.reading.decimal, error.reading.order) == (".", "newest first")
    every = [line.replace(",", ".", 2) if i else line for i, line in enumerate(newest_first(40))]
    mixed = faults_of(tmp_path, every, decimal=".").faults
    assert {fault.reason for fault in mixed} == {
        "low is no number with decimal = '.', got '1,5'"
    }  # none is called missing


def test_a_column_with_a_text_among_its_numbers_is_no_feature_and_said(tmp_path: Path) -> None:
    rows = [f"2024-01-{d:02d},2,3,1,2,{d},x{d}" for d in range(1, 10)]
    rows[4] = rows[4].replace(",5,", ",five,")
    (tmp_path / "a.csv").write_text("\n".join(["date,open,high,low,close,score,word", *rows]))
    _, reading = read_bars(tmp_path / "a.csv")
    assert reading.features == {}
    assert reading.texts["score"] == "row 5: score is no number, got 'five'"
    assert reading.notes == ("score is no feature: row 5: score is no number, got 'five'",)  # of words none is expected


def test_a_long_table_read_as_one_is_told_its_column(tmp_path: Path) -> None:
    rows = [f"2024-01-{d:02d},2,3,1,2,{symbol}" for symbol in "AB" for d in range(1, 5)]
    (tmp_path / "a.csv").write_text("\n".join(["date,open,high,low,close,Symbol", *rows]))
    with pytest.raises(
        DataError, match=r'row 5: .*not sorted.*; column Symbol has 2 symbols.*symbol_column = "Symbol"'
    ):
        load_bars(tmp_path / "a.csv")
