"""Universes: a folder, a pattern, or one long table, whose instruments trade on a calendar of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.calendar import own_bars
from engine.data.symbols import read_symbols
from engine.errors import DataError
from optim.errors import SpecError
from optim.problem.plan import Plan, make_plan
from optim.spec.study import load_spec
from optim.verdict.markets import Market, on_market
from tests.studies import write_study

N = 120
ROWS = {
    "aa": slice(None),
    "bb": slice(40, None),
    "cc": slice(0, 70),
    "dd": slice(110, None),
}  # dd: in the hold-out only


@pytest.fixture(scope="module")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same four instruments as files of a folder and as one table, its rows by day."""
    folder = tmp_path_factory.mktemp("universe")
    (folder / "files").mkdir()
    (folder / "files" / "notes.md").write_text("no bars")
    rng, parts = np.random.default_rng(0), []
    for name, rows in ROWS.items():
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, N))).round(3)
        days = pd.bdate_range("2015-01-01", periods=N).strftime("%Y-%m-%d")
        frame = pd.DataFrame({"date": days, "open": close, "high": close, "low": close, "close": close, "volume": 9.0})
        frame.iloc[rows].to_csv(folder / "files" / f"{name}.csv", index=False)
        parts.append(frame.iloc[rows].assign(ticker=name))
    pd.concat(parts).sort_values(["date", "ticker"]).to_csv(folder / "long.csv", index=False)
    return folder


def plan_of(universe: Path, tmp_path: Path, data: dict[str, Any], **backtest: Any) -> Plan:
    given = {key: str(universe / value) if key == "path" else value for key, value in data.items()}
    study = write_study(
        tmp_path,
        data={"align": "union", **given},
        backtest={"portfolio": True, **backtest},
        evaluation={"holdout": 0.2},
    )
    return make_plan(load_spec(study))


def test_folder_pattern_and_table_are_one_universe(universe: Path, tmp_path: Path) -> None:
    plans = [
        plan_of(universe, tmp_path, data)
        for data in ({"path": "files"}, {"path": "files/*.csv"}, {"path": "long.csv", "symbol_column": "ticker"})
    ]
    assert len({repr(plan.fingerprint()["data"]) for plan in plans}) == 1
    for plan in plans:
        assert [data.name for data in plan.datasets] == list(ROWS)
        assert [data.n_bars for data in plan.datasets] == [120, 80, 70, 10]
        assert plan.searched[0].stop == 96  # of the union
        assert all(bars.timestamp is plan.job.instruments[0].timestamp for bars in plan.job.instruments)
    frame = pd.read_csv(universe / "long.csv").rename(columns={"ticker": "date2"})
    assert [len(bars.close) for _, bars, _ in read_symbols(frame, "date2")] == [120, 80, 70, 10]


def test_a_shuffled_market_has_the_same_holes(universe: Path, tmp_path: Path) -> None:
    plan = plan_of(universe, tmp_path, {"path": "files"})
    market = on_market(plan, Market("single", 0)).job.instruments
    assert [len(own_bars(bars).close) for bars in market] == [96, 56, 70, 0]
    assert not np.array_equal(market[1].close[40:], plan.job.instruments[1].close[40:96])


@pytest.mark.parametrize(
    ("data", "backtest", "sentence"),
    [
        ({"path": "files", "align": "refuse"}, {}, "set [data] align = 'union'"),
        ({"path": "files"}, {"portfolio": False}, "set [backtest] portfolio = true"),
        ({"path": "none/*.csv"}, {}, "no file matches"),
        ({"path": "files/*.md"}, {}, "cannot tell the format"),
        ({"path": "long.csv", "symbol_column": "tick"}, {}, "[data] symbol_column = 'tick': "),
        ({"path": "long.csv", "symbol_column": "tick"}, {}, "has no column 'tick'; did you mean 'ticker'?"),
        ({"path": "files", "symbol_column": "ticker"}, {}, "path names 4 files"),
        ({"path": "files", "start": "2020"}, {}, "no instrument has 2 bars from start 2020"),
        ({"path": "files"}, {"tick_size": 1000.0}, "aa.csv has"),
    ],
)
def test_what_is_no_universe_is_refused_in_one_sentence(
    universe: Path, tmp_path: Path, data: dict[str, Any], backtest: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan_of(universe, tmp_path, data, **backtest)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_ended_before_the_start_is_left_out_and_said(universe: Path, tmp_path: Path) -> None:
    plan = plan_of(universe, tmp_path, {"path": "long.csv", "symbol_column": "ticker", "start": "2015-04-20"})
    assert [data.name for data in plan.datasets] == ["aa", "bb", "dd"]
    assert "left out for want of bars between start and end: cc" in plan.notes


def test_symbols_are_texts_as_they_are_written(tmp_path: Path) -> None:
    row = "2015-01-0{},1,1,1,1,1,{}\n"
    text = "date,open,high,low,close,volume,isin\n" + "".join(
        row.format(d, s) for d in (1, 2) for s in ("0700", "0005")
    )
    (tmp_path / "t.csv").write_text(text)
    assert [symbol for symbol, *_ in read_symbols(tmp_path / "t.csv", "isin")] == ["0005", "0700"]
    (tmp_path / "t.csv").write_text(text + "2015-01-03,1,1,1,1,1,\n")
    with pytest.raises(DataError, match=r"row 5 has no symbol"):
        list(read_symbols(tmp_path / "t.csv", "isin"))
    (tmp_path / "t.csv").write_text(text + row.format(2, "0700"))
    found = {symbol: bars for symbol, bars, _ in read_symbols(tmp_path / "t.csv", "isin")}
    assert "t.csv: 0700: row 3" in str(found["0700"])
    with pytest.raises(DataError, match=r"t\.csv: has no column 'isn'; did you mean 'isin'"):
        list(read_symbols(tmp_path / "t.csv", "isn"))


def test_a_table_whose_numbers_are_texts_is_read_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decimal commas: pandas takes them for texts, and the file is read as it is written. For all symbols together."""
    rows = [f"2015-01-0{d};1,5;1,5;1,5;1,5;9;{name}" for d in (1, 2, 3) for name in ("aa", "bb", "cc", "dd")]
    (tmp_path / "t.csv").write_text("\n".join(("date;open;high;low;close;volume;ticker", *rows)) + "\n")
    reads, read_csv = [], pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *args, **given: reads.append(1) or read_csv(*args, **given))
    found = list(read_symbols(tmp_path / "t.csv", "ticker"))
    assert [bars.close.tolist() for _, bars, _ in found] == [[1.5, 1.5, 1.5]] * 4
    assert len(reads) == 2
