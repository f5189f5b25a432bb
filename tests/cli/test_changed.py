"""What is printed of a trial that is run anew says where its inputs are not those of the study."""

from __future__ import annotations

from pathlib import Path

import pytest

from optim.cli.parser import main
from tests.studies import write_study

MINE = (
    "from near_it import days\n\n\ndef mine(df, params):\n    return (df.close > df.close.rolling(days).mean()) * 1.0\n"
)
ANEW = ["show {}", "show {} --json", "show {} --trial 1", "backtest {} --trial 1", "compare {} {}"]
RECORDED = ["show {} --top 3", "export {} -o {}.csv"]
NOTE = "not as the study began: [code] near_it.py has changed"


@pytest.fixture
def study(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "near_it.py").write_text("days = 20\n")
    space = {"parameters": {"x": {"type": "int", "low": 1, "high": 9}}}
    strategy = {"name": "mine.py:mine", "search_space": space, "fixed": {}}
    path = write_study(tmp_path, study={"n_trials": 3}, strategy=strategy)
    assert main(["run", str(path)]) == 0
    return str(path)


def test_it_is_told_where_a_trial_is_run_anew(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ANEW:
        capsys.readouterr()
        assert main(verb.replace("{}", study).split()) == 0
        assert NOTE not in capsys.readouterr().err
    Path(study).with_name("near_it.py").write_text("days = 200\n")
    for verb in ANEW:
        assert main(verb.replace("{}", study).split()) == 0
        assert NOTE in capsys.readouterr().err, verb
    for verb in RECORDED:
        assert main(verb.replace("{}", study).split()) == 0
        assert NOTE not in capsys.readouterr().err, verb


def test_check_refuses_what_run_refuses(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", study]) == 0
    Path(study).with_name("near_it.py").write_text("days = 200\n")
    said = []
    for verb in ("check", "run"):
        capsys.readouterr()
        assert main([verb, study]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "[code] near_it.py has changed" in said[0]
