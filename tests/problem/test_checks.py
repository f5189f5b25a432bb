"""What can be known before the first trial is refused before anything is written, by `check` and `run` alike."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optim.cli.parser import main
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, SPACE, load, run_here, write_study

INT = {"type": "int", "low": 1, "high": 9}
STEPPED = {"type": "float", "low": 0.0, "high": 0.1, "step": 0.02}
CONDITIONAL = {
    "parameters": {
        "fast_window": {"type": "int", "low": 5, "high": 50, "step": 5},
        "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
        "slow_window": {"type": "int", "low": 60, "high": 90, "when": 'ma_type == "ema"'},
        "stop_pct": STEPPED,
    }
}
SPACED = {"search_space": CONDITIONAL, "fixed": {}}


def refused(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """What `run` says; `check` says the same; nothing is written."""
    before = sorted(path.parent.rglob("*"))
    assert main(["run", str(path), *more]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert len(errors) < 500
    assert str(path) in errors
    if not more:
        assert main(["check", str(path)]) == 2
        assert capsys.readouterr().err == errors
    assert sorted(path.parent.rglob("*")) == before
    return errors


def enqueue(row: dict[str, Any]) -> dict[str, Any]:
    return {"study": {"enqueue": [row]}, "strategy": SPACED}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (enqueue({"fast_window": 500}), r"\[\[study.enqueue\]\] fast_window = 500: must be from 5 to 50"),
        (enqueue({"fast_window": 7}), "fast_window = 7: is between two steps: low = 5, step = 5"),
        (enqueue({"fast_window": 10.0}), "must be a whole number"),
        (enqueue({"fast_window": True}), "must be a whole number"),
        (enqueue({"fast_window": "ten"}), "must be a whole number"),
        (enqueue({"stop_pct": "off"}), "must be a number"),
        (enqueue({"stop_pct": 0.03}), "is between two steps"),
        (enqueue({"ma_type": "hull"}), r"ma_type = 'hull': must be one of \['sma', 'ema'\]"),
        (enqueue({"ma_type": "sma", "slow_window": 70}), "slow_window = 70: exists only when .*; leave it out"),
        (enqueue({"slow_window": 70}), "give ma_type too"),
        (enqueue({"seed": 3}), r"seed stands below \[\[study.enqueue\]\], and TOML puts it into that table"),
        ({"study": {"enqueue": [{"sampler": {"name": "RandomSampler"}}]}}, r"sampler stands below \[\[study.enqueue\]"),
        ({"study": {"enqueue": [{"fast_window": 20, "slow_window": 10}]}}, "breaks the constraint 'fast_window < "),
        ({"study": {"objective": "min(sharpe_ratio)", "direction": "maximize"}}, "calls min with 1 arguments"),
        ({"evaluation": {"constraints": ["sharpe_ratio in 3"]}}, "looks for something in the number"),
        ({"evaluation": {"constraints": ["'a' < sharpe_ratio"]}}, "compares the text"),
        ({"strategy": {"fixed": {"fee_bps": 3.0}}}, r"fee_bps is an account rule.*move it to \[backtest\]"),
        ({"strategy": {"fixed": {"ma_type": 3}}}, r"\[strategy.fixed\] ma_type = 3: must be"),
        (
            {"strategy": {"search_space": {"parameters": {**SPACE["parameters"], "stop_pct": {**INT}}}}},
            r"\[parameters.stop_pct\] reaches 1: .*below 1",
        ),
        ({"strategy": {"name": "zscore_pairs", "search_space": None, "fixed": None}}, "portfolio = true"),
        (
            {
                "strategy": {"name": "zscore_pairs", "search_space": None, "fixed": None},
                "backtest": {"portfolio": True},
            },
            "trades 2 instruments, but .data. gives 1",
        ),
        ({"study": {"sampler": {"name": "GPSampler"}}}, "GPSampler needs torch, which is not installed"),
        ({"study": {"sampler": {"name": "TPESampler", "n_ei_candidates": "x"}}}, "'x': must be a whole"),
        ({"study": {"sampler": {"name": "TPESampler", "gamma": 3}}}, "gamma = 3: cannot be given in a study file"),
        ({"study": {"sampler": {"name": "TPESampler", "n_ei_candidates": -3}}}, "sampler: TPESampler"),
        ({"study": {"sampler": {"name": "TPESampler", "n_ei_candidates": 10**9}}}, "must not exceed 1,000,000"),
        ({"study": {"sampler": {"name": "PartialFixedSampler", "base_sampler": 3}}}, "= 3: must be a table"),
        ({"study": {"sampler": {"name": "CmaEsSampler", "sigma0": "wide"}}}, "sigma0 = 'wide': must be a number"),
        ({"study": {"pruner": {"name": "MedianPruner", "n_warmup_steps": 0.5}}}, "must be a whole number"),
        ({"study": {"pruner": {"name": "PercentilePruner", "percentile": 300.0}}}, "PercentilePruner refused"),
        ({"study": {"pruner": {"name": "PatientPruner", "wrapped_pruner": {"name": "X"}}}}, "unknown pruner"),
        ({"study": {"name": "x" * 300}}, "at most 100 characters"),
        ({"study": {"storage": "."}}, "is a folder"),
        ({"study": {"storage": "x" * 6000}}, "too long for a file name"),
        ({"study": {"storage": "study.toml"}}, "is the file of the study itself; the record needs one of its own"),
        ({"study": {"storage": "study.toml/optuna.journal"}}, "is a file, no folder"),
        ({"study": {"storage": "sqlite://"}}, "write sqlite:///FILE"),
        ({"data": {"path": "x" * 6000}}, "no such file"),
        ({"data": {"start": "tomorrow-ish"}}, r"\[data\] start = 'tomorrow-ish'"),
        ({"strategy": {"search_space": "."}}, "cannot be read: Is a directory"),
        ({"strategy": {"name": "ma_crosover", "search_space": None}}, "did you mean 'ma_crossover'"),
        ({"strategy": {"search_space": {"parameters": {"fast_window": {"type": []}}}}}, r"type must be .* but is \[\]"),
        ({"backtest": {"stop_loss": 0.02}}, "did you mean 'stop_pct'"),
        ({"backtest": {"commission": 0.02}}, "did you mean 'fee_bps'"),
        ({"backtest": {"leverage": 2}}, "did you mean 'max_leverage'"),
        ({"backtest": {"cash": 2}}, "did you mean 'initial_cash'"),
        ({"backtest": {"fee_bps": "x" * 5000}}, "must be a number"),
    ],
)  # fmt: skip
def test_is_refused(changes: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    errors = refused(write_study(tmp_path, **changes), capsys)
    assert re.search(message, errors), errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nperiods_per_year = inf", r"\[data\] periods_per_year = inf: must be a finite number"),
        ("[strategy.fixed]\nx = nan", r"\[strategy\] fixed.x = nan: must be a finite"),
        (
            "[strategy.search_space.parameters.stop_pct]\nchoices = [0.05, nan]",
            "choices = nan: must be a finite number",
        ),
        ("a = " + "[" * 500, "nested too deep"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("a = 0x" + "f" * 5000, "64-bit"),
        ('a = "\\u0000"', "may not contain the character NUL"),
        ("[study]\nname = 2020-01-01", "study"),
        ("", r"\[study\]: the table is missing"),
        ("study = 3", r"\[study\]: must be a table"),
    ],
)
def test_a_file_that_is_no_study_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    assert re.search(message, refused(path, capsys))


def test_binary_files_and_folders_are_no_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"\x80\x00\xff")
    assert "is no UTF-8 text: byte 0 is 128" in refused(path, capsys)
    assert main(["check", str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err
    assert main(["check", "x" * 6000]) == 2
    assert len(capsys.readouterr().err) < 300


def test_a_date_where_a_text_belongs_is_told_to_be_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace('name = "s"', "name = 2020-01-01"))
    assert "[study] name = 2020-01-01: must be a text, not a date or time: put it into quotes" in refused(path, capsys)


def test_instruments_that_tick_differently_are_named_with_their_bars(tmp_path: Path) -> None:
    times = {"hours": ("2020-01-01", "1h"), "days": ("2010-01-01", "B")}
    for name, (start, step) in times.items():
        when = pd.date_range(start, periods=600, freq=step)
        pd.DataFrame({"date": when, **dict.fromkeys(("open", "high", "low", "close"), 5.0)}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    path = write_study(tmp_path, data={"path": None, "paths": ["hours.csv", "days.csv"]})
    with pytest.raises(SpecError) as error:
        make_plan(load_spec(path))
    assert "'hours.csv' has about 8760 bars a year and 'days.csv' 252; make them alike" in str(error.value)
    assert "periods_per_year = " not in str(error.value)


def test_a_function_that_is_not_in_the_file_is_called_that(tmp_path: Path) -> None:
    """Not the search space that would be beside it, whose name is the function's."""
    (tmp_path / "mine.py").write_text("def fixed(df, params):\n    return df.close * 0\n")
    for study in ({}, {"enqueue": [{"x": 3}]}):
        path = write_study(
            tmp_path, study=study, strategy={"name": "mine.py:fixxed", "search_space": None, "fixed": {}}
        )
        said = r"\[strategy\] name = 'mine.py:fixxed': .*mine.py has no function fixxed \(did you mean fixed\?\)"
        with pytest.raises(SpecError, match=said):
            make_plan(load_spec(path))


def test_from_is_held_against_the_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tmp_path / "best.toml"
    best.write_text("[strategy.fixed]\nfast_window = 20\nslow_window = 5000\n")
    assert main(["run", str(write_study(tmp_path)), "--from", str(best)]) == 2
    errors = capsys.readouterr().err
    assert f"--from {best}: [strategy.fixed] slow_window = 5000: must be from 10 to 200" in errors
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.toml", "study.toml"]


def two_files(folder: Path, skip: int) -> list[str]:
    """Two instruments of 400 bars; the second lacks bar `skip`."""
    rows = IBM.read_text().splitlines()[:401]
    (folder / "one.csv").write_text("\n".join(rows))
    (folder / "two.csv").write_text("\n".join(rows[: skip + 1] + rows[skip + 2 :]))
    return ["one.csv", "two.csv"]


@pytest.mark.parametrize("skip", [10, 390], ids=["search", "hold-out"])
def test_a_portfolio_of_different_times_is_refused_or_brought_together(
    skip: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"path": None, "paths": two_files(tmp_path, skip)}
    study = {"n_trials": 2, "objective": "total_return"}
    path = write_study(tmp_path, study=study, data=data, backtest={"portfolio": True})
    assert "'two.csv' has other times than 'one.csv'" in refused(path, capsys)
    path = write_study(tmp_path, study=study, data={**data, "align": "common"}, backtest={"portfolio": True})
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.count(": 399 bars") == 2
    assert main(["run", str(path)]) == 0
    union = {"data": {**data, "align": "union"}, "study": {**study, "name": "union"}}
    assert main(["run", str(write_study(tmp_path, **union, backtest={"portfolio": True}))]) == 0


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert main(["check", str(path)]) == 0


def test_exit_codes_say_whether_there_is_a_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, study={"n_trials": 3})
    assert main(["run", str(path)]) == 0
    assert main(["show", str(path)]) == 0
    path = write_study(tmp_path, study={"n_trials": 3, "name": "t"}, evaluation={"constraints": ["n_trades > 9000"]})
    assert main(["run", str(path)]) == 1
    assert main(["show", str(path)]) == 1
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    raise RuntimeError('no luck')\n")
    path = write_study(tmp_path, study={"n_trials": 3, "name": "u"}, strategy={"name": "mine.py:mine", "fixed": {}})
    assert main(["check", str(path)]) == 1
    assert "it failed: mine raised RuntimeError at mine.py:2: no luck" in capsys.readouterr().out
    assert main(["run", str(path)]) == 1


SPARSE = {"parameters": {"a": {"type": "int", "low": 0, "high": 199_999}}, "constraints": ["a == 7 or a == 5000"]}


@pytest.mark.parametrize("pruner", ["NopPruner", "MedianPruner"])
def test_points_that_are_hard_to_draw_are_found(pruner: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0 + params['a'] / 10_000\n")
    strategy = {"name": "mine.py:mine", "fixed": {}, "search_space": SPARSE}
    study = {"pruner": {"name": pruner}, "objective": "total_return"}
    reason, trials = run_here(write_study(tmp_path, study=study, strategy=strategy))
    assert sorted(trial.params["a"] for trial in trials) == [7, 5000]
    assert reason == "every point of the search space has been evaluated"


def test_texts_and_numbers_in_one_choice_are_exported_and_dotted_names_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0 + params['a.b'] / 10\n")
    mixed = {"type": "categorical", "choices": ["off", 10, 2.5, True]}
    space = {"parameters": {"a.b": INT, "stop": mixed, "note": {"type": "categorical", "choices": ['"\\\x7f\n é']}}}
    path = write_study(
        tmp_path,
        study={"n_trials": 16, "objective": "total_return"},
        strategy={"name": "mine.py:mine", "fixed": {}, "search_space": space},
    )
    assert main(["run", str(path)]) == 0
    printed = capsys.readouterr().out
    block = tomllib.loads(printed[printed.index("# s, trial") : printed.index("Look at it")])
    best = max((t for t in load(tmp_path) if t.value is not None), key=lambda t: (t.value or 0.0, -t.number))
    assert block["strategy"]["fixed"] == best.params
    target = tmp_path / "trials.parquet"
    assert main(["export", str(path), "-o", str(target)]) == 0
    assert pd.read_parquet(target)["params_stop"].tolist() == [str(t.params["stop"]) for t in load(tmp_path)]


@pytest.mark.parametrize("uri", ["postgres://me:hunter2@host/x", "mongodb://me:hunter2@host/x", "ftp://me:hunter2@h/x"])
def test_a_place_that_mlflow_cannot_write_to_is_refused_without_its_password(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_study(tmp_path, tracking={"enabled": True, "mlflow": {"tracking_uri": uri}})
    errors = refused(path, capsys)
    assert "is no place MLflow can write to" in errors
    assert ("postgres:// is postgresql://" in errors) == uri.startswith("postgres:")
    assert "hunter2" not in errors + caplog.text


def test_files_beside_a_strategy_can_be_imported_from_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its head, and when it is called; whatever the working directory is, and whichever command began it."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "mine_helper_a.py").write_text("HALF = 0.5\n")
    (tmp_path / "mine_helper_b.py").write_text("WHOLE = 1.0\n")
    (tmp_path / "mine.py").write_text(
        "from mine_helper_a import HALF\n\n"
        "def mine(df, params):\n"
        "    from mine_helper_b import WHOLE\n\n"
        "    return (df['close'] > df['close'].rolling(20).mean()).astype(float) * HALF * WHOLE\n"
    )
    space = {"parameters": {"x": {"type": "int", "low": 1, "high": 9}}}
    path = write_study(tmp_path, study={"n_trials": 3}, strategy={"name": "mine.py:mine", "search_space": space})
    path.write_text(path.read_text().replace('fixed = { "ma_type": "sma" }\n', ""))
    assert main(["run", str(path)]) == 0, capsys.readouterr()
