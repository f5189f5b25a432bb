"""optim show --top, --where, --sort, --trial: the trials that are asked for, as pandas finds them in the table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optim.api import Study
from optim.cli.parser import main
from tests.studies import load, write_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study file, with pruned and infeasible trials; not to be written to."""
    path = write_study(tmp_path_factory.mktemp("finished"), evaluation={"min_trades": 25})
    Study.from_toml(path, n_trials=40).run()
    return path


@pytest.fixture(scope="module")
def table(finished: Path) -> pd.DataFrame:
    frame = Study.from_toml(finished).trials
    frame.columns = [name.removeprefix("user_attrs_").removeprefix("params_") for name in frame.columns]
    return frame


@pytest.fixture(scope="module")
def feasible(table: pd.DataFrame) -> pd.DataFrame:
    frame = table[(table["state"] == "COMPLETE") & table["infeasible"].isna()]
    assert 5 < len(frame) < len(table) - 5
    return frame


def shown(path: Path, capsys: pytest.CaptureFixture[str], *flags: str, code: int = 0) -> list[int]:
    assert main(["show", str(path), "--json", *flags]) == code
    return [row["number"] for row in json.loads(capsys.readouterr().out)]


def refused(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["show", str(path), *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_top_is_the_best_feasible_ones(finished: Path, feasible: pd.DataFrame, capsys: Any) -> None:
    best = feasible.sort_values("value", ascending=False)["number"].tolist()
    assert shown(finished, capsys, "--top", "4") == best[:4]
    assert shown(finished, capsys, "--top", "400") == best


@pytest.mark.parametrize(
    ("condition", "query"),
    [
        ("sharpe_ratio > 0.2 and n_trades > 30", "value > 0.2 and n_trades > 30"),
        (
            "fast_window * 3 < slow_window or max_drawdown > -0.3",
            "fast_window * 3 < slow_window or max_drawdown > -0.3",
        ),
        ("trial in (1, 2, 3, 4, 5, 6)", "number in (1, 2, 3, 4, 5, 6)"),
    ],
)
def test_where_is_what_pandas_finds(
    condition: str, query: str, finished: Path, feasible: pd.DataFrame, capsys: Any
) -> None:
    expected = feasible.query(query)["number"]
    assert 0 < len(expected) < len(feasible)
    assert set(shown(finished, capsys, "--where", condition)) == set(expected)


@pytest.mark.parametrize("state", ["complete", "pruned", "infeasible"])
def test_a_condition_on_the_state_sees_every_trial(
    state: str, finished: Path, table: pd.DataFrame, capsys: Any
) -> None:
    infeasible = table["infeasible"].notna()
    expected = table[infeasible if state == "infeasible" else ~infeasible & (table["state"] == state.upper())]
    assert len(expected) > 0
    assert set(shown(finished, capsys, "--top", "99", "--where", f'state == "{state}"')) == set(expected["number"])


@pytest.mark.parametrize(
    ("name", "ascending"), [("max_drawdown", False), ("turnover", True), ("fast_window", True), ("trial", True)]
)
def test_sort_puts_the_better_first(
    name: str, ascending: bool, finished: Path, feasible: pd.DataFrame, capsys: Any
) -> None:
    keys = [{"trial": "number"}.get(name, name), "number"]
    expected = feasible.sort_values(keys, ascending=[ascending, True])["number"].tolist()
    assert shown(finished, capsys, "--top", "99", "--sort", name) == expected


def test_nothing_found_is_exit_code_1(finished: Path, capsys: Any) -> None:
    assert shown(finished, capsys, "--where", "sharpe_ratio > 99", code=1) == []
    assert main(["show", str(finished), "--where", "sharpe_ratio > 99"]) == 1
    assert capsys.readouterr().out == "No such trial.\n"


def test_the_columns_are_what_was_asked_about(finished: Path, feasible: pd.DataFrame, capsys: Any) -> None:
    assert main(["show", str(finished), "--where", "win_rate > 0", "--sort", "max_drawdown", "--top", "1"]) == 0
    title, _, head, _, row, _ = capsys.readouterr().out.splitlines()
    assert title.strip() == "1 trial"
    columns = ["trial", "sharpe_ratio", "max_drawdown", "win_rate", "fast_window", "slow_window"]
    assert [name.strip() for name in head.strip("┃").split("┃")] == columns
    best = feasible.sort_values("max_drawdown", ascending=False).iloc[0]
    assert f"│ {best['max_drawdown']:.2%} │" in re.sub(" +", " ", row)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--where", "sharp > 1"], "did you mean 'sharpe_ratio'?"),
        (["--where", "sharpe_ratio >"], "is not an expression"),
        (["--where", "state > 3"], "'state > 3'"),
        (["--sort", "slow_windw"], "did you mean 'slow_window'?"),
        (["--top", "0"], "must be at least 1"),
        (["--trial", "40"], "the record has trials 0 to 39"),
        (["--trial", "1", "--top", "3"], "--trial shows one trial"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(flags: list[str], sentence: str, finished: Path, capsys: Any) -> None:
    assert sentence in refused(finished, capsys, *flags)


def test_one_trial_has_its_metrics_and_its_equity(finished: Path, capsys: Any) -> None:
    trials = load(finished.parent)
    study = Study.from_toml(finished)
    pruned = next(trial for trial in trials if trial.state.name == "PRUNED")
    assert study.best is not None
    for trial in (trials[study.best.number], pruned):
        assert main(["show", str(finished), "--trial", str(trial.number), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["params"] == trial.params
        assert told["cell_values"] == trial.user_attrs["cell_values"]
        assert told["metrics"].items() <= trial.user_attrs.items()
        whole = study.backtest(trial.number)
        assert told["searched"]["max_drawdown"] == whole.metrics["max_drawdown"]
        assert main(["show", str(finished), "--trial", str(trial.number)]) == 0
        out = capsys.readouterr().out
        assert f"trial {trial.number}: {told['state']}" in out
        assert f"Equity of ibm_1d, {whole.equity.min():,.0f} to {whole.equity.max():,.0f}\n" in out
        chart = out.splitlines()[-1]
        assert (set(chart) <= set("▁▂▃▄▅▆▇█"), "▁" in chart, "█" in chart) == (True, True, True)
