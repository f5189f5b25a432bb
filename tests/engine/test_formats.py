"""Files as their sources write them: read as what they say, or refused with the key that reads them.

All hold the same two bars, unless a test says otherwise: 2 and 3 January 2024 at midnight UTC.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zipfile
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.data.bars import Bars
from engine.data.load import content_hash, load_bars, read_bars
from engine.errors import DataError
from tests.studies import ROOT

DAYS = [1_704_153_600, 1_704_240_000]  # 2024-01-02 and 03, by `date -u -d @1704153600`
PRICES = [[187.15, 188.44, 183.89, 185.64], [184.22, 185.88, 183.43, 184.25]]
VOLUMES = [82488700.0, 58414500.0]

FILES = {
    "yfinance": (
        "a.csv",
        "Price,Adj Close,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,,\n"
        "2024-01-02,184.93,185.64,188.44,183.89,187.15,82488700\n2024-01-03,183.55,184.25,185.88,183.43,184.22,58414500\n",
    ),
    "Yahoo": (
        "a.csv",
        "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,187.15,188.44,183.89,185.64,184.93,82488700\n"
        "2024-01-03,184.22,185.88,183.43,184.25,183.55,58414500\nnull,null,null,null,null,null,null\n",
    ),
    "Binance klines": (
        "BTCUSDT-1d-2024-01.csv",
        "1704153600000,187.15,188.44,183.89,185.64,82488700,1704239999999,1e9,10,5,1e8,0\n"
        "1704240000000,184.22,185.88,183.43,184.25,58414500,1704326399999,1e9,10,5,1e8,0\n",
    ),
    "Binance klines, microseconds": (
        "BTCUSDT-1d-2025-01.csv",
        "1704153600000000,187.15,188.44,183.89,185.64,82488700,1704239999999999,1e9,10,5,1e8,0\n"
        "1704240000000000,184.22,185.88,183.43,184.25,58414500,1704326399999999,1e9,10,5,1e8,0\n",
    ),
    "Kraken": (
        "XBTUSD_1440.csv",
        "1704153600,187.15,188.44,183.89,185.64,82488700,1001\n1704240000,184.22,185.88,183.43,184.25,58414500,1002\n",
    ),
    "MetaTrader 4": (
        "EURUSD1440.csv",
        "2024.01.02,00:00,187.15,188.44,183.89,185.64,82488700\n2024.01.03,00:00,184.22,185.88,183.43,184.25,58414500\n",
    ),
    "TradingView": (
        "a.csv",
        "time,open,high,low,close,Volume\n2024-01-02T00:00:00Z,187.15,188.44,183.89,185.64,82488700\n"
        "2024-01-03T00:00:00Z,184.22,185.88,183.43,184.25,58414500\n",
    ),
    "Dukascopy": (
        "a.csv",
        "Gmt time,Open,High,Low,Close,Volume\n02.01.2024 00:00:00.000,187.15,188.44,183.89,185.64,82488700\n"
        "03.01.2024 00:00:00.000,184.22,185.88,183.43,184.25,58414500\n",
    ),
    "HistData": (
        "DAT_ASCII_EURUSD_M1_2024.csv",
        "20240102 000000;187.15;188.44;183.89;185.64;82488700\n20240103 000000;184.22;185.88;183.43;184.25;58414500\n",
    ),
    "Stooq": (
        "aapl.us.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOLUME>,<OPENINT>\n"
        "AAPL.US,D,20240102,000000,187.15,188.44,183.89,185.64,82488700,0\n"
        "AAPL.US,D,20240103,000000,184.22,185.88,183.43,184.25,58414500,0\n",
    ),
    "German": (
        "a.csv",
        "Datum;Eröffnung;Hoch;Tief;Schlusskurs;Volumen\n2024-01-02;187,15;188,44;183,89;185,64;82.488.700\n"
        "2024-01-03;184,22;185,88;183,43;184,25;58.414.500\n",
    ),
    "Dukascopy, local time": (
        "a.csv",
        "Local time,Open,High,Low,Close,Volume\n02.01.2024 01:00:00.000 GMT+0100,187.15,188.44,183.89,185.64,82488700\n"
        "03.01.2024 01:00:00.000 GMT+0100,184.22,185.88,183.43,184.25,58414500\n",
    ),
    "Investing.com": (
        "a.csv",
        '"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"01/03/2024","184.25","184.22","185.88","183.43","58.4145M",'
        '"-0.75%"\n"01/02/2024","185.64","187.15","188.44","183.89","82.4887M","-3.58%"\n',
    ),
    "CryptoDataDownload": (
        "a.csv",
        "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume\n"
        "1704240000000,2024-01-03 00:00:00,BTC/USD,184.22,185.88,183.43,184.25,58414500\n"
        "1704153600000,2024-01-02 00:00:00,BTC/USD,187.15,188.44,183.89,185.64,82488700\n",
    ),
    "old line ends": (
        "a.csv",
        "date,open,high,low,close,volume\r2024-01-02,187.15,188.44,183.89,185.64,82488700\r"
        "2024-01-03,184.22,185.88,183.43,184.25,58414500\r",
    ),
    "newest first, dollars, a banner": (
        "a.csv",
        "Historical prices\nsource: somewhere\n\nDate,Close/Last,Volume,Open,High,Low\n"
        "01/03/2024,$184.25,58414500,$184.22,$185.88,$183.43\n01/02/2024,$185.64,82488700,$187.15,$188.44,$183.89\n",
    ),
    "thousands": (
        "a.tsv",
        "Date\tOpen\tHigh\tLow\tClose\tVolume\n2024-01-02\t187.15\t188.44\t183.89\t185.64\t82,488,700\n"
        "2024-01-03\t184.22\t185.88\t183.43\t184.25\t58,414,500\n",
    ),
    "an unnamed index": (
        "a.csv",
        ",Open,High,Low,Close,Volume\n2024-01-02,187.15,188.44,183.89,185.64,82488700\n"
        "2024-01-03,184.22,185.88,183.43,184.25,58414500\n",
    ),
    "separators at the ends": (
        "a.csv",
        "Date,Open,High,Low,Close,Volume\n2024-01-02,187.15,188.44,183.89,185.64,82488700,\n"
        "2024-01-03,184.22,185.88,183.43,184.25,58414500,\n",
    ),
    "ccxt": (
        "BTC_USDT-1d.json",
        "[[1704153600000, 187.15, 188.44, 183.89, 185.64, 82488700], "
        "[1704240000000, 184.22, 185.88, 183.43, 184.25, 58414500]]",
    ),
    "Binance's answer": (
        "klines.json",
        '[[1704153600000, "187.15", "188.44", "183.89", "185.64", "82488700", 1704239999999, "1", 1, "1", "1", "0"], '
        '[1704240000000, "184.22", "185.88", "183.43", "184.25", "58414500", 1704326399999, "1", 1, "1", "1", "0"]]',
    ),
}
TURNED = ("Investing.com", "CryptoDataDownload", "newest first, dollars, a banner")
TOLD: Mapping[str, dict[str, Any]] = {
    "Dukascopy": {"date_format": "%d.%m.%Y %H:%M:%S.%f"},
    "Dukascopy, local time": {"date_format": "%d.%m.%Y %H:%M:%S.%f %z"},
    "Investing.com": {"date_format": "%m/%d/%Y"},
    "newest first, dollars, a banner": {"date_format": "%m/%d/%Y"},
}


def assert_the_two(bars: Bars, volumes: list[float] = VOLUMES) -> None:
    assert (bars.timestamp // 10**9).tolist() == DAYS
    assert np.column_stack([bars.open, bars.high, bars.low, bars.close]).tolist() == PRICES
    assert bars.volume.tolist() == volumes


@pytest.mark.parametrize("source", FILES)
def test_a_file_is_read_as_its_source_meant_it(source: str, tmp_path: Path) -> None:
    name, text = FILES[source]
    (tmp_path / name).write_text(text, encoding="utf-8")
    bars, reading = read_bars(tmp_path / name, **TOLD.get(source, {}))
    assert_the_two(bars)
    assert reading.dropped == ((3,) if source == "Yahoo" else ())
    assert reading.order == ("newest first" if source in TURNED else "oldest first")
    if source in ("yfinance", "Yahoo", "Kraken", "MetaTrader 4", "HistData", "Stooq", "Dukascopy", "ccxt"):
        assert reading.format == source
    if reading.first_line:
        assert text.splitlines()[reading.first_line - 1].lstrip('"')[:1].isdigit() or source == "Stooq"


@pytest.mark.parametrize("source", ["yfinance", "Yahoo"])
def test_adjusted_prices_are_all_adjusted(source: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(FILES[source][1])
    bars, reading = read_bars(tmp_path / "a.csv", format={"adjusted": True})
    assert reading.adjusted
    assert bars.close.tolist() == [184.93, 183.55]
    assert bars.open.tolist() == pytest.approx([187.15 * 184.93 / 185.64, 184.22 * 183.55 / 184.25], rel=1e-15)
    assert "Adj Close is there and not used" in read_bars(tmp_path / "a.csv")[1].notes[0]
    with pytest.raises(DataError, match="no column Adj Close"):
        load_bars(frame(), format={"adjusted": True})


def frame() -> pd.DataFrame:
    columns = dict(zip(("open", "high", "low", "close"), np.array(PRICES).T, strict=True))
    return pd.DataFrame({"date": pd.to_datetime(DAYS, unit="s"), **columns, "volume": VOLUMES})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_encodings_are_found_out(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(FILES["German"][1], encoding=encoding)
    assert_the_two(load_bars(tmp_path / "a.csv"))


def test_packed_files_are_read(tmp_path: Path) -> None:
    text = FILES["Kraken"][1]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("XBTUSD.csv", text)
    assert_the_two(load_bars(tmp_path / "a.zip"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert_the_two(load_bars(tmp_path / "a.csv.gz"))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(FILES["ccxt"][1].encode()))
    assert_the_two(load_bars(tmp_path / "a.json.gz"))
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("ETHUSD.csv", text)
    with pytest.raises(DataError, match=r"holds 2 files \(XBTUSD.csv, ETHUSD.csv\); a .zip must hold one"):
        load_bars(tmp_path / "a.zip")


def test_metatrader_5_has_two_volumes_and_neither_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.02\t00:00:00\t187.15\t188.44\t183.89\t185.64\t82488700\t0\t1\n"
        "2024.01.03\t00:00:00\t184.22\t185.88\t183.43\t184.25\t58414500\t0\t1\n"
    )
    bars, reading = read_bars(tmp_path / "a.csv")
    assert_the_two(bars, [0.0, 0.0])
    assert reading.format == "MetaTrader 5"
    assert "<TICKVOL>, <VOL> was not read" in reading.notes[0]
    assert_the_two(load_bars(tmp_path / "a.csv", format={"columns": {"volume": "<TICKVOL>"}}))


@pytest.mark.parametrize("times", ["date32", "us", "ns", "text"])
def test_parquet_of_polars_and_duckdb_is_read(times: str, tmp_path: Path) -> None:
    kinds = {
        "date32": pa.array([date(2024, 1, 2), date(2024, 1, 3)], pa.date32()),
        "us": pa.array([day * 10**6 for day in DAYS], pa.timestamp("us")),
        "ns": pa.array([day * 10**9 for day in DAYS], pa.timestamp("ns", "UTC")),
        "text": pa.array(["2024-01-02", "2024-01-03"], pa.large_string()),
    }
    names, columns = ("open", "high", "low", "close"), np.array(PRICES).T
    exact = {
        n: pa.array([Decimal(str(v)) for v in c], pa.decimal128(18, 2)) for n, c in zip(names, columns, strict=True)
    }
    whole = pa.table({"date": kinds[times], **exact, "volume": pa.array([int(v) for v in VOLUMES], pa.int64())})
    pq.write_table(whole, tmp_path / "a.parquet")
    assert_the_two(load_bars(tmp_path / "a.parquet"))
    assert_the_two(load_bars(whole))


class Exporting:
    """A frame of another library: it can only hand out an Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_frames_of_other_libraries_are_taken_as_they_are() -> None:
    expected = content_hash(load_bars(frame()))
    assert content_hash(load_bars(Exporting(pa.Table.from_pandas(frame(), preserve_index=False)))) == expected
    with pytest.raises(DataError, match="int is no file name and no frame"):
        load_bars(5)


def rows(text: str, header: str = "Date;Open;High;Low;Close;Volume\n") -> str:
    return header + text


REFUSED = [
    ("a.csv", rows("2024-01-02;1,234;1,500;1,100;1,300;5\n2024-01-03;1,234;1,500;1,100;1,300;5\n"), {},
     r"row 1: open = '1,234' could be 1234 \(thousands\) or 1.234 \(decimal comma\).*decimal = "),
    ("a.csv", rows("2024-01-02;1,5;2;1;1,5;5\n2024-01-03;1.5;2;1;1.5;5\n"), {}, "decimal comma.*decimal point"),
    ("a.csv", "2024-01-02,1,2,1,1,5\n2024-01-03,1,2,1,1,5\n", {}, "no header row.*line 1 reads '2024-01-02,1,2,1,1,5'"),
    ("a.csv", FILES["thousands"][1], {"separator": ","}, r"the separator looks like a tab; write '\\t'"),
    ("a.csv", "1704153600,187,183,188,185,8,1001\n1704240000,184,183,185,184,8,1\n", {}, "no header row"),
    ("a.csv", "Price,Close,Close,High,High,Low,Low,Open,Open\nTicker" + ",AAPL,MSFT" * 4 + "\nDate,,,,,,,,\n"
     "2024-01-02,1,1,1,1,1,1,1,1\n", {}, r"line 2: holds several instruments \(AAPL, MSFT\); save one file for each"),
    ("a.csv", "Date,Price1,H,L,Last,V\n2024-01-02,1,2,1,1,5\n", {}, r"missing column open.*columns = \{ open = "),
    ("a.csv", FILES["Yahoo"][1], {"columns": {"open": "Opening"}}, "no column 'Opening' .did you mean 'Open'"),
    ("a.csv", FILES["Yahoo"][1], {"columns": {"opne": "Open"}}, "'opne' is none of"),
    ("a.csv", FILES["Yahoo"][1], {"seperator": ","}, "format seperator: no such key.*did you mean 'separator'"),
    ("a.csv", FILES["Kraken"][1], {"columns": ["time", "open"]}, "2 names, but line 1 has 7 fields"),
    ("a.csv", FILES["Kraken"][1], {"epoch_unit": "h"}, "epoch_unit = 'h': must be one of s, ms, us, ns"),
    ("a.csv", FILES["Yahoo"][1], {"epoch_unit": "s"}, "is no number, but epoch_unit"),
    ("a.csv", FILES["Yahoo"][1], {"encoding": "klingon"}, "no such encoding"),
    ("a.csv", FILES["Yahoo"][1], {"decimal": ",", "thousands": ","}, "must differ"),
    ("a.csv", "<!DOCTYPE html><html><body>404</body></html>\n", {}, "is a web page, no table"),
    ("a.json", "{}", {}, "no list of candles"),
    ("a.json", "[[1, 2], [3]]", {}, "rows differ in length"),
    ("a.json", "[[1, 2", {}, "is no JSON"),
    ("a.zip", "PK", {}, "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "told", "reason"), REFUSED)
def test_what_is_not_clear_is_refused_with_what_reads_it(
    name: str, text: str, told: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=reason):
        load_bars(tmp_path / name, format=told)


def test_what_is_told_is_believed(tmp_path: Path) -> None:
    doubtful = tmp_path / "a.csv"
    doubtful.write_text(rows("2024-01-02;1,234;1,500;1,100;1,300;5\n2024-01-03;1,234;1,500;1,100;1,300;5\n"))
    assert load_bars(doubtful, format={"decimal": ","}).open.tolist() == [1.234, 1.234]
    assert load_bars(doubtful, format={"decimal": "."}).open.tolist() == [1234.0, 1234.0]
    bare = tmp_path / "b.csv"
    bare.write_text("2024-01-02 187.15 183.89 188.44 185.64\n2024-01-03 184.22 183.43 185.88 184.25\n")
    told = {"columns": ["date", "open", "low", "high", "close"], "separator": " "}
    assert_the_two(load_bars(bare, format=told), [0.0, 0.0])
    old = tmp_path / "c.csv"  # seconds before 1990 are no times that are guessed
    old.write_text("time,open,high,low,close\n315532800,1,2,1,1\n315619200,1,2,1,1\n")
    assert load_bars(old, format={"epoch_unit": "s"}).timestamp[0] == 315532800 * 10**9


def test_empty_rows_within_are_refused_or_told_to_be_left_out(tmp_path: Path) -> None:
    lines = FILES["Yahoo"][1].splitlines(keepends=True)
    (tmp_path / "a.csv").write_text("".join([*lines[:2], "2024-01-02,null,null,null,null,null,null\n", *lines[2:3]]))
    with pytest.raises(DataError, match="row 2: open is missing"):
        load_bars(tmp_path / "a.csv")
    bars, reading = read_bars(tmp_path / "a.csv", format={"drop_empty": True})
    assert_the_two(bars)
    assert reading.dropped == (2,)


def test_an_hour_the_clocks_show_twice_is_told_apart_by_the_order_of_the_rows() -> None:
    local = [f"2024-11-03 0{h}:30" for h in (0, 1, 1, 2)]  # New York goes back from 2:00 to 1:00: 4:30 UTC, 5:30 ...
    table = pd.DataFrame({"date": local, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0})
    with pytest.raises(DataError, match=r"happens twice.*give repeated_hour = 'in order'"):
        load_bars(table, timezone="America/New_York")
    expected = ["2024-11-03T04:30", "2024-11-03T05:30", "2024-11-03T06:30", "2024-11-03T07:30"]
    for order in (table, table[::-1]):
        bars = load_bars(order, timezone="America/New_York", format={"repeated_hour": "in order"})
        assert np.datetime_as_string(bars.timestamp.astype("datetime64[ns]"), "m").tolist() == expected


def test_all_bad_rows_are_named_at_once(tmp_path: Path) -> None:
    lines = ["date,open,high,low,close", *(f"2024-01-{d:02d},2,3,1,2" for d in range(1, 29))]
    lines[3], lines[5], lines[9] = "2024-01-03,x,3,1,2", "2024-01-05,2,1,3,2", "2024-02-31,2,3,1,2"
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        load_bars(tmp_path / "a.csv")
    assert [fault.row for fault in caught.value.faults] == [3, 5, 9]


def test_rows_are_counted_as_the_file_has_them_when_it_is_turned_round() -> None:
    turned = frame()[::-1].assign(close=[-1.0, 185.64])
    with pytest.raises(DataError, match="row 1: close is not above zero"):
        load_bars(turned)


def test_a_bad_number_is_no_reason_to_doubt_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(FILES["German"][1].replace("184,22", "18x"))
    with pytest.raises(DataError) as caught:
        load_bars(tmp_path / "a.csv")
    assert [tuple(fault) for fault in caught.value.faults] == [(2, "open is no number, got '18x'")]


@pytest.mark.parametrize("name", ["ibm", "aapl", "msft"])
def test_plain_files_keep_their_identity(name: str) -> None:
    """The hash by its definition: timestamps, then each column, as Python's own csv and float read them."""
    file = ROOT / "studies" / "data" / f"{name}_1d.csv"
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    days = np.array([row["date"] for row in rows], dtype="datetime64[ns]").astype(np.int64)
    columns = [np.array([float(row[key]) for row in rows]) for key in ("open", "high", "low", "close", "volume")]
    digest = hashlib.sha256(b"".join(column.tobytes() for column in (days, *columns)))
    assert content_hash(load_bars(file)) == digest.hexdigest()


HEADERS = st.sampled_from(["", "date,open,high,low,close\n", "Price,Open,High,Low\n", "Datum;Hoch;Tief;Schluss\n"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=HEADERS,
    body=st.text("0123456789.,;\t\n\r -/:'\"xTZ\x00€", max_size=80),
    ending=st.sampled_from(["csv", "json", "txt", "zip"]),
)
def test_whatever_a_file_holds_is_read_or_refused(header: str, body: str, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{ending}"
    file.write_text(header + body, encoding="utf-8", newline="")
    said = ""
    try:
        load_bars(file)
    except DataError as error:
        said = str(error)
    assert not said or (said.startswith(str(file)) and said.isprintable())


@given(
    st.lists(st.integers(1, 10**9), min_size=2, max_size=5),
    st.sampled_from([(".", ""), (".", ","), (",", ""), (",", "."), (".", "'"), (",", " ")]),
)
def test_numbers_are_read_as_they_were_written_or_refused(cents: list[int], style: tuple[str, str]) -> None:
    """Two digits after the decimals: nothing is in doubt, whatever the style."""
    decimal, thousands = style
    written = [
        f"{c // 100:,}{decimal}{c % 100:02d}".replace(",", thousands, (f"{c // 100:,}").count(",")) for c in cents
    ]
    days = pd.date_range("2024-01-01", periods=len(cents))
    table = pd.DataFrame({"date": days, **dict.fromkeys(("open", "high", "low", "close"), written)})
    assert load_bars(table).close.tolist() == [float(Decimal(c) / 100) for c in cents]


def test_json_of_objects_is_read_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(frame().assign(date=["2024-01-02", "2024-01-03"]).to_dict("records")))
    assert_the_two(load_bars(tmp_path / "a.json"))
