"""optim backtest: whose parameters, which bars, and that nothing else is read or written over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine import BacktestEngine, load_bars
from engine.data.bars import Bars, slice_bars
from engine.metrics.catalogue import METRICS
from optim.api import Study
from optim.cli.parser import main
from optim.errors import SpecError
from optim.report.backtested import Stretch
from tests.studies import IBM, ROOT, load, write_study

SEARCHED = 2616  # of the 3270 bars of IBM; a fifth is the hold-out
ENGINE = BacktestEngine(fee_bps=10.0)
MINE = {"fast_window": 20, "slow_window": 50}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study file; not to be written to."""
    path = write_study(tmp_path_factory.mktemp("finished"))
    Study.from_toml(path).run()
    return path


@pytest.fixture(scope="module")
def searched() -> Bars:
    return slice_bars(load_bars(IBM), 0, SEARCHED)


def told(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    assert main(["backtest", str(path), "--json", *flags]) == 0
    return dict(json.loads(capsys.readouterr().out))


def refused(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["backtest", str(path), *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_it_is_the_engines_backtest_of_the_searched_bars(
    finished: Path, searched: Bars, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ENGINE.run_realistic(searched, "ma_crossover", {**MINE, "ma_type": "sma"})
    study = Study.from_toml(finished)
    assert study.backtest(params=MINE).equity.equals(expected.equity)
    said = told(finished, capsys, "--set", "fast_window=20", "--set", "slow_window = 50")
    assert said["metrics"] == {k: v if v == v else None for k, v in expected.metrics.items()}
    assert len(said["trades"]) == len(expected.trades)
    assert [one["price"] for one in said["fills"]] == list(expected.fills["price"])
    assert (said["trial"], said["n_bars"], said["instrument"]) == (None, SEARCHED, "ibm_1d")


def test_a_number_looks_as_it_does_in_show(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", str(finished), "--trial", "0"]) == 0
    told = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.split(" ")[0] in METRICS)
    assert main(["show", str(finished), "--trial", "0"]) == 0
    rows = (line.strip("│ ").split("│") for line in capsys.readouterr().out.splitlines())
    shown = {row[0].strip(): row[-1].strip() for row in rows if row[0].strip() in METRICS}
    assert told == shown
    assert told.keys() == METRICS.keys()


def test_the_winner_is_what_the_summary_shows_of_it(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.from_toml(finished)
    summary = study.summary()
    assert summary.best is not None
    assert summary.winner.searched is not None
    assert study.backtest().metrics == summary.winner.searched.metrics
    said = told(finished, capsys)
    assert said["trial"] == summary.best.number
    other = next(trial for trial in (0, 1) if trial != summary.best.number)
    assert (
        told(finished, capsys, "--trial", str(other))["params"].items() >= load(finished.parent)[other].params.items()
    )


def test_a_window_warms_up_on_the_bars_before_it(
    finished: Path, searched: Bars, capsys: pytest.CaptureFixture[str]
) -> None:
    """2005 to June 2008, both inclusive."""
    times = searched.timestamp.astype("datetime64[ns]").astype("datetime64[D]").astype(str)
    start, stop = sum(times < "2005-01-01"), sum(times < "2008-07-01")
    params = {**MINE, "ma_type": "sma"}
    expected = ENGINE.run_realistic(slice_bars(searched, 0, stop), "ma_crossover", params, start=start)
    on = Stretch(start="2005", end="2008-06")
    assert Study.from_toml(finished).backtest(params=MINE, on=on).equity.equals(expected.equity)


@pytest.mark.parametrize("window", [("--end", "2013"), ("--start", "2011"), ("--end", "2010-07-27")])
def test_the_hold_out_is_not_reached(window: tuple[str, str], finished: Path, capsys: Any) -> None:
    said = refused(finished, capsys, *window)
    assert "reaches into the hold-out" in said
    assert "the searched bars end on 2010-07-26" in said


def test_parameters_come_back_from_what_was_printed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    winner = told(finished, capsys)
    block, result, again = tmp_path / "best.toml", tmp_path / "show.json", tmp_path / "backtest.json"
    main(["show", str(finished)])
    shown = capsys.readouterr().out
    block.write_text(shown[shown.index("# s, trial") : shown.index("Look at it")])
    main(["show", str(finished), "--json"])
    result.write_text(capsys.readouterr().out)
    again.write_text(json.dumps(winner))
    for file in (block, result, again):
        assert told(finished, capsys, "--params", str(file)) == {**winner, "trial": None}


def test_an_account_rule_is_a_parameter_too(finished: Path, searched: Bars) -> None:
    expected = BacktestEngine(fee_bps=10.0, stop_pct=0.05).run_realistic(searched, "ma_crossover", MINE)
    assert Study.from_toml(finished).backtest(params={**MINE, "stop_pct": 0.05}).equity.equals(expected.equity)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--set", "fast_windw=5"], "did you mean 'fast_window'"),
        (["--set", "fast_window=5"], "slow_window has no value"),
        (["--set", "fast_window"], "NAME=VALUE"),
        (["--set", "fast_window=5", "--set", "fast_window=6"], "given twice"),
        (["--set", "fast_window=5.5", "--set", "slow_window=50"], "must be a whole number"),
        (["--set", "fast_window=60", "--set", "slow_window=50"], "breaks the rule fast_window < slow_window"),
        (["--set", "fee_bps=-1", "--set", "fast_window=5", "--set", "slow_window=50"], "must be a finite number"),
        (["--params", "nowhere.toml"], "no such file"),
        (["--trial", "24"], "the record has trials 0 to 23"),
        (["--instrument", "ibm"], "did you mean 'ibm_1d'"),
        (["--start", "2005", "--end", "2004"], "leaves fewer than 2 bars"),
        (["--start", "soon"], "is no date"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(flags: list[str], sentence: str, finished: Path, capsys: Any) -> None:
    assert sentence in refused(finished, capsys, *flags)


def test_parameters_outside_the_space_are_run_and_said(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", str(finished), "--set", "fast_window=60", "--set", "slow_window=90"]) == 0
    out, err = capsys.readouterr()
    assert "note: outside the search space: fast_window = 60: must be from 5 to 50" in err
    assert max(map(len, out.splitlines())) <= 80


def test_a_file_of_another_strategy_is_refused(finished: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "best.toml").write_text('[strategy]\nname = "momentum"\n[strategy.fixed]\nlookback = 5\n')
    assert "is of strategy 'momentum'" in refused(finished, capsys, "--params", str(tmp_path / "best.toml"))


def test_files_go_into_a_new_folder_only(finished: Path, tmp_path: Path, capsys: Any) -> None:
    target = tmp_path / "mine"
    told(finished, capsys, "--out", str(target))
    assert (target / "plots" / "equity_curve.png").read_bytes().startswith(b"\x89PNG")
    before = {file: file.read_bytes() for file in target.rglob("*") if file.is_file()}
    assert "not an empty folder" in refused(finished, capsys, "--out", str(target))
    assert {file: file.read_bytes() for file in target.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_fills_of_a_trial_are_exported(finished: Path, tmp_path: Path, capsys: Any, ending: str) -> None:
    target = tmp_path / f"fills.{ending}"
    for _ in range(2):  # over an earlier one
        assert main(["export", str(finished), "--fills", "3", "-o", str(target)]) == 0
    fills = Study.from_toml(finished).backtest(3).fills
    assert f"{len(fills)} fills of trial 3 written to" in capsys.readouterr().out
    found = pd.read_csv(target, parse_dates=["time"]) if ending == "csv" else pd.read_parquet(target)
    pd.testing.assert_frame_equal(found, fills, check_dtype=False)
    (mine := tmp_path / f"mine.{ending}").write_text("time,price\n")
    assert main(["export", str(finished), "--fills", "3", "-o", str(mine)]) == 2
    assert "holds no fills; name another" in capsys.readouterr().err
    assert mine.read_text() == "time,price\n"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--fills", "3", "-o", "x.toml"], "fills are a table; the ending must be .csv or .parquet"),
        (["--fills", "24", "-o", "x.csv"], "the record has trials 0 to 23"),
        (["--fills", "3", "--instrument", "ibm", "-o", "x.csv"], "did you mean 'ibm_1d'"),
        (["--instrument", "ibm_1d", "-o", "x.csv"], "is of --fills N"),
    ],
)
def test_fills_that_cannot_be_exported_are_one_sentence(
    flags: list[str], sentence: str, finished: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(finished), *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), sentence in err) == ("", 1, True), err
    assert not [*tmp_path.iterdir()]


def test_of_several_instruments_one_is_named(tmp_path: Path, searched: Bars) -> None:
    (tmp_path / "other.csv").write_text("\n".join(IBM.read_text().splitlines()[:1001]))
    study = Study.from_toml(write_study(tmp_path, data={"path": None, "paths": [str(IBM), "other.csv"]}))
    with pytest.raises(SpecError, match="2 instruments; name one: ibm_1d, other"):
        study.backtest(params=MINE)
    expected = ENGINE.run_realistic(slice_bars(searched, 0, 800), "ma_crossover", MINE)
    found = study.backtest(params=MINE, on=Stretch("other"))
    assert found.equity.equals(expected.equity)
    assert found.instrument == "other"


def test_a_trial_or_a_file_with_some_values_changed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as all of its values given one by one."""
    best = Study.from_toml(finished).best
    assert best is not None
    one_by_one = [word for name, value in best.params.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    (tmp_path / "best.json").write_text(json.dumps({"params": best.params}))
    for own in (["--trial", str(best.number)], ["--params", str(tmp_path / "best.json")]):
        changed = told(finished, capsys, *own, "--set", "fee_bps=77.0")
        assert changed == told(finished, capsys, *one_by_one, "--set", "fee_bps=77.0")
        assert changed["metrics"]["fees_paid"] > told(finished, capsys, *own)["metrics"]["fees_paid"]
    assert main(["backtest", str(finished), "--trial", str(best.number), "--set", "fee_bps=77.0"]) == 0
    assert f"trial {best.number} with fee_bps=77.0" in capsys.readouterr().out


def test_a_reader_who_has_enough_sees_no_traceback_and_changes_no_exit_code(finished: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "optim", "backtest", str(finished), "--json"],
            stdout=closed, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
