"""A run does not look for look-ahead again where nothing that the answer depends on has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.compiled.jit import config
from optim.cli.parser import main
from optim.problem import proven
from optim.problem.lookahead import check_lookahead
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, SPACE, write_study

HONEST = "def mine(df, params):\n    return (df.close > df.close.rolling(params['window']).mean()).astype(float)\n"
WINDOW: dict[str, Any] = {"parameters": {"window": {"type": "int", "low": 5, "high": 40}}}
FOUND = ", as found before"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))


def study(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    strategy = {"name": "mine.py:mine", "search_space": WINDOW, "fixed": {}, **changes.pop("strategy", {})}
    return write_study(folder, study={"n_trials": 2, **changes.pop("study", {})}, strategy=strategy, **changes)


def test_a_second_run_asks_the_strategy_for_its_trials_only(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    counting = f"    with open({str(calls)!r}, 'a') as file:\n        file.write('.')\n"
    (tmp_path / "mine.py").write_text(HONEST.replace("\n", "\n" + counting, 1))
    path = study(tmp_path)
    counted = []
    for name in ("a", "b"):
        before = calls.stat().st_size if calls.exists() else 0
        assert main(["run", str(path), "--new-name", name]) == 0
        counted.append(calls.stat().st_size - before)
    assert counted[1] < 40 < 100 < counted[0]  # two trials, five cells each, and their result


def test_who_asks_for_a_check_gets_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(HONEST)
    path = study(tmp_path)
    assert main(["run", str(path)]) == 0
    assert main(["check", str(path)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "shortened histories, the same signal" in output
    plan = make_plan(load_spec(path))
    assert [check_lookahead(plan, again=again)[0].endswith(FOUND) for again in (False, True)] == [True, False]


def test_what_is_found_of_other_code_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from helper import late\n" + HONEST.replace("(float)", "(float).shift(-late).fillna(0.0)")
    )
    (tmp_path / "helper.py").write_text("late = 0\n")
    path = study(tmp_path)
    assert main(["run", str(path)]) == 0
    (tmp_path / "helper.py").write_text("late = +1\n")
    assert main(["run", str(path), "--new-name", "again"]) == 2
    assert "looks ahead" in capsys.readouterr().err


def test_what_interpreted_code_found_does_not_count_for_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same time it compares far fewer histories."""
    (tmp_path / "mine.py").write_text(HONEST)
    plan = make_plan(load_spec(study(tmp_path)))
    check_lookahead(plan)
    assert check_lookahead(plan, again=False)[0].endswith(FOUND)
    monkeypatch.setattr(config, "DISABLE_JIT", not config.DISABLE_JIT)
    assert not check_lookahead(plan, again=False)[0].endswith(FOUND)


def test_bad_news_are_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(HONEST.replace("(df.close >", "0 * (df.close >"))
    path = study(tmp_path)
    for name in ("a", "b"):
        main(["run", str(path), "--new-name", name, "-v"])
        output = " ".join(capsys.readouterr().out.split())
        assert "nothing proven: the signal never changes" in output
        assert FOUND not in output


CHANGES: dict[str, dict[str, Any]] = {
    "bars": {"data": {"path": str(IBM.with_name("msft_1d.csv"))}},
    "fewer bars": {"data": {"end": "2008-01-01"}},
    "hold-out": {"evaluation": {"holdout": 0.3}},
    "strategy": {"strategy": {"name": "ma_crossover", "search_space": SPACE}},
    "time zone": {"data": {"timezone": "America/New_York"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_question_has_another_place(what: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HONEST)
    params = [{"window": 5}]
    before = proven.place_of(make_plan(load_spec(study(tmp_path))), params, 3.0)
    after = make_plan(load_spec(study(tmp_path, **CHANGES[what])))
    assert proven.place_of(after, params, 3.0) != before


def test_what_the_signal_does_not_depend_on_leaves_the_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HONEST)
    plan = make_plan(load_spec(study(tmp_path)))
    other = make_plan(load_spec(study(tmp_path, study={"name": "t", "n_trials": 9}, backtest={"fee_bps": 1.0})))
    place = proven.place_of(plan, [{"window": 5}], 3.0)
    assert proven.place_of(other, [{"window": 5}], 3.0) == place
    assert proven.place_of(plan, [{"window": 6}], 3.0) != place
    assert proven.place_of(plan, [{"window": 5}], 0.8) != place


@pytest.mark.parametrize("text", ["", '"torn', "{}", "7"])
def test_what_is_no_answer_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(text)
    assert proven.recall(tmp_path / "answer") == ""
    assert proven.recall(tmp_path / "missing") == ""


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    proven.keep(tmp_path / "file" / "answer", "none")
    proven.keep(tmp_path / "folder" / "answer", "none")
    assert proven.recall(tmp_path / "folder" / "answer") == "none"
    assert [one.name for one in (tmp_path / "folder").iterdir()] == ["answer"]
