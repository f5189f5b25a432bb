"""studies/: every example runs as it stands, but for the number of its trials."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from optim import Study
from optim.verdict.walk_forward import search_window
from optim.verdict.windows import spans
from tests.snippets import Page
from tests.studies import ROOT

N_TRIALS = 10
STUDIES = {path.stem: path for path in (ROOT / "studies").glob("*.toml")}


def example(name: str, folder: Path, **tables: Any) -> Study:
    return Study.from_toml(
        STUDIES[name],
        n_trials=N_TRIALS,
        n_jobs=1,
        backend="sequential",
        storage=str(folder / "optuna.journal"),
        **{"validation": {"quick": 0}, "tracking": {"enabled": False}, **tables},
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Study, list[FrozenTrial]]]:
    """An example with the trials it has made; each is run once."""

    @functools.cache
    def run(name: str) -> tuple[Study, list[FrozenTrial]]:
        study = example(name, tmp_path_factory.mktemp(name))
        study.run()
        return study, study.recorded()[1].trials()

    return run


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_an_example_runs_and_says_what_it_shows(name: str, ran: Any) -> None:
    study, trials = ran(name)
    assert study.spec.study.name == name
    assert len(trials) == N_TRIALS
    assert not [trial.user_attrs["error"] for trial in trials if "error" in trial.user_attrs]
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    first = STUDIES[name].read_text().splitlines()[0]
    assert first.startswith("# ")
    assert 40 < len(first) < 140
    assert f"`studies/{name}.toml`" in Page("docs/study.md").text


def test_the_grid_is_a_sweep_of_all_its_points(tmp_path: Path) -> None:
    plan = example("grid", tmp_path).plan
    assert plan.spec.sweeps
    assert len(list(plan.space.grid())) == 23 * 12 <= 1000


def test_conditions_are_met_by_every_trial(ran: Any) -> None:
    _, trials = ran("conditions")
    ways = {"mean": {"by", "mean_window"}, "channel": {"by", "entry_window", "exit_window"}}
    assert {trial.params["by"] for trial in trials} == set(ways)
    assert all(set(trial.params) == ways[trial.params["by"]] for trial in trials)


def test_searched_stops_are_hit(ran: Any) -> None:
    study, _ = ran("stops")
    assert {"stop_loss", "trailing_stop"} & set(study.backtest().trades["exit_reason"])


@pytest.mark.parametrize(("name", "instruments"), [("pair", 2), ("portfolio", 3)])
def test_a_shared_account_trades_every_instrument(name: str, instruments: int, ran: Any) -> None:
    study, _ = ran(name)
    names = {data.name for data in study.plan.datasets}
    result = study.backtest()
    assert set(result.trades["instrument"]) == set(result.fills["instrument"]) == names
    assert len(names) == instruments


def test_moving_levels_end_trades(ran: Any) -> None:
    study, _ = ran("moving_levels")
    assert {"stop_loss", "trailing_stop"} & set(study.backtest().trades["exit_reason"])


def test_a_walk_forward_searches_a_window_of_four_years(tmp_path: Path) -> None:
    plan = example("walk_forward", tmp_path).plan
    found = spans(plan, plan.spec.validation.walk_forward)
    window, tried = search_window(plan, found[0])
    assert len(found) == 7  # 2000-03 to 2010-07 are searched: six whole years from 2004-03 on, and a part
    assert len(tried) == N_TRIALS
    assert window.params in [one.params for one in tried]
    assert 250 < len(window.returns) < 366
