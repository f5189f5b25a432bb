"""What a search finds on a shuffled market is what `optim run` finds there; the null is the same however it is run."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.problem.lookahead import searched_bars
from optim.problem.parcel import packed
from optim.problem.plan import make_plan
from optim.problem.recorded import begun
from optim.record.quiet import quiet_optuna
from optim.search.ranking import rank
from optim.search.search import search
from optim.spec.study import load_spec
from optim.verdict.farm import Farm
from optim.verdict.markets import Market, found, on_market, winner_on
from optim.verdict.null_search import NULL, search_markets
from tests.studies import run_here, write_study

SWEEP = {"sampler": {"name": "RandomSampler"}, "pruner": {"name": "NopPruner"}}
TPE = {"sampler": {"name": "TPESampler", "n_startup_trials": 5}, "pruner": {"name": "MedianPruner"}}
NULL_OF_19 = {"null": {"markets": 19}}
KINDS = ("single", "volatility", "block:10")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("study", [SWEEP, TPE], ids=["sweep", "tpe"])
@pytest.mark.parametrize("holdout", [0.0, 0.25])
def test_the_winner_is_that_of_a_study_of_its_own(
    kind: str, study: Mapping[str, Any], holdout: float, tmp_path: Path
) -> None:
    """The shuffled bars written to a file, and searched as any other file is."""
    plan = make_plan(load_spec(write_study(tmp_path, study=study, evaluation={"holdout": holdout, "min_trades": 5})))
    other = on_market(plan, Market(kind, 3))
    (bars,) = other.job.instruments
    assert len(bars.close) == len(searched_bars(plan)[0].close)
    index = pd.DatetimeIndex(bars.timestamp.astype("datetime64[ns]"), name="timestamp")
    pd.DataFrame(bars._asdict(), index=index).drop(columns="timestamp").to_parquet(tmp_path / "bars.parquet")
    path = write_study(
        tmp_path, study=study, data={"path": "bars.parquet"}, evaluation={"holdout": 0.0, "min_trades": 5}
    )
    _, trials = run_here(path)
    best = rank(trials, ["maximize"])
    assert winner_on(plan, Market(kind, 3)) == (best[0].values[0] if best else None)


SPACES: tuple[Mapping[str, Any], ...] = (
    {"objective": "sharpe_ratio"},
    {"objective": "max_drawdown"},
    {"objective": "tail_ratio"},
    {"objective": "sharpe_ratio - n_trades / 1000", "direction": "maximize"},
    {"objective": ["calmar_ratio", "n_trades"]},
)


@pytest.mark.parametrize("study", SPACES, ids=lambda study: str(study["objective"]))
@pytest.mark.parametrize("constraints", [[], ["n_trades > 40", "omega_ratio > 1"]], ids=["free", "constrained"])
def test_a_sweep_that_keeps_nothing_finds_the_same_winner(
    study: Mapping[str, Any], constraints: list[str], tmp_path: Path
) -> None:
    evaluation = {"constraints": constraints, "folds": 2, "aggregate": "median"}
    plan = make_plan(load_spec(write_study(tmp_path, study={**SWEEP, **study}, evaluation=evaluation)))
    assert plan.spec.sweeps
    trials, _ = search(plan)
    best = rank(trials, [goal.direction for goal in plan.objective.goals])
    assert found(plan) == (best[0].values[0] if best else None)


@pytest.mark.parametrize("study", [SWEEP, TPE], ids=["sweep", "tpe"])
def test_the_null_is_the_same_however_it_is_run(study: Mapping[str, Any], tmp_path: Path) -> None:
    """In this process, in one worker, in two, and in several goes."""
    nulls = []
    for name, n_jobs, here, goes in (
        ("here", 1, True, 1),
        ("one", 1, False, 1),
        ("two", 2, False, 1),
        ("goes", 2, True, 4),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = write_study(folder, study={**study, "n_trials": 12}, validation=NULL_OF_19, parallel={"n_jobs": n_jobs})
        plan = make_plan(load_spec(path))
        record = begun(plan)
        with quiet_optuna():
            for go in range(goes):
                null = search_markets(plan, record, 0.2, here=here, stop=_after(7 if go < goes - 1 else 10**6))
        nulls.append(null)
        assert null is not None
        assert null.complete
    assert nulls[1:] == nulls[:-1]


def _after(looks: int) -> Callable[[], bool]:
    """Stops at the so-manieth look."""
    seen = itertools.count(1)
    return lambda: next(seen) > looks


def test_other_settings_or_more_trials_make_another_null(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={**SWEEP, "n_trials": 6}, validation=NULL_OF_19)
    plan = make_plan(load_spec(path))
    record = begun(plan)
    search_markets(plan, record, 0.2, here=True)
    kept = record.noted(NULL)
    more = make_plan(load_spec(path, {"study": {"n_trials": 7}}))
    search_markets(more, record, 0.2, here=True)
    assert record.noted(NULL)["identity"] != kept["identity"]


def _die(plan: Any, number: int) -> int:
    """Kills its worker where no file says that this was done before."""
    import os

    sign = Path(plan.spec.folder) / f"died{number}"
    if number == 3 and not sign.exists():
        sign.touch()
        os._exit(1)
    return number * number


def _always_die(plan: Any, number: int) -> int:
    import os

    os._exit(1)


def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path) -> None:
    from optim.errors import OptimError

    plan = make_plan(load_spec(write_study(tmp_path)))
    with Farm(plan, 2) as farm:
        assert list(farm.map(_die, range(8))) == [(n, n * n) for n in range(8)]
    with Farm(plan, 1) as farm, pytest.raises(OptimError, match="took its worker process down 3 times"):
        list(farm.map(_always_die, range(2)))


def test_validating_twice_searches_nothing_twice(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={**SWEEP, "n_trials": 8}, validation=NULL_OF_19)
    study = Study.from_toml(path)
    study.run()
    first = study.validate()
    record = study.recorded()[1]
    kept = record.noted(NULL)
    assert study.validate() == first
    assert record.noted(NULL) == kept
    assert first is not None
    assert first["null"]["complete"]
    assert 0.0 < first["p_value"] <= 1.0
    assert np.isfinite(first["null"]["skill"])


def test_no_password_travels_to_a_worker(tmp_path: Path) -> None:
    """Not the storage's, not MLflow's, not one that stands in the study file."""
    uri = "sqlite:///optuna.db?password=hunter2secret"
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "http://me:hunter2secret@127.0.0.1:1"}}
    plan = make_plan(load_spec(write_study(tmp_path, study={"storage": uri, "n_trials": 5}, tracking=tracking)))
    assert b"hunter2secret" not in pickle.dumps(tuple(packed(plan)))
    with Farm(plan, 1) as farm:
        assert [winner for _, winner in farm.map(winner_on, [Market("single", 0)])] == [
            winner_on(plan, Market("single", 0))
        ]


def test_a_run_whose_verdict_cannot_be_had_says_why_and_ends_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two bars cannot be shuffled."""
    (tmp_path / "bars.csv").write_text("date,open,high,low,close,volume\n2020-01-01,1,1,1,1,1\n2020-01-02,1,1,1,1,1\n")
    path = write_study(
        tmp_path,
        study={**SWEEP, "objective": "total_return", "n_trials": 3},
        data={"path": "bars.csv"},
        evaluation={"folds": 1, "holdout": 0.0},
        validation={"quick": 20},
    )
    assert main(["run", str(path)]) == 0
    assert "No verdict: shuffling needs at least 3 bars" in capsys.readouterr().out
    assert main(["validate", str(path)]) == 2
    assert "shuffling needs at least 3 bars" in capsys.readouterr().err
