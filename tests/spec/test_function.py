"""A strategy given as a function is the one its file has, or it is refused with what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from engine import load_strategy
from engine.strategies.built_in.ma_crossover import ma_crossover
from optim.api import Study
from optim.errors import SpecError
from optim.spec.function import reference_of
from tests.studies import ROOT

FRAME = pd.DataFrame({"close": [1.0, 2.0]})
SOURCE = """
from typing import NamedTuple
from engine import Bars, strategy

def plain(df, params):
    return (df["close"] > df["close"].rolling(params["x"]).mean()).astype(float)

class Params(NamedTuple):
    x: int = 3

@strategy
def compiled(bars: Bars, p: Params):
    return bars.close * 0.0

def made():
    def inside(df, params):
        return 0.0 * df["close"]
    return inside

nested, of_no_name, renamed = made(), lambda df, params: 0.0, plain
class Group:
    def method(df, params): ...
"""
TABLE: dict[str, Any] = {
    "study": {"name": "s", "objective": "sharpe_ratio", "n_trials": 3, "storage": "optuna.journal"},
    "data": {"path": str(ROOT / "studies" / "data" / "ibm_1d.csv")},
    "strategy": {"search_space": {"parameters": {"x": {"type": "int", "low": 2, "high": 9}}}},
    "tracking": {"enabled": False},
    "parallel": {"n_jobs": 1},
}


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("mine_of_a_test", file)
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules["mine_of_a_test"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_a_function_of_a_file_is_its_reference(module: ModuleType, tmp_path: Path) -> None:
    assert reference_of(module.plain, tmp_path) == "mine.py:plain"
    assert reference_of(module.compiled, tmp_path / "other") == f"{tmp_path}/mine.py:compiled"
    assert reference_of(module.renamed, tmp_path) == "mine.py:plain"
    assert reference_of(ma_crossover, tmp_path) == "ma_crossover"
    assert reference_of("mine.py:plain", tmp_path) == "mine.py:plain"
    assert load_strategy(reference_of(module.compiled, tmp_path), tmp_path).compiled


def test_a_study_of_a_function_runs_and_is_recorded_under_its_file(module: ModuleType, tmp_path: Path) -> None:
    study = Study.from_dict(TABLE, tmp_path, strategy=module.plain)
    study.run()
    assert study.spec.strategy.name == "mine.py:plain"
    assert len(Study.from_dict(TABLE, tmp_path, strategy="mine.py:plain").trials) == 3


def test_what_no_other_process_could_load_is_refused(module: ModuleType, tmp_path: Path) -> None:
    typed: dict[str, Any] = {"__name__": "__main__"}
    exec("def typed(df, params): ...", typed)  # noqa: S102 - as a shell or a cell of a notebook does
    for function in (module.nested, module.of_no_name, module.Group.method):
        with pytest.raises(SpecError, match=r"is not found under this name in its file; .* %%writefile"):
            reference_of(function, tmp_path)
    for function in (typed["typed"], len):
        with pytest.raises(SpecError, match="stands in no file; workers load it from a file"):
            reference_of(function, tmp_path)
    with pytest.raises(SpecError, match="strategy is a int; give a function"):
        reference_of(3, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"path": FRAME}}, r"\[data\] path is a DataFrame: a study reads files: .*to_csv.* \[data\] path ="),
        ({"data": FRAME}, r"\[data\] is a DataFrame: .*to_csv"),
        ({"data": {"path": "a.csv", "start": None}}, r"\[data\] start is None: leave the key away"),
        ({"data": {"path": ["a.csv", Path("b.csv")]}}, r"\[data\] path is a \w*Path: give its text"),
        ({"evaluation": {"folds": FRAME["close"].count()}}, r"\[evaluation\] folds is a int64: .* value.item\(\)"),
        ({"evaluation": {"constraints": FRAME["close"].values}}, r"\[evaluation\] constraints is a ndarray: .*tolist"),
        ({"backtest": {"fee_bps": float("nan")}}, r"\[backtest\] fee_bps = nan: must be a finite number"),
        ({"strategy": {"name": FRAME.count}}, r"\[strategy\] name is a method: .*strategy=function"),
        ({"backtest": {"fee_bps": {1, 2}}}, r"\[backtest\] fee_bps is a set: must be a text, a number"),
        ({"backtest": {3: 4}}, r".*key '3'"),
    ],
)
def test_what_no_study_file_can_hold_is_named_with_what_to_give(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=f"^{tmp_path}/Study.from_dict: .*{said}"):
        Study.from_dict({**TABLE, **change}, tmp_path)
    with pytest.raises(SpecError, match="a DataFrame must be a dictionary of a study file's tables"):
        Study.from_dict(FRAME, tmp_path, strategy="ma_crossover")  # type: ignore[arg-type]


def test_a_script_that_workers_would_run_again_is_refused(tmp_path: Path) -> None:
    begins = f"from pathlib import Path\nfrom optim.spec.function import reference_of\n{SOURCE}\n"
    said = []
    for name, line in (("bare", ""), ("guarded", "if __name__ == '__main__':\n    ")):
        script = tmp_path / f"{name}.py"
        script.write_text(f"{begins}{line}print(reference_of(plain, Path(__file__).parent))\n")
        command, environment = [sys.executable, str(script)], {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        said.append(ended.stdout + ended.stderr)
    assert "put what starts the study under if __name__ == '__main__':" in said[0]
    assert said[1] == "guarded.py:plain\n"
