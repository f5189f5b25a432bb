"""`optim data`, and what `check` and `run` say of strange bars."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim import Study
from optim.cli.parser import main
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, ROOT, write_study


def prices(folder: Path, **columns: Any) -> Path:
    """Two years of daily bars that wave, with other columns in place of some or beside them."""
    close = 100 + np.resize([0.0, 0.5, 1.0, 0.5], 500)
    days = pd.bdate_range("2020-01-01", periods=500).strftime("%Y-%m-%d")
    table = {"Date": days, "Open": close, "High": close, "Low": close, "Close": close, "Volume": 5.0} | columns
    pd.DataFrame(table).to_csv(folder / "bars.csv", index=False)
    return folder / "bars.csv"


def test_a_good_file_is_told_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(IBM)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "file      ibm_1d.csv: CSV, separated by commas, decimal point"
    assert lines[2] == "bars      3,270 of 1 day, 2000-03-01 to 2013-03-01 UTC"
    assert "the longest is 1 week, 2001-09-10 to 2001-09-17" in lines[5]  # the exchange was closed after the attacks
    assert set(lines[-1].strip()) <= set("▁▂▃▄▅▆▇█")
    assert len(lines[-1]) == 80


def test_a_split_is_wrong_and_an_unused_column_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    close = (100 + np.resize([0.0, 0.5, 1.0, 0.5], 500)) * np.where(np.arange(500) < 100, 4.0, 1.0)
    file = prices(tmp_path, Open=close, High=close, Low=close, Close=close, **{"Adj Close": close / 4})
    assert main(["data", str(file)]) == 1
    said = capsys.readouterr().out
    assert "wrong     2020-05-20: the price changes by -75% in one bar (a 4:1 split?)" in said
    assert "note      Adj Close is there and not used" in said
    assert main(["data", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [jump["split"] for jump in told["jumps"]] == ["4:1"]
    assert told["n_bars"] == 500
    assert told["periods_per_year"] == 252


def test_all_bad_rows_are_listed_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = prices(tmp_path)
    lines = file.read_text().splitlines()
    lines[3], lines[7] = lines[3].replace(",5.0", ",many"), lines[7].replace(",5.0", ",-1")
    lines[9] = lines[8]
    file.write_text("\n".join(["a banner", *lines[:5], "", *lines[5:]]))
    assert main(["data", str(file)]) == 1
    said = capsys.readouterr().out
    assert "3 rows cannot be used" in said
    assert "line 5: volume is no number, got 'many'" in said
    assert "line 10: volume is negative, got -1.0" in said
    assert "line 12: its timestamp is that of the row before (duplicate: keep one)" in said
    assert main(["data", str(file), "--json"]) == 1
    assert [row["line"] for row in json.loads(capsys.readouterr().out)["bad_rows"]] == [5, 10, 12]


def test_what_is_told_on_the_command_line_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("01/02/2024\t1,5\t2\t1\t1,5\n01/03/2024\t1,5\t2\t1\t1,5\n")
    assert main(["data", str(file)]) == 2
    assert "no header row?" in capsys.readouterr().err
    told = ["--columns", "date,open,high,low,close", "--date-format", "%d/%m/%Y", "--separator", "tab"]
    assert main(["data", str(file), *told]) == 0
    assert "2024-02-01 to 2024-03-01" in capsys.readouterr().out
    assert main(["data", str(file), "--columns", "open=A,B"]) == 2
    assert "'B' has no =" in capsys.readouterr().err
    assert main(["data", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().err


def notes_of(folder: Path, **tables: Any) -> tuple[str, ...]:
    return make_plan(load_spec(write_study(folder, **tables))).notes


def test_a_study_hears_of_its_searched_bars_only(tmp_path: Path) -> None:
    close = 100 + np.resize([0.0, 0.5, 1.0, 0.5], 500)

    def split(at: int) -> tuple[str, ...]:
        moved = close * np.where(np.arange(500) < at, 4.0, 1.0)
        file = prices(tmp_path, Open=moved, High=moved, Low=moved, Close=moved)
        return notes_of(tmp_path, data={"path": str(file)}, evaluation={"holdout": 0.2})

    (note,) = split(100)
    assert "-75% in one bar (a 4:1 split?)" in note
    assert split(450) == ()  # in the hold-out, which nobody has seen


def test_a_study_hears_of_missing_volumes_where_they_matter(tmp_path: Path) -> None:
    data = {"path": str(prices(tmp_path, Volume=0.0))}
    assert notes_of(tmp_path, data=data) == ()
    (note,) = notes_of(tmp_path, data=data, backtest={"max_volume_share": 0.1})
    assert "no bar has a volume, but max_volume_share is on" in note
    (note,) = notes_of(tmp_path, data={"path": str(prices(tmp_path, Volume=np.arange(500) % 5))})
    assert "have no volume" in note


def test_a_study_is_told_how_its_file_is_written(tmp_path: Path) -> None:
    file = prices(tmp_path, **{"Adj Close": 50.0})
    (note,) = notes_of(tmp_path, data={"path": str(file)})
    assert "adjusted = true" in note
    spec = load_spec(write_study(tmp_path, data={"path": str(file), "format": {"adjusted": True}}))
    assert make_plan(spec).notes == ()
    assert set(make_plan(spec).job.instruments[0].close) == {50.0}


def test_check_and_run_say_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = prices(tmp_path, **{"Adj Close": 50.0})
    path = write_study(tmp_path, data={"path": str(file)}, validation={"quick": 0})
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.count("Adj Close is there and not used") == 1
    said: list[str] = []

    class Listening:
        def say(self, text: str) -> None:
            said.append(text)

    from optim.report.view import Quiet

    view = type("Listening", (Listening, Quiet), {})()
    Study.from_toml(path, n_trials=2, n_jobs=1).run(view)
    assert sum("Adj Close is there and not used" in text for text in said) == 1


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(ROOT / "studies" / "data" / "ibm_1d.csv")]) == 0
    printed = capsys.readouterr().out.rstrip()
    assert f"```\n{printed}\n```" in (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_a_bad_row_does_not_change_what_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = pd.date_range("2024-01-01", periods=40)[::-1].strftime("%Y-%m-%d")
    lines = ["Datum;Eröffnung;Hoch;Tief;Schlusskurs", *(f"{day};2,5;3,5;1,5;2,25" for day in days)]
    said = []
    for bad in (False, True):
        if bad:
            lines[9] = lines[8]
        (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
        assert main(["data", str(tmp_path / "a.csv")]) == int(bad)
        said.append(capsys.readouterr().out.splitlines())
    assert said[0][0] == "file      a.csv: CSV, separated by semicolons, decimal comma, newest first, turned round"
    assert said[1][:2] == said[0][:2]
    assert said[1][2].startswith("wrong     1 row cannot be used")
    assert "line 9: its timestamp is that of the row after (duplicate: keep one)" in said[1][3]


def test_a_folder_and_a_long_table_are_told_line_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = prices(tmp_path)
    (tmp_path / "worse.csv").write_text(file.read_text().replace("101.0,101.0,101.0,101.0", "101.0,1.0,101.0,101.0", 1))
    assert main(["data", str(tmp_path)]) == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good == "bars.csv   500 bars of 1 day, 2020-01-01 to 2021-11-30 UTC"
    assert bad == "worse.csv  wrong: row 3: high is below low, got 1.0"
    assert main(["data", str(tmp_path), "--json"]) == 1
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["bars.csv", "worse.csv"]
    frame = pd.read_csv(file)
    table = pd.concat([frame.assign(symbol="B"), frame[:100].assign(symbol="A")])
    table.to_parquet(tmp_path / "all.parquet")
    long = ["data", str(tmp_path / "all.parquet")]
    assert main([*long, "--symbol-column", "symbol"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "A  100 bars of 1 day, 2020-01-01 to 2020-05-19 UTC",
        "B  500 bars of 1 day, 2020-01-01 to 2021-11-30 UTC",
    ]
    assert main(long) == 1
    assert (
        'note      column symbol has 2 symbols, and all rows are read as one; symbol_column = "symbol" reads each'
        in (capsys.readouterr().out)
    )
    assert main([*long, "--symbol-column", "sym"]) == 2
    assert "has no column 'sym'; did you mean 'symbol'?" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["data", str(tmp_path / "none")]) == 2
    assert "no file of bars is in this folder" in capsys.readouterr().err


def test_a_column_of_splits_is_offered_where_one_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    close = (100 + np.resize([0.0, 0.5, 1.0, 0.5], 500)) * np.where(np.arange(500) < 100, 2.0, 1.0)
    splits = {"Stock Splits": np.where(np.arange(500) == 100, 2.0, 0.0)}
    file = prices(tmp_path, Open=close, High=close, Low=close, Close=close, **splits)
    offer = 'use adjusted prices, or give [data] splits = "Stock Splits"'
    assert main(["data", str(file)]) == 1
    assert offer in capsys.readouterr().out
    (note,) = notes_of(tmp_path, data={"path": str(file)})
    assert offer in note
    assert notes_of(tmp_path, data={"path": str(file), "splits": "Stock Splits"}) == ()


def test_a_feature_without_a_value_on_the_searched_bars_is_said(tmp_path: Path) -> None:
    """Its first value is known on the 401st of 500 bars: the last fifth, which is the hold-out."""
    data: dict[str, Any] = {"path": str(prices(tmp_path)), "features": {"late": {"path": "late.csv", "lag": "0m"}}}
    days = pd.bdate_range("2020-01-01", periods=500)

    def said(first: int) -> tuple[str, ...]:
        pd.DataFrame({"date": days[first:], "score": 1.0}).to_csv(tmp_path / "late.csv", index=False)
        return notes_of(tmp_path, data=data, evaluation={"holdout": 0.2})

    (note,) = said(401)
    assert "feature late has no value on any searched bar, 2020-01-01 to 2021-07-13" in note
    assert said(300) == ()


BLANK = b"\n \n"
EMPTY = [(name, b"") for name in ("bars.csv", "bars.csv.gz", "bars.parquet", "bars.json", "bars.zip", "bars.feather")]


@pytest.mark.parametrize(
    ("name", "content"), [*EMPTY, ("bars.csv", BLANK), ("bars.csv.gz", gzip.compress(BLANK, mtime=0))]
)
def test_an_empty_file_is_told_in_our_words(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["data", str(tmp_path / name)]) == 2
    assert f"{name}: is empty: it needs a line with the names of its columns" in capsys.readouterr().err
