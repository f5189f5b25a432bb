"""A strategy or an objective of the user's own that raises, or would end the process: its trials fail with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optim.cli.parser import main
from tests.studies import load, write_study


def test_an_objective_that_raises_is_found_by_check_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "goals.py").write_text("def goal(metrics):\n    # beyond the catalogue\n    return metrics['nope']\n")
    objectives = {"objective": ["sharpe_ratio", "goals.py:goal"], "direction": ["maximize", "maximize"]}
    path = write_study(tmp_path, study={"n_trials": 3, "pruner": {"name": "NopPruner"}, **objectives})
    assert main(["check", str(path)]) == 1
    said = "cell 0: the objective raised KeyError at goals.py:3: 'nope'"
    assert f"it failed: {said}" in capsys.readouterr().out
    assert main(["run", str(path)]) == 1
    assert load(tmp_path)[0].user_attrs["error"] == said


LEAVES = "import sys\n\n\ndef mine(given, params=None):\n    sys.exit(0)\n"


@pytest.mark.parametrize("backend", ["sequential", "loky"])
@pytest.mark.parametrize("of", ["strategy", "objective"])
def test_own_code_that_would_end_the_process_fails_its_trials(
    of: str, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(LEAVES)
    own: dict[str, Any] = {"strategy": {"name": "mine.py:mine", "fixed": {}}}
    if of == "objective":
        own = {"study": {"objective": "mine.py:mine", "direction": "maximize"}}
    keys = {"n_trials": 3, "pruner": {"name": "NopPruner"}, **own.pop("study", {})}
    path = write_study(tmp_path, study=keys, parallel={"backend": backend, "n_jobs": 2}, **own)
    assert main(["check", str(path)]) == 1
    assert "raised SystemExit at mine.py:5: 0" in capsys.readouterr().out
    assert main(["run", str(path)]) == 1
    trials = load(tmp_path)
    assert len(trials) == 3
    assert all("raised SystemExit at mine.py:5: 0" in trial.user_attrs["error"] for trial in trials)


@pytest.mark.parametrize("of", ["strategy", "objective"])
def test_a_file_that_would_end_the_process_when_it_is_loaded_is_refused(
    of: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(f"{LEAVES}\n\nsys.exit(0)\n")
    own: dict[str, Any] = {"strategy": {"name": "mine.py:mine", "fixed": {}}}
    if of == "objective":
        own = {"study": {"objective": "mine.py:mine", "direction": "maximize"}}
    assert main(["run", str(write_study(tmp_path, **own))]) == 2
    errors = capsys.readouterr().err
    assert "SystemExit at mine.py:8: 0" in errors
    assert errors.count("\n") == 1
