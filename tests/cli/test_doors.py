"""`python -m optim` is the command `optim`: what stands in the folder where it is begun is nobody's module."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optim.__main__ import _is_misleading
from tests.studies import ROOT, load, write_study

TAKEN = ("json", "random", "signal", "statistics", "pickle", "struct", "logging", "queue", "helpers")
MINE = "from helpers import HALF\n\ndef mine(df, params):\n    return HALF * (df['close'] > params['x'])\n"
SPACE = {"parameters": {"x": {"type": "float", "low": 60.0, "high": 120.0}}}
DOORS = {"module": [sys.executable, "-m", "optim"], "command": [str(Path(sys.executable).with_name("optim"))]}


@pytest.mark.parametrize("door", DOORS)
def test_files_of_the_folder_one_is_in_are_taken_for_no_module(door: str, tmp_path: Path) -> None:
    """Not for Python's own, in no process that a run starts, nor for what stands beside a strategy elsewhere."""
    here, study = tmp_path / "here", tmp_path / "study"
    for folder in (here, study):
        folder.mkdir()
    for name in TAKEN:
        (here / f"{name}.py").write_text(f"raise SystemExit('{name} of the folder one is in')\n")
    (study / "helpers.py").write_text("HALF = 0.5\n")
    (study / "mine.py").write_text(MINE)
    strategy = {"name": "mine.py:mine", "search_space": SPACE, "fixed": {}}
    path = write_study(
        study, strategy=strategy, study={"n_trials": 4}, parallel={"n_jobs": 2, "backend": "loky"},
        tracking={"enabled": True, "mlflow": {"tracking_uri": "sqlite:///mlflow.db"}},
    )  # fmt: skip
    done = subprocess.run([*DOORS[door], "run", str(path)], cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    states = [trial.state.name for trial in load(study)]
    assert len(states) == 4
    assert "FAIL" not in states
    assert "mlflow ui" in done.stdout


def test_a_python_without_what_optim_needs_is_told_in_a_sentence(tmp_path: Path) -> None:
    """-S: nothing that is installed is found."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-S", "-m", "optim", "list"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: this Python, {sys.executable}, has no ")
    assert done.stderr.count("\n") == 1


def test_only_where_a_name_is_taken_do_processes_begin_otherwise(tmp_path: Path) -> None:
    """A strategy may start Python on a script of its own, whose folder Python then looks through."""
    assert not _is_misleading(str(tmp_path / "gone"))
    (tmp_path / "helpers.py").touch()
    (tmp_path / "yaml").mkdir()  # a folder that is no package comes after every package
    assert not _is_misleading(str(tmp_path))
    assert not _is_misleading(str(ROOT))
    (tmp_path / "yaml" / "__init__.py").touch()
    assert _is_misleading(str(tmp_path))
    (tmp_path / "yaml" / "__init__.py").unlink()
    (tmp_path / "queue.py").touch()
    assert _is_misleading(str(tmp_path))
