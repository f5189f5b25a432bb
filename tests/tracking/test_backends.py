"""Every backend of the guide against the real thing: the same study looks the same in each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from optim.spec.uris import with_driver
from optim.tracking import Mirror, MLflowSettings, StudyResult, sync
from tests import servers
from tests.tracking.builders import backtest, make_trials, study_info

RESULT = StudyResult(9, [backtest()], [], "fast_window = 14\n", "Best: **0.09**")


def told(settings: MLflowSettings, report: Any) -> dict[str, Any]:
    """What a study's runs say, without what every MLflow chooses for itself."""
    client = MlflowClient(tracking_uri=with_driver(settings.tracking_uri))
    runs = client.search_runs([report.experiment_id], "tags.`optim.study_id` = '5e1f'")
    said = {}
    for run in runs:
        tags = {
            k: v
            for k, v in run.data.tags.items()
            if k.split(".")[0] != "mlflow" and k not in ("optim.best_run_id", "optim.top_runs")
        }
        times = (run.info.status, run.info.start_time, run.info.end_time)
        cells = [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "cell/sharpe_ratio")]
        said[run.info.run_name] = (times, tags, run.data.params, run.data.metrics, sorted(cells))
    assert len(said) == len(runs)
    best = next(run for run in runs if run.info.run_name == "trial_0009_fast14_slow69")
    assert best.data.tags["mlflow.parentRunId"] == report.parent_run_id
    assert "plots/equity_curve.png" in {file.path for file in client.list_artifacts(best.info.run_id, "plots")}
    text = client.download_artifacts(report.parent_run_id, "config/study.toml")
    assert "ma_crossover_ibm" in Path(text).read_text()
    assert client.get_run(report.parent_run_id).inputs.dataset_inputs[0].dataset.name == "IBM"
    return said


@pytest.fixture(scope="module")
def expected(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study in SQLite."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "backends")
    report = sync(study_info(), settings, make_trials(20), RESULT)
    return told(settings, report)


def check(settings: MLflowSettings, expected: dict[str, Any]) -> None:
    """Half by the mirror process, all by sync, again by sync: the same as in SQLite."""
    trials = make_trials(20)
    mirror = Mirror(study_info(), settings)
    mirror.finished(trials[:13])
    report = mirror.close(None)
    assert report.complete, report.error
    report = sync(study_info(), settings, trials, RESULT)
    assert report.complete, report.error
    assert told(settings, report) == expected
    assert sync(study_info(), settings, trials, RESULT) == report
    assert told(settings, report) == expected


def test_file_store_works_with_one_warning(
    tmp_path: Path, expected: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    check(MLflowSettings(str(tmp_path / "mlruns"), "backends"), expected)
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("optim")]
    assert len(warnings) == 1
    assert "MLFLOW_ALLOW_FILE_STORE=true" in warnings[0]
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ  # allowed for this study, not for the rest of the process


@pytest.mark.real("postgresql")
def test_postgresql(postgres: str, expected: dict[str, Any], tmp_path: Path) -> None:
    uri = servers.create_database(postgres, "backends", template="mlflow")
    check(MLflowSettings(uri, "backends", str(tmp_path / "files")), expected)


def test_http_server(server: str, expected: dict[str, Any]) -> None:
    check(MLflowSettings(server, "backends"), expected)


def test_http_server_with_mlflows_own_login(
    auth_server: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", servers.PASSWORD)
    check(MLflowSettings(auth_server, "backends"), expected)


def test_a_refused_login_is_told_without_the_password(auth_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-password")
    report = sync(study_info(), MLflowSettings(auth_server, "backends"), make_trials(2), None)
    assert report.missing == 2
    assert "not authenticated" in report.error.lower()
    assert "wrong-password" not in report.error


@pytest.mark.real("nginx")
def test_http_server_behind_nginx_with_basic_auth(server: str, expected: dict[str, Any], tmp_path: Path) -> None:
    with servers.nginx_proxy(tmp_path, server) as address:
        uri = address.replace("http://", f"http://alice:{servers.PASSWORD}@")
        check(MLflowSettings(uri, "nginx"), expected)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3

    with servers.s3_server(tmp_path) as endpoint:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "optim")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.PASSWORD)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="my-bucket")
        yield "s3://my-bucket/mlflow"


@pytest.mark.real("s3")
def test_artifacts_on_s3(database: Path, expected: dict[str, Any], bucket: str) -> None:
    settings = MLflowSettings(f"sqlite:///{database}", "backends", bucket)
    check(settings, expected)
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    assert client.get_experiment_by_name("backends").artifact_location == bucket
