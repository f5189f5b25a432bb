"""Sweeps: the same trials as the loop has for the same points, resumable, on any workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optim.search.sweep import sweep_points
from optim.spec.study import StudySpec, load_spec
from tests.studies import essence, run_here, write_study

NONE = {"pruner": None}
SMALL = {
    "constraints": ["fast_window < slow_window"],
    "parameters": {
        "fast_window": {"type": "int", "low": 5, "high": 25, "step": 5},
        "slow_window": {"type": "int", "low": 10, "high": 60, "step": 10},
    },
}


@pytest.mark.parametrize("name", ["GridSampler", "RandomSampler", "QMCSampler"])
def test_a_sweep_finds_what_the_loop_finds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = {"name": name}
    for folder in ("sweep", "loop"):
        (tmp_path / folder).mkdir()
    path = write_study(tmp_path / "sweep", study={**NONE, "sampler": sampler}, strategy={"search_space": SMALL})
    assert load_spec(path).sweeps
    _, swept = run_here(path)
    points = [dict(trial.params) for trial in swept]
    assert points == [
        p for p, _ in zip(sweep_points(load_spec(path), load_spec(path).search_space()), swept, strict=False)
    ]
    path = write_study(
        tmp_path / "loop", study={**NONE, "sampler": sampler, "enqueue": points}, strategy={"search_space": SMALL}
    )
    if name == "GridSampler":
        monkeypatch.setattr(StudySpec, "sweeps", False)
    else:
        assert not load_spec(path).sweeps
    _, looped = run_here(path)
    for one, other in zip(swept, looped, strict=True):
        assert (one.number, one.params, one.state, one.values) == (
            other.number,
            other.params,
            other.state,
            other.values,
        )
        assert one.user_attrs == other.user_attrs
        assert one.constraints == other.constraints


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_and_interruptions_change_nothing(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optim.search.sweep.BATCH_SIZE", 8)
    rows: list[Any] = []
    for folder, n_jobs in (("whole", 1), ("parts", 2)):
        (tmp_path / folder).mkdir()
        path = write_study(
            tmp_path / folder, study={**NONE, "n_trials": 40}, parallel={"backend": backend, "n_jobs": n_jobs}
        )
        if folder == "parts":
            assert run_here(path, stop_after=2)[0] == "interrupted"
            monkeypatch.setattr("optim.workers.pace.INLINE_SECONDS", 0.0)
        reason, trials = run_here(path)
        assert reason == "budget spent"
        rows.append([(*row[:6], row[7]) for row in essence(trials)])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 40


def test_a_grid_knows_its_size_and_random_points_do_not_repeat(tmp_path: Path) -> None:
    for name in ("GridSampler", "RandomSampler", "QMCSampler"):
        folder = tmp_path / name
        folder.mkdir()
        path = write_study(
            folder, study={**NONE, "n_trials": 500, "sampler": {"name": name}}, strategy={"search_space": SMALL}
        )
        reason, trials = run_here(path)
        assert reason == "every point of the search space has been evaluated"
        expected = {(f, s) for f in range(5, 26, 5) for s in range(10, 61, 10) if f < s}
        assert {(t.params["fast_window"], t.params["slow_window"]) for t in trials} == expected
        assert len(trials) == len(expected)


def test_a_pruner_makes_it_a_search(tmp_path: Path) -> None:
    assert not load_spec(write_study(tmp_path)).sweeps
    assert load_spec(write_study(tmp_path, study=NONE)).sweeps
    assert not load_spec(write_study(tmp_path, study={**NONE, "sampler": {"name": "TPESampler"}})).sweeps
