"""Runs logged by hand."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from optim.errors import SpecError, TrackingError
from optim.tracking import MLflowSettings, MLflowTracker, NullTracker, Tracker, build_tracker_from_config, sync
from optim.tracking.limits import FULL_VALUES
from tests.tracking.builders import make_trials, study_info
from tests.tracking.proxy import DROP, PASS, FaultyProxy, faulty


@pytest.fixture
def uri(database: Path) -> str:
    return f"sqlite:///{database}"


@pytest.fixture
def tracker(uri: str, tmp_path: Path) -> MLflowTracker:
    return MLflowTracker(uri, "by_hand", str(tmp_path / "files"))


def runs(uri: str, experiment: str = "by_hand") -> dict[str, Run]:
    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return {run.info.run_name: run for run in found}


def full_values(uri: str, run: Run) -> dict[str, Any]:
    return json.loads(Path(MlflowClient(tracking_uri=uri).download_artifacts(run.info.run_id, FULL_VALUES)).read_text())


def test_by_hand(tracker: MLflowTracker, uri: str, tmp_path: Path) -> None:
    (tmp_path / "equity_curve.png").write_bytes(b"png")
    tracker.start_run("ma_crossover_fast20_slow50")
    tracker.log_params({"fast_window": 20, "slow_window": 50})
    for step, equity in enumerate((1.0, 1.1, 1.2)):
        tracker.log_metrics({"equity": equity}, step=np.int64(step))
    tracker.log_metrics({"sharpe": np.float64(1.8)})
    tracker.log_artifact(tmp_path / "equity_curve.png", artifact_path="plots/")
    tracker.set_tags({"env": "dev"})
    tracker.set_tags({"env": "prod"})
    tracker.end_run()
    tracker.end_run()  # nothing is open: harmless in a `finally`

    run = runs(uri)["ma_crossover_fast20_slow50"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"fast_window": "20", "slow_window": "50"}
    assert run.data.metrics == {"equity": 1.2, "sharpe": 1.8}
    assert run.data.tags["env"] == "prod"
    client = MlflowClient(tracking_uri=uri)
    assert [p.step for p in client.get_metric_history(run.info.run_id, "equity")] == [0, 1, 2]
    assert [item.path for item in client.list_artifacts(run.info.run_id, "plots")] == ["plots/equity_curve.png"]


def test_context_manager_ends_the_run(uri: str) -> None:
    with MLflowTracker(uri, "by_hand", auto_start_run=True) as tracker:
        tracker.log_metrics({"sharpe": 1.8})
    (run,) = runs(uri).values()
    assert run.info.status == "FINISHED"


def test_an_exception_makes_the_run_failed_and_is_passed_on(uri: str) -> None:
    text = "connection to postgresql://bob:hunter22@db/x lost"

    def fail() -> None:
        with MLflowTracker(uri, "by_hand", auto_start_run=True) as tracker:
            tracker.start_run("inner")
            raise ValueError(text)

    with pytest.raises(ValueError, match="hunter22"):
        fail()
    for run in runs(uri).values():
        assert run.info.status == "FAILED"
        assert run.data.tags["status"] == "failed"
        assert run.data.tags["error"] == "ValueError: connection to postgresql://bob:***@db/x lost"


def test_a_run_inside_a_run_is_its_child(tracker: MLflowTracker, uri: str) -> None:
    outer = tracker.start_run("outer")
    inner = tracker.start_run("inner")
    tracker.start_run("innermost")
    tracker.end_run()
    tracker.end_run("KILLED")
    tracker.start_run("second")
    tracker.end_run()
    tracker.end_run()
    tracker.start_run("alone")
    tracker.end_run()
    found = runs(uri)
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in found.items()}
    assert parents == {"outer": None, "inner": outer, "innermost": inner, "second": outer, "alone": None}
    assert found["inner"].info.status == "KILLED"


def test_threads_have_their_own_runs_under_the_common_one(tracker: MLflowTracker, uri: str) -> None:
    study = tracker.start_run("study")
    together = threading.Barrier(4)

    def trial(number: int) -> None:
        tracker.start_run(f"trial_{number}")
        together.wait()
        tracker.log_params({"number": number})
        tracker.log_metrics({"value": float(number)})
        together.wait()
        tracker.end_run()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(trial, range(4)))
        threads.submit(tracker.log_metrics, {"from_a_thread_without_a_run": 1.0}).result()
    tracker.end_run()
    found = runs(uri)
    for number in range(4):
        run = found[f"trial_{number}"]
        assert run.data.tags["mlflow.parentRunId"] == study
        assert (run.data.params["number"], run.data.metrics["value"]) == (str(number), float(number))
        assert run.info.status == "FINISHED"
    assert found["study"].data.metrics == {"from_a_thread_without_a_run": 1.0}


def test_mlflows_global_state_is_untouched(uri: str) -> None:
    before = (mlflow.get_tracking_uri(), mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI"))
    with MLflowTracker(uri, "by_hand", auto_start_run=True):
        assert (mlflow.get_tracking_uri(), mlflow.active_run(), os.environ.get("MLFLOW_TRACKING_URI")) == before


def test_nothing_is_lost_to_mlflows_limits(tracker: MLflowTracker, uri: str) -> None:
    params: dict[str, Any] = {f"p{number}": number for number in range(650)}
    params |= {"long": "x" * 7000, "key@with#odd?signs": 1, "key_with_odd_signs": 2, "": "empty", "k" * 300: "long key"}
    params |= {"../up": 1, "/root": 2, "a//b": 3, "numpy": np.float32(0.5), "none": None}
    metrics = {
        "nan": math.nan,
        "inf": math.inf,
        "-inf": -math.inf,
        "numpy": np.int64(3),
        "odd@key": 0.1234567890123456789,
    }
    tracker.start_run("limits")
    tracker.log_params(params)
    tracker.log_metrics(metrics)
    tracker.set_tags({"long": "y" * 9000, "odd@tag": 1})
    tracker.end_run()

    run = runs(uri)["limits"]
    assert len(run.data.params) == len(params)
    assert run.data.params["p649"] == "649"
    assert run.data.params["numpy"] == "0.5"
    assert run.data.params["key_with_odd_signs"] == "2"
    assert run.data.params["long"].endswith(f"[shortened; in full in {FULL_VALUES}]")
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["inf"] == sys.float_info.max  # what MLflow's databases keep
    assert run.data.metrics["odd_key"] == 0.1234567890123456789
    full = full_values(uri, run)
    assert full["params"]["long"] == "x" * 7000
    assert full["params"]["key@with#odd?signs"] == "1"
    assert full["params"]["k" * 300] == "long key"
    assert {"../up", "/root", "a//b", ""} <= full["params"].keys()
    assert full["metrics"] == {"odd@key": 0.1234567890123456789}
    assert full["tags"] == {"long": "y" * 9000, "odd@tag": "1"}


def test_clear_errors(tracker: MLflowTracker, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="No run is open"):
        tracker.log_metrics({"sharpe": 1.0})
    with pytest.raises(TrackingError, match="FINISHED, FAILED, KILLED, but got 'DONE'"):
        tracker.end_run("DONE")
    tracker.start_run("errors")
    with pytest.raises(TrackingError, match="does not exist"):
        tracker.log_artifact(tmp_path / "absent.png")
    tracker.log_params({"a": 1})
    with pytest.raises(TrackingError, match="not allowed"):
        tracker.log_params({"a": 2})
    tracker.end_run("FAILED")


def test_infinite_and_undefined_metrics_are_named_by_a_tag(tracker: MLflowTracker, uri: str) -> None:
    tracker.start_run("odd")
    tracker.log_metrics({"profit_factor": math.inf, "sharpe": 1.0})
    tracker.log_metrics({"calmar": -math.inf, "gap": math.nan}, step=1)
    tracker.log_metrics({"sharpe": 2.0})
    tracker.end_run()
    tags = runs(uri)["odd"].data.tags
    assert tags["optim.not_finite"] == "profit_factor=inf, calmar=-inf, gap=nan"


@pytest.fixture
def outage(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A way to a server that can be cut; MLflow's own client tries but once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with faulty(server) as proxy:
        yield proxy


def test_an_outage_does_not_replace_the_users_own_exception(outage: FaultyProxy, server: str) -> None:
    tracker = MLflowTracker(outage.url, "outage_in_with")
    with pytest.raises(ZeroDivisionError), tracker:
        fail_in_an_outage(tracker, outage)
    assert runs(server, "outage_in_with")["cut"].info.status == "RUNNING"
    outage.fault = lambda path, count: PASS
    tracker.start_run("next")
    tracker.end_run()
    found = runs(server, "outage_in_with")
    assert {name: run.info.status for name, run in found.items()} == {"cut": "FAILED", "next": "FINISHED"}
    assert found["cut"].data.tags["error"] == "ZeroDivisionError: the user's"


def fail_in_an_outage(tracker: MLflowTracker, proxy: FaultyProxy) -> None:
    tracker.start_run("cut")
    proxy.fault = lambda path, count: DROP
    raise ZeroDivisionError("the user's")


def test_an_end_that_could_not_be_told_is_told_later(outage: FaultyProxy, server: str) -> None:
    tracker = MLflowTracker(outage.url, "outage_at_end")
    tracker.start_run("late")
    outage.fault = lambda path, count: DROP
    with pytest.raises(TrackingError):
        tracker.end_run("KILLED")
    outage.fault = lambda path, count: PASS
    tracker.end_run()
    tracker.start_run("next")
    tracker.end_run()
    status = {name: run.info.status for name, run in runs(server, "outage_at_end").items()}
    assert status == {"late": "KILLED", "next": "FINISHED"}


def test_sync_leaves_the_users_settings_of_mlflow_alone(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    before = dict(os.environ)
    assert sync(study_info(), MLflowSettings(uri, "env"), make_trials(2), None).complete
    assert {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_HTTP")} == {
        name: value for name, value in before.items() if name.startswith("MLFLOW_HTTP")
    }
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in set(os.environ) - set(before)


def test_an_unreachable_server_is_told_without_the_password() -> None:
    tracker = MLflowTracker("postgresql://bob:hunter22@127.0.0.1:1/mlflow")
    with pytest.raises(TrackingError, match=r"postgresql://bob:\*\*\*@127.0.0.1:1/mlflow") as caught:
        tracker.start_run("never")
    assert "hunter22" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_deleted_experiment_has_a_remedy(uri: str, tracker: MLflowTracker) -> None:
    tracker.start_run("one")
    tracker.end_run()
    client = MlflowClient(tracking_uri=uri)
    client.delete_experiment(client.get_experiment_by_name("by_hand").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        MLflowTracker(uri, "by_hand", auto_start_run=True)


CONFIG = """
[tracking]
enabled = true
backend = "mlflow"

[tracking.mlflow]
tracking_uri = "${DATABASE}"
experiment_name = "from_config"

[tracking.tags]
market = "IBM"
"""


def test_from_a_configuration(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("DATABASE", "sqlite:///mlflow.db")
    tracker = build_tracker_from_config(tmp_path / "config.toml")
    tracker.start_run("configured")
    tracker.end_run()
    assert runs(uri, "from_config")["configured"].data.tags["market"] == "IBM"

    monkeypatch.delenv("DATABASE")
    with pytest.raises(SpecError, match="environment variable DATABASE is not set"):
        build_tracker_from_config(tmp_path / "config.toml")
    with pytest.raises(SpecError, match="unknown key 'tracking_url'"):
        build_tracker_from_config({"tracking": {"enabled": True, "mlflow": {"tracking_url": "x"}}})
    with pytest.raises(SpecError, match='backend must be "mlflow"'):
        build_tracker_from_config({"tracking": {"enabled": True, "backend": "wandb"}})


@pytest.mark.parametrize("config", [{}, {"tracking": {"enabled": False, "mlflow": {"tracking_uri": "${ABSENT}"}}}])
def test_switched_off(config: dict[str, Any]) -> None:
    tracker: Tracker = build_tracker_from_config(config)
    assert isinstance(tracker, NullTracker)
    with tracker:
        tracker.start_run("nothing")
        tracker.log_params({"a": 1})
        tracker.log_metrics({"b": 1.0}, step=1)
        tracker.log_artifact("absent.png")
        tracker.set_tags({"c": 1})
        tracker.end_run()


def test_importing_tracking_and_its_mirror_imports_no_mlflow() -> None:
    code = (
        "import sys, optim.tracking as t; t.Mirror, t.NullTracker, t.MLflowSettings;"
        "print([m for m in ('mlflow', 'sqlalchemy', 'optuna', 'numba', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
