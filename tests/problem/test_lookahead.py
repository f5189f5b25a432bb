"""`run` and `check` refuse a strategy that looks ahead on the study's own bars, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optim.cli.parser import main
from optim.problem.lookahead import check_lookahead, probe_points, searched_bars
from optim.problem.plan import make_plan
from optim.record.record import SPEC
from optim.spec.study import load_spec
from tests.peeking import HONEST, PEEKING, source
from tests.studies import IBM, SPACE, load, write_study

MODES = """
def switched(df, params):
    return (df.close > df.close.rolling(9, center=params["mode"] == "centred").mean()).astype(float)
"""


def study(folder: Path, name: str, **changes: Any) -> Path:
    (folder / "many.py").write_text(source() + MODES)
    space = {"parameters": {"stop_pct": {"type": "float", "low": 0.01, "high": 0.2}}}
    strategy = {"name": f"many.py:{name}", "search_space": space, "fixed": {}, **changes.pop("strategy", {})}
    return write_study(folder, study={"n_trials": 4}, strategy=strategy, **changes)


@pytest.mark.parametrize("name", [*PEEKING, "rarely_compiled", "second_of_two"])
def test_run_refuses_look_ahead_and_writes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several: dict[str, Any] = {"data": {"end": "2003"}} if name == "rarely" else {}
    if name == "second_of_two":
        paths = [str(IBM), str(IBM.with_name("msft_1d.csv"))]
        several = {"data": {"path": None, "paths": paths}, "backtest": {"portfolio": True}}
    path = study(tmp_path, name, **several)
    assert main(["run", str(path)]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"error: {path}: [strategy] name = 'many.py:{name}': {name}({{}}) looks ahead: at bar ")
    assert errors.count("\n") == 1
    assert {entry.name for entry in tmp_path.iterdir()} <= {"study.toml", "many.py", "__pycache__"}


@pytest.mark.parametrize("name", HONEST)
def test_honest_strategies_pass(name: str, tmp_path: Path) -> None:
    said, good = check_lookahead(make_plan(load_spec(study(tmp_path, name))))
    assert good, said


def test_the_probe_tries_every_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"parameters": {"mode": {"type": "categorical", "choices": [*"abcde", "centred"]}}}
    path = study(tmp_path, "switched", strategy={"search_space": space})
    plan = make_plan(load_spec(path))
    assert {point["mode"] for point in probe_points(plan)} == {*"abcde", "centred"}
    assert main(["check", str(path)]) == 2
    assert "switched({'mode': 'centred'}) looks ahead" in capsys.readouterr().err


def test_the_hold_out_is_not_touched(tmp_path: Path) -> None:
    plan = make_plan(load_spec(study(tmp_path, "rolling", evaluation={"holdout": 0.25})))
    assert [len(bars.close) for bars in searched_bars(plan)] == [plan.holdouts[0].start]
    assert plan.holdouts[0].start == max(cell.stop for cell in plan.cells)


def test_leaving_it_out_is_said_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(tmp_path, "next_bar", strategy={"lookahead_check": False})
    for verb in ("check", "run"):
        assert main([verb, str(path)]) == 0
        assert "not looked for: [strategy] lookahead_check = false" in capsys.readouterr().out
    assert len(load(tmp_path)) == 4
    assert make_plan(load_spec(path)).fingerprint()["strategy"]["lookahead_check"] is False
    journal = [json.loads(line) for line in (tmp_path / "optuna.journal").read_text().splitlines()]
    recorded = next(entry["user_attr"][SPEC] for entry in journal if SPEC in entry.get("user_attr", {}))
    assert recorded["strategy"]["lookahead_check"] is False


def test_a_signal_that_never_moves_proves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = {"parameters": {"exposure": {"type": "float", "low": 0.1, "high": 1.0}}}
    path = study(tmp_path, "rolling", strategy={"name": "buy_and_hold", "search_space": space})
    assert main(["check", str(path)]) == 0
    assert "nothing proven: the signal never changes" in capsys.readouterr().out


def test_check_strategy_says_when_there_was_nothing_to_prove(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "strategy", "buy_and_hold"]) == 1
    output = capsys.readouterr().out
    assert "nothing proven, its signal never changes" in output
    assert "obeys the rules" not in output


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no luck')", "mine raised RuntimeError at mine.py:2: no luck"),
        ("df['close'] > 3", "mine returned None as target; is a return missing?"),
        ("return df['close'][:-1]", "mine returned target as a Series that is not indexed like the bars"),
        ("return df['close'] * float('nan')", "mine: target at bar 0 is nan"),
    ],
)
def test_a_strategy_that_has_no_signal_is_told_why(
    body: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(f"def mine(df, params):\n    {body}\n")
    path = study(tmp_path, "rolling", strategy={"name": "mine.py:mine", "search_space": SPACE, "fixed": {}})
    assert main(["check", str(path)]) == 1
    assert f"nothing proven: {said}" in " ".join(capsys.readouterr().out.split())
