"""Walk-forward: windows by hand, each the study it stands for, and resumed to the same result."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.backtest import BacktestEngine
from optim.api import Study
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.problem.recorded import begun
from optim.record.quiet import quiet_optuna
from optim.search.ranking import rank
from optim.spec.study import load_spec
from optim.tracking import MLflowSettings
from optim.verdict.walk_forward import WALK, walk_forward
from optim.verdict.windows import spans, tried_cells
from tests.studies import run_here, write_study
from tests.tracking.mlflow_side import all_runs, children, open_client, snapshot

TPE = {"sampler": {"name": "TPESampler", "n_startup_trials": 4}, "n_trials": 10}
DAY = 86_400_000_000_000


def plan_with(folder: Path, windows: dict[str, Any], **changes: Any) -> Any:
    path = write_study(folder, study=TPE, validation={"walk_forward": windows}, **changes)
    return make_plan(load_spec(path))


def edges(plan: Any) -> list[tuple[int, int, int, int]]:
    """The windows as numbers of bars: train from, train to, try from, try to."""
    times = plan.job.instruments[0].timestamp[: plan.searched[0].stop]
    given = plan.spec.validation.walk_forward
    return [tuple(np.searchsorted(times, edge).tolist() for edge in span) for span in spans(plan, given)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ({"train": 1000, "test": 500}, [(0, 1000, 1000, 1500), (500, 1500, 1500, 2000), (1000, 2000, 2000, 2452)]),
        (
            {"train": 1000, "test": 500, "mode": "anchored"},
            [(0, 1000, 1000, 1500), (0, 1500, 1500, 2000), (0, 2000, 2000, 2452)],
        ),
        (
            {"train": 1000, "test": 700, "gap": 20},
            [(0, 1000, 1020, 1720), (700, 1700, 1720, 2420), (1400, 2400, 2420, 2452)],
        ),
    ],
)
def test_windows_in_bars(tmp_path: Path, windows: dict[str, Any], expected: list[Any]) -> None:
    plan = plan_with(tmp_path, windows, evaluation={"holdout": 0.25})
    assert plan.searched[0].stop == 2452  # 3270 less round(817.5)
    assert edges(plan) == expected


def test_windows_in_years_and_months_follow_the_calendar(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, {"train": "4y", "test": "6M"}, evaluation={"holdout": 0.0})
    found = spans(plan, plan.spec.validation.walk_forward)
    first = pd.Timestamp(int(plan.job.instruments[0].timestamp[0]))
    for number, span in enumerate(found):
        moved = pd.DateOffset(months=6 * number)
        assert pd.Timestamp(span.train) == first + moved
        assert pd.Timestamp(span.test) == first + pd.DateOffset(years=4) + moved
    tried = [tried_cells(plan, span)[0] for span in found]
    assert all(one.stop == other.start for one, other in itertools.pairwise(tried))
    assert tried[-1].stop == len(plan.job.instruments[0].close) - 1  # the last bar is a window of its own: no backtest


def test_a_window_is_the_study_on_its_bars_and_a_backtest_of_what_follows(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, {"train": 1500, "test": 400}, evaluation={"holdout": 0.0, "folds": 2})
    with quiet_optuna():
        walk = walk_forward(plan, begun(plan))
    assert walk is not None
    (bars,) = plan.job.instruments
    equity = []
    for window, (start, stop, tried, end) in zip(walk.windows, edges(plan), strict=True):
        folder = tmp_path / str(start)
        folder.mkdir()
        frame = pd.DataFrame({name: column[start:stop] for name, column in bars._asdict().items()})
        frame["timestamp"] = frame["timestamp"].astype("datetime64[ns]")
        frame.to_parquet(folder / "bars.parquet")
        path = write_study(folder, study=TPE, data={"path": "bars.parquet"}, evaluation={"holdout": 0.0, "folds": 2})
        best = rank(run_here(path)[1], ["maximize"])[0]
        assert (window.params, window.in_sample) == (best.params, best.values[0])
        engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, fee_bps=10.0)
        seen = type(bars)(*(column[:end] for column in bars))
        own = engine.run_realistic(seen, plan.strategy, {"ma_type": "sma", **best.params}, start=tried)
        assert window.out_of_sample == own.metrics["sharpe_ratio"]
        np.testing.assert_allclose(window.returns, own.returns, atol=1e-12)
        equity.append(own.metrics["total_return"])
    assert walk.total_return == pytest.approx(math.prod(1 + one for one in equity) - 1)
    steps = [
        (abs(a["fast_window"] - b["fast_window"]) / 45 + abs(a["slow_window"] - b["slow_window"]) / 190) / 2
        for a, b in zip([w.params for w in walk.windows], [w.params for w in walk.windows][1:], strict=False)
    ]
    assert walk.drift == pytest.approx(np.mean(steps))


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, {"train": 1000, "test": 200}, parallel={"n_jobs": 2})
    record = begun(plan)
    done: list[int] = []
    with quiet_optuna():
        first = walk_forward(plan, record, stop=lambda: len(done) >= 2, progress=lambda n, _: done.append(n))
        assert first is None
        assert len(record.noted(WALK)["windows"]) == len(done) >= 2
        whole = walk_forward(plan, record, progress=lambda n, _: done.append(n))
        assert whole == walk_forward(plan, begun(plan))
    assert whole is not None
    assert done == list(range(1, len(whole.windows) + 1))


def test_windows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, {"train": 3000, "test": 300}, evaluation={"holdout": 0.2})
    with pytest.raises(SpecError, match="2616 searched bars hold no window with train = 3000 and test = 300"):
        spans(plan, plan.spec.validation.walk_forward)
    for key, value in (("train", "4 years"), ("test", 1), ("mode", "expanding")):
        with pytest.raises(SpecError, match=key):
            load_spec(write_study(tmp_path, validation={"walk_forward": {"train": 100, "test": 100, key: value}}))


def test_validate_reports_it(tmp_path: Path) -> None:
    validation = {"null": {"markets": 19}, "walk_forward": {"train": "4y", "test": "2y"}}
    study = Study.from_toml(write_study(tmp_path, study=TPE, validation=validation))
    study.run()
    verdict = study.validate()
    assert verdict is not None
    assert len(verdict["walk_forward"]["windows"]) >= 2
    assert verdict["walk_forward"]["windows"][0]["test"].startswith("2004-03")


def test_mlflow_has_a_run_for_every_window_and_its_trials_under_it(tmp_path: Path) -> None:
    validation = {"null": {"markets": 19}, "walk_forward": {"train": "5y", "test": "2y"}}
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment_name": "walk"}}
    study = Study.from_toml(write_study(tmp_path, study=TPE, validation=validation, tracking=tracking))
    study.run()
    verdict = study.validate()
    assert verdict is not None
    expected = verdict["walk_forward"]["windows"]
    settings = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "walk")
    study.sync()
    first = snapshot(settings)
    assert study.sync().complete
    ours = {name: run for name, run in first.items() if "window" in role(run)}
    assert len(ours) == len(expected) * (1 + TPE["n_trials"])
    assert {name: run for name, run in snapshot(settings).items() if "window" in role(run)} == ours
    (parent,) = [run for run in all_runs(settings) if run.data.tags["optim.role"] == "study"]
    windows = sorted(under(settings, parent, "window"), key=lambda run: run.info.run_name)
    assert [run.info.status for run in windows] == ["FINISHED"] * len(expected)
    for run, told in zip(windows, expected, strict=True):
        assert run.data.metrics["sharpe_ratio"] == told["in_sample"]
        assert run.data.metrics["out_of_sample/sharpe_ratio"] == told["out_of_sample"]
        assert run.data.params["train"] == told["train"]
        trials = under(settings, run, "window_trial")
        assert len(trials) == TPE["n_trials"]
        finished = [one.data.metrics["sharpe_ratio"] for one in trials if one.info.status == "FINISHED"]
        assert max(finished) == told["in_sample"]  # of the search on these bars
    trials = children(settings)
    assert len(trials) == TPE["n_trials"]  # the study's own trials are these and no others
    best = int(parent.data.tags["optim.best_trial"])
    told = verdict["statistics"]
    assert trials[best].data.metrics["verdict/romano_wolf_p_value"] == told["romano_wolf"]["buy and hold"]
    for trial in parent.data.tags["optim.top_runs"].split():
        (number,) = [number for number, run in trials.items() if run.info.run_id == trial]
        p_value = trials[number].data.metrics["verdict/romano_wolf_p_value"]
        assert p_value == told["p_values"].get(str(number), 1.0)

    page = open_client(settings).download_artifacts(parent.info.run_id, "reports/report.html")
    assert Path(page).read_bytes() == study.report(tmp_path / "report.html").read_bytes()

    client = open_client(settings)  # a window that was half written when the process died
    client.update_run(windows[0].info.run_id, status="RUNNING")
    client.delete_run(under(settings, windows[0], "window_trial")[0].info.run_id)
    study.sync()
    again = sorted(under(settings, parent, "window"), key=lambda run: run.info.run_name)
    assert [run.data.metrics for run in again] == [run.data.metrics for run in windows]
    assert len(under(settings, again[0], "window_trial")) == TPE["n_trials"]


def role(run: Any) -> str:
    return str(run["data"]["tags"].get("optim.role", ""))


def under(settings: MLflowSettings, parent: Any, role: str) -> list[Any]:
    """The runs of a role whose parent this is."""
    own = {"mlflow.parentRunId": parent.info.run_id, "optim.role": role}
    return [run for run in all_runs(settings) if own.items() <= run.data.tags.items()]
