"""The loop: the same trials whatever the workers, the backend or an interruption; every state means what it says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from optim.tracking import LiveTrial
from tests.studies import IBM, essence, run_here, write_study

TPE = {
    "n_trials": 30,
    "sampler": {"name": "TPESampler", "n_startup_trials": 8},
    "pruner": {"name": "MedianPruner", "n_startup_trials": 3},
}
PURE_PYTHON = """
def crossover(df, params):
    fast = df["close"].rolling(params["fast_window"]).mean()
    slow = df["close"].rolling(params["slow_window"]).mean()
    return (fast > slow).astype(float)
"""


class Reference(list[tuple[Any, ...]]):
    """Trials with a short name, for the tests' reports."""

    def __repr__(self) -> str:
        return f"<{len(self)} trials>"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The trials of one uninterrupted sequential run."""
    reason, trials = run_here(write_study(tmp_path_factory.mktemp("reference"), study=TPE))
    assert reason == "budget spent"
    return Reference(essence(trials))


def test_the_reference_has_all_it_should(reference: Reference) -> None:
    states = [row[1] for row in reference]
    assert len(states) == 30
    assert states.count(TrialState.COMPLETE) > 5
    assert states.count(TrialState.PRUNED) > 5
    assert all(len(row[4]) >= 1 for row in reference)  # intermediate values


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_change_nothing(
    backend: str, n_jobs: int, reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optim.workers.pace.INLINE_SECONDS", 0.0)  # nothing stays in the coordinator, however cheap
    _, trials = run_here(write_study(tmp_path, study=TPE, parallel={"backend": backend, "n_jobs": n_jobs}))
    assert essence(trials) == reference


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.integers(1, 12), min_size=1, max_size=3), jobs=st.sampled_from([1, 2]))
def test_interruptions_change_nothing(
    rounds: list[int], jobs: int, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_study(tmp_path_factory.mktemp("resumed"), study=TPE, parallel={"backend": "threading", "n_jobs": jobs})
    for stop_after in rounds:
        run_here(path, stop_after)
    reason, trials = run_here(path)
    assert essence(trials) == reference
    assert reason == "budget spent"


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The same with a batch asked while the one before is evaluated: another study."""
    path = write_study(tmp_path_factory.mktemp("ahead"), study=TPE, parallel={"ahead": 1})
    return Reference(essence(run_here(path)[1]))


@pytest.mark.parametrize("pruner", ["MedianPruner", "SuccessiveHalvingPruner", "NopPruner"])
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(1, 60), min_size=1, max_size=3), depth=st.sampled_from([0, 1, 2]))
def test_asking_ahead_is_a_property_of_the_study(
    pruner: str, stops: list[int], depth: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    parallel = {"backend": "threading", "n_jobs": 2, "ahead": depth, "batch_size": 5}
    study = {**TPE, "n_trials": 22, "pruner": {"name": pruner}}
    whole = tmp_path_factory.mktemp("whole")
    _, expected = run_here(write_study(whole, study=study, parallel={**parallel, "backend": "sequential"}))
    path = write_study(tmp_path_factory.mktemp("parts"), study=study, parallel=parallel)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optim.workers.pace.INLINE_SECONDS", 0.0)
        for stop_after in stops:
            run_here(path, stop_after)
        _, trials = run_here(path)
    assert essence(trials) == essence(expected)


def test_asking_ahead_changes_the_proposals(ahead: Reference, reference: Reference) -> None:
    assert ahead[:8] == reference[:8]
    assert ahead[8:16] != reference[8:16]  # asked without the first batch's results


@pytest.mark.filterwarnings("ignore:.*experimental:optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    "study",
    [
        {"sampler": {"name": "QMCSampler"}},
        {"sampler": {"name": "CmaEsSampler"}},
        {"sampler": {"name": "NSGAIISampler", "population_size": 8}},
        {"sampler": {"name": "TPESampler"}, "pruner": {"name": "HyperbandPruner"}},
        {"sampler": {"name": "TPESampler"}, "pruner": {"name": "WilcoxonPruner"}},
        {"sampler": {"name": "GridSampler"}},
        {"objective": ["sharpe_ratio", "max_drawdown"], "sampler": {"name": "TPESampler"}, "pruner": None},
    ],
    ids=lambda study: "-".join(str(v["name"] if isinstance(v, dict) else v) for v in study.values()),
)
def test_every_kind_of_study_resumes_to_the_same_trials(study: Any, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    _, whole = run_here(write_study(tmp_path / "whole", study={"n_trials": 20, **study}))
    path = write_study(tmp_path / "parts", study={"n_trials": 20, **study})
    run_here(path, 2)
    run_here(write_study(tmp_path / "parts", study={"n_trials": 11, **study}))
    _, parts = run_here(write_study(tmp_path / "parts", study={"n_trials": 20, **study}))
    assert essence(parts) == essence(whole)
    assert len(whole) == 20


def test_a_plain_python_strategy_runs_in_processes_and_gives_the_same(tmp_path: Path) -> None:
    results = []
    for backend in ("sequential", "loky"):
        folder = tmp_path / backend
        folder.mkdir()
        (folder / "mine.py").write_text(PURE_PYTHON)
        path = write_study(
            folder,
            study={"n_trials": 8},
            strategy={"name": "mine.py:crossover", "fixed": {}},
            parallel={"backend": backend, "n_jobs": 2},
        )
        results.append(essence(run_here(path)[1]))
    assert results[0] == results[1]
    assert any(row[1] == TrialState.COMPLETE for row in results[0])


FRAGILE = """
def fragile(df, params):
    if params["x"] % 3 == 0:
        raise ValueError(f"x = {params['x']} is a multiple of three")
    if params["x"] % 3 == 1:
        return df["close"] * 0.0
    return (df["close"] > df["close"].rolling(params["x"] + 5).mean()).astype(float)
"""


def test_failed_undefined_and_complete_trials_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    space = {"parameters": {"x": {"type": "int", "low": 1, "high": 12}}}
    path = write_study(
        tmp_path,
        study={"sampler": {"name": "GridSampler"}, "pruner": {"name": "NopPruner"}, "n_trials": 50},
        strategy={"name": "fragile.py:fragile", "search_space": space, "fixed": {}},
    )
    reason, trials = run_here(path)
    assert reason == "every point of the search space has been evaluated"
    assert [t.params["x"] for t in trials] == list(range(1, 13))
    for trial in trials:
        kind = trial.params["x"] % 3
        assert trial.state == (TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE)[kind]
        assert ("error" in trial.user_attrs) == (kind == 0)
        assert ("infeasible" in trial.user_attrs) == (kind == 1)
        if kind == 0:
            assert "is a multiple of three" in trial.user_attrs["error"]
        if kind == 1:
            assert "sharpe_ratio is undefined in cell 0" in trial.user_attrs["infeasible"]
        if kind == 2:
            assert trial.values[0] == pytest.approx(math.fsum(trial.user_attrs["cell_values"]) / 3)
            assert trial.user_attrs["sharpe_ratio"] == trial.values[0]


def test_constraints_make_trials_infeasible_not_failed(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, study={"pruner": {"name": "NopPruner"}}, evaluation={"constraints": ["n_trades >= 60"]}
    )
    _, trials = run_here(path)
    infeasible = [t for t in trials if t.constraints["n_trades >= 60"] > 0]
    assert 0 < len(infeasible) < len(trials)
    assert all(t.user_attrs["infeasible"] == "n_trades >= 60" for t in infeasible)
    assert all((t.user_attrs["n_trades"] < 60) == (t in infeasible) for t in trials)
    assert all(t.state == TrialState.COMPLETE for t in trials)


def test_patience_ends_a_search_that_stands_still(tmp_path: Path) -> None:
    reason, trials = run_here(write_study(tmp_path, study={"n_trials": 400, "patience": 20}))
    assert reason == "no improvement in 20 trials"
    values = [t.values[0] if t.state == TrialState.COMPLETE else -math.inf for t in trials]
    assert len(trials) - 1 - values.index(max(values)) >= 20
    assert len(trials) < 400


def test_a_longer_budget_goes_on_where_the_shorter_ended(tmp_path: Path) -> None:
    for folder in ("long", "short"):
        (tmp_path / folder).mkdir()
    _, long = run_here(write_study(tmp_path / "long", study=TPE))
    run_here(write_study(tmp_path / "short", study={**TPE, "n_trials": 13}))
    _, short = run_here(write_study(tmp_path / "short", study=TPE))
    assert essence(short) == essence(long)


COUNTED = """
from pathlib import Path

def counted(df, params):
    with (Path(__file__).parent / "calls").open("a") as file:
        print(params["x"], params["y"], file=file)
    return (df["close"] > df["close"].rolling(params["x"] + 2 * params["y"]).mean()).astype(float)
"""


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler"])
def test_a_duplicate_is_neither_backtested_nor_counted_again(sampler: str, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    space = {"parameters": {name: {"type": "int", "low": 2, "high": 4} for name in "xy"}}
    path = write_study(
        tmp_path,
        study={
            "n_trials": 50,
            "sampler": {"name": sampler},
            "pruner": {"name": "NopPruner"},
            "enqueue": [{"x": 3, "y": 3}, {"x": 3, "y": 3}, {"x": 2, "y": 4}],
        },
        strategy={"name": "counted.py:counted", "search_space": space, "fixed": {}},
        evaluation={"folds": 1},
        parallel={"batch_size": 2},
    )
    run_here(path, 1)
    reason, trials = run_here(path)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert reason == "every point of the search space has been evaluated"
    assert {tuple(t.params.values()) for t in trials} == {(x, y) for x in (2, 3, 4) for y in (2, 3, 4)}
    assert len(trials) == 9
    assert {call: calls.count(call) for call in calls} == {f"{x} {y}": 1 for x in (2, 3, 4) for y in (2, 3, 4)}


def test_a_long_trial_is_shown_in_its_first_cell(tmp_path: Path) -> None:
    """The strategy waits for a file that is written when the trial has been shown."""
    gate = tmp_path / "shown"
    waits = f"    until(pathlib.Path({str(gate)!r}).exists, 'the trial was never shown')\n    fast ="
    text = f"import pathlib\nfrom tests.waiting import until\n{PURE_PYTHON}".replace("    fast =", waits, 1)
    (tmp_path / "mine.py").write_text(text)
    path = write_study(
        tmp_path,
        study={"n_trials": 2},
        strategy={"name": "mine.py:crossover", "fixed": None},
        parallel={"backend": "loky", "n_jobs": 2, "batch_size": 2},
    )
    shown: list[LiveTrial] = []

    def running(trial: LiveTrial) -> None:
        shown.append(trial)
        gate.touch()

    _, trials = run_here(path, running=running)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert shown[0].values == ()
    assert shown[0].params in [trial.params for trial in trials]


def test_changed_hold_out_bars_change_no_trial(tmp_path: Path) -> None:
    """The locked bars are known to nothing before the winner is: sampler, pruner, strategy, clock and probe alike."""
    lines = IBM.read_text().splitlines()
    first = len(lines) - 1 - round(0.2 * (len(lines) - 1)) + 1  # the header is a line too
    found = []
    for name in ("as it was", "another market"):
        folder = tmp_path / name
        folder.mkdir()
        rows = lines if name == "as it was" else lines[:first] + [_turned(line) for line in lines[first:]]
        (folder / "bars.csv").write_text("\n".join(rows) + "\n")
        path = write_study(folder, study=TPE, data={"path": "bars.csv"}, evaluation={"holdout": 0.2})
        found.append(run_here(path)[1])
    assert essence(found[0]) == essence(found[1])


def _turned(line: str) -> str:
    """The same day at other prices: the reciprocal, so that highs and lows change places."""
    date, open_, high, low, close, *rest = line.split(",")
    turned = [repr(1000.0 / float(price)) for price in (open_, low, high, close)]
    return ",".join([date, *turned, *rest])
