"""What a study looks like in MLflow (on SQLite), through the mirror process and through `sync`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from optuna.trial import FrozenTrial, TrialState

from optim.report.tracked import children_of
from optim.tracking import LiveTrial, Mirror, MLflowSettings, NullMirror, StudyInfo, sync
from optim.tracking.process import quietly
from optim.tracking.projection import Projection
from optim.tracking.rows import milliseconds, run_name
from tests.tracking.builders import START, backtest, make_trial, make_trials, study_info
from tests.tracking.mlflow_side import (
    RESULT,
    STATUS,
    artifacts,
    children,
    open_client,
    snapshot,
    wait_for_child,
)
from tests.waiting import mirrors, until


@pytest.fixture
def settings(database: Path, tmp_path: Path) -> MLflowSettings:
    return MLflowSettings(f"sqlite:///{database}", "ma_crossover_optimization")


def test_mirror_projects_every_trial_with_its_state_and_true_times(settings: MLflowSettings) -> None:
    trials = make_trials(20)
    mirror = Mirror(study_info(), settings)
    for start in range(0, 20, 8):
        mirror.finished(trials[start : start + 8])
    told: list[tuple[int, int]] = []
    report = mirror.close(RESULT, lambda done, total: told.append((done, total)))

    assert report.complete
    assert told[-1] == (20, 20)
    runs = children(settings)
    assert sorted(runs) == list(range(20))
    for trial in trials:
        run = runs[trial.number]
        assert run.info.status == STATUS[trial.state.name]
        assert run.info.start_time == milliseconds(trial.datetime_start)
        assert run.info.end_time == milliseconds(trial.datetime_complete)
        assert run.data.tags["mlflow.parentRunId"] == report.parent_run_id
        own = {name: str(value) for name, value in trial.params.items()}
        assert run.data.params == {"strategy": "ma_crossover", **own}
        again = f"optim replay study.toml --trial {trial.number}`"
        assert again in run.data.tags["mlflow.note.content"]
        assert run.data.tags["market"] == "IBM"
    assert runs[2].info.run_name == "trial_0002_fast7_slow62"
    assert runs[5].data.tags["error"] == "the signal is not finite"
    assert runs[9].data.metrics["sharpe_ratio"] == 0.09
    history = open_client(settings).get_metric_history(runs[9].info.run_id, "cell/sharpe_ratio")
    assert [(point.step, point.value) for point in history] == [(step, 0.09 + step) for step in range(5)]


PLOTS = {f"plots/{name}.png" for name in ("drawdown", "equity_curve", "monthly_returns", "trades_distribution")}


def test_every_view_that_a_link_opens_finds_its_runs(settings: MLflowSettings) -> None:
    """The page sends a view's filter as it stands: MLflow must be able to read it."""
    sync(study_info(study_id="f00d", name="sealed"), settings, make_trials(3), RESULT)
    report = sync(study_info(), settings, make_trials(12), RESULT._replace(holdout=[backtest()]))
    client = open_client(settings)
    tags = client.get_experiment(report.experiment_id).tags
    views = {key.removeprefix("mlflow.sharedViewState."): json.loads(tags[key]) for key in tags if "sharedView" in key}
    found = {
        key: {run.info.run_id for run in client.search_runs([report.experiment_id], view["searchFilter"])}
        for key, view in views.items()
    }
    own = f"optim-{study_info().study_id}"
    assert found.keys() == {own, "optim-f00d", "optim-opened-sharpe_ratio"}
    assert (len(found[own]), len(found["optim-f00d"])) == (12, 3)
    assert found["optim-opened-sharpe_ratio"] == {report.parent_run_id}


def test_parent_carries_the_study(settings: MLflowSettings) -> None:
    result = RESULT._replace(best=[backtest()], holdout=[backtest()])
    report = sync(study_info(), settings, make_trials(12), result)
    assert report.complete
    parent = open_client(settings).get_run(report.parent_run_id)
    best = children(settings)[9]

    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "ma_crossover_ibm"
    assert parent.info.start_time == milliseconds(START)
    assert parent.data.params == {name: str(value) for name, value in study_info().params.items()}
    assert parent.data.tags["status"] == "finished"
    assert parent.data.tags["optim.best_run_id"] == best.info.run_id
    told = parent.data.tags["mlflow.note.content"]
    assert "Best: **0.09**" in told
    assert "optim report study.toml\n" in told
    linked = set(re.findall(r"artifacts/(\S+)\?", told)) | {unquote(p) for p in re.findall(r"path=([^&]+)&", told)}
    assert linked == {"plots/equity_curve.png", "config/study.toml"} | {
        f"reports/{name}" for name in ("best_params.toml", "trials.parquet")
    }
    assert parent.data.metrics["best/sharpe_ratio"] == 0.11
    assert parent.data.metrics["trials/pruned"] == 1
    dataset = parent.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("IBM", "ab" * 16)
    assert "ab" * 32 in dataset.profile
    assert artifacts(settings, parent.info.run_id, "config") == {"config/study.toml"}
    assert artifacts(settings, parent.info.run_id, "reports") >= {"reports/trials.parquet", "reports/best_params.toml"}
    assert artifacts(settings, parent.info.run_id, "holdout/plots") == {f"holdout/{plot}" for plot in PLOTS}
    assert artifacts(settings, best.info.run_id, "config") == {"config/config_snapshot.json"}
    assert artifacts(settings, parent.info.run_id, "plots") == PLOTS


def test_the_guides_filter_finds_trials(settings: MLflowSettings) -> None:
    sync(study_info(), settings, make_trials(20), RESULT)
    client = open_client(settings)
    experiment = client.get_experiment_by_name(settings.experiment_name)
    query = "metrics.sharpe_ratio > 0.15 and tags.market = 'IBM' and params.strategy = 'ma_crossover'"
    found = client.search_runs([experiment.experiment_id], query, order_by=["metrics.sharpe_ratio DESC"])
    assert [run.data.tags["optim.trial"] for run in found] == ["19", "18", "17", "16"]


def test_projecting_again_changes_nothing(settings: MLflowSettings) -> None:
    trials = make_trials(20)
    mirror = Mirror(study_info(), settings)
    mirror.finished(trials)
    assert mirror.close(RESULT).complete
    before = snapshot(settings)
    assert sync(study_info(), settings, trials, RESULT).complete
    assert snapshot(settings) == before


def test_a_resumed_study_goes_on_under_the_same_parent(settings: MLflowSettings) -> None:
    trials = make_trials(20)
    first = Mirror(study_info(), settings)
    first.finished(trials[:10])
    interrupted = first.close(None)
    parent = open_client(settings).get_run(interrupted.parent_run_id)
    assert (parent.info.status, parent.data.tags["status"]) == ("KILLED", "interrupted")

    changed = study_info(params={"strategy": "ma_crossover", "commit_sha": "fffffff"})
    second = Mirror(changed, settings)
    second.finished(trials)
    report = second.close(RESULT)
    assert report.complete
    assert report.parent_run_id == interrupted.parent_run_id
    assert len(children(settings)) == 20
    assert open_client(settings).get_run(report.parent_run_id).info.status == "FINISHED"


def test_sync_repairs_what_is_missing_damaged_or_too_much(settings: MLflowSettings) -> None:
    trials = make_trials(20)
    sync(study_info(), settings, trials, RESULT)
    client, runs = open_client(settings), children(settings)
    client.delete_run(runs[0].info.run_id)
    client.set_tag(runs[1].info.run_id, "optim.state", "PRUNED")
    client.update_run(runs[2].info.run_id, status="RUNNING")
    client.log_param(runs[4].info.run_id, "fee_bps", "10.0")  # as an earlier version wrote it
    surplus = {"optim.study_id": "5e1f", "optim.role": "trial"}
    client.create_run(runs[3].info.experiment_id, tags=surplus | {"optim.trial": "3"})
    client.create_run(runs[3].info.experiment_id, tags=surplus | {"optim.trial": "99"})

    assert sync(study_info(), settings, trials, RESULT).complete
    repaired = children(settings)
    assert sorted(repaired) == list(range(20))
    assert repaired[3].info.run_id == runs[3].info.run_id
    for number in (0, 1, 2, 4):
        assert repaired[number].data.metrics == runs[number].data.metrics
        assert repaired[number].data.params == runs[number].data.params
        assert repaired[number].data.tags == runs[number].data.tags
        assert repaired[number].info.status == runs[number].info.status
        assert repaired[number].info.end_time == runs[number].info.end_time


def test_a_long_trial_is_seen_running_with_its_cells(settings: MLflowSettings) -> None:
    trial = make_trial(0)
    mirror = Mirror(study_info(), settings)
    mirror.running(LiveTrial(0, trial.params, START, (trial.user_attrs["cell_values"][0],)))
    run = wait_for_child(settings, "cell/sharpe_ratio")
    assert run.info.status == "RUNNING"
    assert run.data.metrics == {"cell/sharpe_ratio": 0.0}
    mirror.running(LiveTrial(0, trial.params, START, tuple(trial.user_attrs["cell_values"][:2])))
    mirror.finished([trial])
    assert mirror.close(RESULT).complete
    (finished,) = children(settings).values()
    assert finished.info.run_id == run.info.run_id
    assert (finished.info.status, finished.info.end_time) == ("FINISHED", milliseconds(trial.datetime_complete))
    history = open_client(settings).get_metric_history(run.info.run_id, "cell/sharpe_ratio")
    assert sorted(point.step for point in history) == [0, 1, 2, 3, 4]


def test_a_running_trial_that_never_finished_leaves_no_run(settings: MLflowSettings) -> None:
    mirror = Mirror(study_info(), settings)
    mirror.running(LiveTrial(0, {"fast_window": 5}, START, ()))
    wait_for_child(settings)
    assert mirror.close(None).complete
    assert children(settings) == {}


def test_a_dead_mirror_process_is_reported_and_harms_nothing(settings: MLflowSettings) -> None:
    mirror = Mirror(study_info(), settings)
    (pid,) = mirrors(os.getpid())
    os.kill(pid, signal.SIGKILL)
    until(lambda: mirror.problem, "the death was never told")
    mirror.finished(make_trials(10))
    report = mirror.close(RESULT)
    assert report.missing == 10
    assert "died (signal 9)" in report.error


def test_several_objectives(settings: MLflowSettings) -> None:
    info = study_info(objectives=("sharpe_ratio", "max_drawdown"), directions=("maximize", "maximize"))
    trial = make_trial(1, cell_values=[[1.0, -0.1], [2.0, -0.2]])
    trial.values = [0.5, -0.15]
    assert sync(info, settings, [trial], RESULT._replace(best_number=None)).complete
    (run,) = children(settings).values()
    assert run.data.metrics["cell/sharpe_ratio"] == 2.0
    assert run.data.metrics["cell/max_drawdown"] == -0.2
    assert run.data.metrics["objective/sharpe_ratio"] == 0.5


def test_an_expression_as_objective_has_names_that_mlflow_takes(settings: MLflowSettings) -> None:
    info = study_info(objectives=("sharpe_ratio - 2 * abs(max_drawdown)",))
    report = sync(info, settings, make_trials(12), RESULT)
    assert report.complete, report.error
    client = open_client(settings)
    parent = client.get_run(report.parent_run_id)
    key = "sharpe_ratio - 2 _ abs_max_drawdown_"
    assert parent.data.metrics[f"best/{key}"] == 0.11
    assert key in children(settings)[9].data.metrics
    tags = client.get_experiment(parent.info.experiment_id).tags
    assert any(f"metrics.`{key}`" in text and "abs(" not in text for text in tags.values())


def test_only_the_best_trials_get_a_run_and_the_table_holds_all(settings: MLflowSettings) -> None:
    """Of forty trials the best are 39, 38, 37; 35 failed, so it is none of them."""
    trials = make_trials(40)
    info = study_info(children=3)
    mirror = Mirror(info, settings)
    mirror.finished(trials)
    report = mirror.close(RESULT._replace(best_number=39))
    assert report.complete, report.error
    assert report.note == "The best 3 of 40 trials have a run in MLflow; reports/trials.parquet has them all"
    assert sorted(children(settings)) == [37, 38, 39]
    parent = open_client(settings).get_run(report.parent_run_id)
    assert parent.data.tags["optim.best_run_id"] == children(settings)[39].info.run_id
    assert parent.data.metrics["trials/fail"] == 4
    assert table_numbers(settings, report.parent_run_id) == list(range(40))
    before = snapshot(settings)
    for _ in range(2):
        assert sync(info, settings, trials, RESULT._replace(best_number=39)) == report
        assert snapshot(settings) == before


def test_a_resumed_study_adds_better_trials_and_takes_the_surpassed_away(settings: MLflowSettings) -> None:
    trials, info = make_trials(40), study_info(children=3)
    first = Mirror(info, settings)
    first.finished(trials[:20])
    assert first.close(None).complete
    kept = children(settings)
    assert sorted(kept) == [17, 18, 19]
    better = [*trials[:20], *trials[36:38]]
    second = Mirror(info, settings)
    second.finished(better)
    report = second.close(RESULT)
    assert report.complete, report.error
    assert sorted(children(settings)) == [19, 36, 37]
    assert table_numbers(settings, report.parent_run_id) == [*range(20), 36, 37]
    for _ in range(2):
        assert sync(info, settings, better, RESULT) == report
        now = children(settings)
        assert sorted(now) == [19, 36, 37]
        assert now[19].to_dictionary() == kept[19].to_dictionary()


def states(settings: MLflowSettings) -> dict[int, tuple[str, dict[str, str], dict[str, float]]]:
    """What MLflow shows of every child."""
    return {number: (run.info.status, run.data.params, run.data.metrics) for number, run in children(settings).items()}


def projected(info: StudyInfo, settings: MLflowSettings, *known: list[FrozenTrial]) -> str:
    """A mirror's work in this process: the record as it grows, then the end. What it says of the runs left out."""
    with quietly(settings), Projection(info, settings) as projection:
        for trials in known:
            projection.project(projection.chosen(trials, ended=False))
        projection.project(projection.chosen(known[-1], ended=True))
        projection.finish(known[-1], RESULT)
        assert projection.missing(projection.chosen(known[-1], ended=True)) == 0
        return projection.note


def test_a_study_that_outgrows_the_limit_is_in_mlflow_as_if_run_in_one_go(tmp_path: Path, database: Path) -> None:
    """Up to twenty trials each has a run, beyond that the best five. Of forty, 35 failed."""
    trials, info = make_trials(40), study_info(children=5, all_up_to=20)
    grown, resumed, at_once = (
        MLflowSettings(f"sqlite:///{shutil.copy(database, tmp_path / f'{name}.db')}") for name in "abc"
    )
    for known in (12, 20):
        assert projected(info, resumed, trials[:known]) == ""
        assert sorted(children(resumed)) == list(range(known))
    said = "The best 5 of 40 trials have a run in MLflow; reports/trials.parquet has them all"
    assert projected(info, resumed, trials[:20], trials) == said
    assert projected(info, grown, trials[:15], trials[:30], trials) == said
    assert projected(info, at_once, trials) == said
    assert sorted(children(resumed)) == [34, 36, 37, 38, 39]
    assert shown(resumed) == shown(grown) == shown(at_once)

    before = snapshot(resumed)
    report = sync(info, resumed, trials, RESULT)
    assert (report.complete, report.note) == (True, said)
    assert snapshot(resumed) == before
    parent = open_client(resumed).get_run(report.parent_run_id)
    assert parent.data.tags["mlflow.note.content"].count(said) == 1
    assert table_numbers(resumed, report.parent_run_id) == list(range(40))


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [("auto", 2_000, 2_000), ("auto", 2_001, 1_000), ("all", 2_001, 2_001), ("top:7", 2_000, 7), ("top:7", 5, 4)],
)
def test_as_many_trials_have_a_run_as_the_study_file_says(
    asked: str, known: int, expected: int, settings: MLflowSettings
) -> None:
    """Of ten trials eight are complete: of the first five, four."""
    trials = make_trials(known)
    chosen = Projection(study_info(**children_of(asked)), settings).chosen(trials, ended=True)
    assert len(chosen) == expected
    if expected < known:
        best = [trial.number for trial in reversed(trials) if trial.number % 10 not in (3, 5)]
        assert [trial.number for trial in chosen] == best[:expected]


def shown(settings: MLflowSettings) -> dict[int, tuple[str, dict[str, str], dict[str, float]]]:
    """What MLflow shows of every child."""
    return {number: (run.info.status, run.data.params, run.data.metrics) for number, run in children(settings).items()}


def table_numbers(settings: MLflowSettings, run_id: str) -> list[int]:
    """The trials in the study's Parquet table."""
    path = open_client(settings).download_artifacts(run_id, "reports/trials.parquet")
    return pd.read_parquet(path)["number"].tolist()


def test_the_winner_is_marked_and_shows_what_its_holdout_did(settings: MLflowSettings) -> None:
    """Opened for trial 9; then 11 wins, whose hold-out is sealed, and is opened for it too."""
    trials, info = make_trials(12), study_info()
    opened = {"holdout/sharpe_ratio": 0.5, "verdict/skill": 1.0}
    sealed = {"verdict/skill": 1.0}
    shown = []
    for best, metrics in ((9, opened), (11, sealed), (11, {**opened, "holdout/sharpe_ratio": 0.7})):
        report = sync(info, settings, trials, RESULT._replace(best_number=best, metrics=metrics))
        assert report.complete, report.error
        runs = children(settings)
        marked = [number for number, run in runs.items() if "optim.winner" in run.data.tags]
        assert (marked, runs[best].data.tags["optim.winner"]) == ([best], "true")
        parent = open_client(settings).get_run(report.parent_run_id).data.metrics
        assert parent["verdict/skill"] == 1.0
        assert "verdict/skill" not in runs[best].data.metrics
        shown.append((parent["holdout/sharpe_ratio"], runs[best].data.metrics.get("holdout/sharpe_ratio")))
    assert repr(shown) == "[(0.5, 0.5), (nan, None), (0.7, 0.7)]"


def test_null_mirror_is_silent() -> None:
    mirror = NullMirror()
    mirror.finished([])
    assert mirror.close(None).complete


def test_run_names_shorten_only_what_stays_clear() -> None:
    params = {"fast_window": 20, "slow_window": 50, "fast_type": "ema", "ratio": 0.123456}
    assert run_name(42, params, ("fast_window", "slow_window")) == "trial_0042_fast20_slow50"
    assert run_name(1, params, ("fast_window", "fast_type")) == "trial_0001_fast_window20_fast_type-ema"
    assert run_name(12345, params, ("ratio", "absent")) == "trial_12345_ratio0.1235"


def test_times_are_of_the_trial_even_when_it_has_no_end() -> None:
    from optim.tracking.rows import trial_row

    trial = make_trial(3, TrialState.FAIL)
    trial.datetime_complete = None
    row = trial_row(study_info(), "p", trial)
    assert row.start == row.end == milliseconds(START + timedelta(seconds=3))


def test_a_pruned_trial_is_not_sorted_among_whole_ones(settings: MLflowSettings) -> None:
    trials = [make_trial(0), make_trial(1, TrialState.PRUNED, cell_values=[9.0]), make_trial(2, infeasible="too few")]
    assert sync(study_info(), settings, trials, RESULT._replace(best_number=0)).complete
    whole, pruned, infeasible = (children(settings)[number].data for number in range(3))
    assert "sharpe_ratio" in whole.metrics
    assert not {"sharpe_ratio", "total_return"} & pruned.metrics.keys()
    assert pruned.metrics["partial/total_return"] == 0.25
    assert [data.tags["optim.cells"] for data in (whole, pruned)] == ["5", "1"]
    assert [data.tags.get("optim.feasible") for data in (whole, pruned, infeasible)] == ["true", None, "false"]


def test_several_instruments_have_a_folder_each(settings: MLflowSettings) -> None:
    both = [backtest("ibm"), backtest("msft")]
    report = sync(study_info(), settings, make_trials(12), RESULT._replace(best=both, holdout=both))
    assert report.complete, report.error
    for instrument in ("ibm", "msft"):
        for folder in ("plots", "holdout/plots"):
            found = artifacts(settings, report.parent_run_id, f"{folder}/{instrument}")
            assert found == {f"{folder}/{instrument}/{plot.removeprefix('plots/')}" for plot in PLOTS}
        trades = artifacts(settings, report.parent_run_id, f"reports/{instrument}")
        assert f"reports/{instrument}/trades.csv.gz" in trades


def test_the_results_own_metrics_are_the_last_ones_told(settings: MLflowSettings) -> None:
    """A verdict changes without another trial; MLflow shows the latest of equal steps, whatever its value."""
    for p in (0.6, 0.5, 0.6):
        result = RESULT._replace(metrics={"verdict/p_value": p, "verdict/skill": 1.0}, tags={"verdict": str(p)})
        report = sync(study_info(), settings, make_trials(3), result)
        assert report.complete, report.error
        run = open_client(settings).get_run(report.parent_run_id)
        assert run.data.metrics["verdict/p_value"] == p
        assert run.data.tags["verdict"] == str(p)
    assert len(open_client(settings).get_metric_history(report.parent_run_id, "verdict/skill")) == 1
