"""The paths of our own against MLflow's public API: every row of every table, and every answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.credentials import get_default_host_creds

from optim.spec.uris import with_driver
from optim.tracking import MLflowSettings, StudyInfo, mlflow_private
from optim.tracking.mlflow_private import bulk, local, rest, template
from optim.tracking.rows import MetricPoint, RunRow, trial_row
from optim.tracking.store import RunStore
from tests import servers
from tests.tracking.builders import make_trial, make_trials, study_info

TABLES = ("runs", "params", "tags", "metrics", "latest_metrics", "datasets", "inputs", "input_tags", "experiments")


def rows() -> list[RunRow]:
    """All states, several objectives, and the values databases find hard."""
    info = study_info()
    odd = make_trial(20, best=np.float64(1.5), ratio=math.inf, loss=-math.inf, gap=math.nan, count=np.int64(3))
    odd.params["note"] = "é ä — 日本語 ' \" % \\ ; -- \n" + "x" * 7000
    multi: StudyInfo = info._replace(objectives=("a b", "c@d"))
    cells = make_trial(21, cell_values=[[1.0, 2.0], [0.5, math.nan]])
    fabricated = [trial_row(info, "parent", trial) for trial in [*make_trials(20), odd]]
    fabricated.append(trial_row(multi, "parent", cells))
    same_step = (
        MetricPoint("m", 1.0, 5, 0),
        MetricPoint("m", 3.0, 5, 0),
        MetricPoint("m", 2.0, 5, 0),
        MetricPoint("m", 9.0, 4, 0),
    )
    later_step = (MetricPoint("n", 1.0, 5, 2), MetricPoint("n", 3.0, 9, 1), MetricPoint("n", 1.0, 5, 2))
    tags = fabricated[0].tags | {"mlflow.runName": "twice", "optim.trial": "22"}
    fabricated.append(fabricated[0]._replace(name="twice", tags=tags, points=same_step + later_step))
    return [row._replace(overflow={}) for row in fabricated]


def written(uri: str, how: str, rows: Sequence[RunRow]) -> RunStore:
    with pytest.MonkeyPatch.context() as patch:
        if how == "public":
            patch.setattr(mlflow_private, "KNOWN", ())
        store = RunStore(MLflowSettings(uri, "conformance", "/tmp/conformance"), by_mlflow=how == "bulk")
        assert store.bulk is {"public": None, "bulk": bulk, "local": local}[how]
        assert not [outcome for outcome in store.write(rows) if isinstance(outcome, Exception)]
    return store


def table_rows(uri: str, table: str) -> list[dict[str, Any]]:
    """All rows, run ids replaced by the run's name, which both ways share."""
    engine = sqlalchemy.create_engine(with_driver(uri))
    try:
        with engine.connect() as connection:
            names = dict(connection.execute(sqlalchemy.text("SELECT run_uuid, name FROM runs")).all())
            found = connection.execute(sqlalchemy.text(f"SELECT * FROM {table}")).mappings().all()
    finally:
        engine.dispose()
    plain = []
    for row in found:
        kept = {k: v for k, v in row.items() if k not in ("creation_time", "last_update_time")}
        for run_id, name in names.items():
            kept = {k: v.replace(run_id, name) if isinstance(v, str) else v for k, v in kept.items()}
        plain.append(kept)
    return sorted(plain, key=repr)


def answers(store: RunStore) -> dict[str, Any]:
    """What the public API says about every run, by its name."""
    client = MlflowClient(tracking_uri=with_driver(store.settings.tracking_uri))
    said: dict[str, Any] = {}
    for run in client.search_runs([store.experiment_id], run_view_type=ViewType.ALL):
        run_id = run.info.run_id
        histories = {
            key: [(p.key, str(p.value), p.timestamp, p.step) for p in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        }
        said[run.info.run_name] = (strip(run, run_id), strip(client.get_run(run_id), run_id), histories)
    queries = (
        "metrics.sharpe_ratio > 0.05 and tags.market = 'IBM'",
        "params.ma_type = 'ema' and attributes.status = 'KILLED'",
        "metrics.`cell/sharpe_ratio` >= 4.1",
        "tags.error LIKE '%finite%'",
        "params.fast_window != '7' and metrics.gap > 0",
    )
    for query in queries:
        found = client.search_runs([store.experiment_id], query, order_by=["metrics.sharpe_ratio DESC", "run_name"])
        said[query] = [run.info.run_name for run in found]
    return said


def strip(run: Any, run_id: str) -> str:
    """Everything about a run but its id and its experiment's."""
    parts = run.to_dictionary()
    experiment_id = parts["info"].pop("experiment_id")
    parts["info"]["artifact_uri"] = parts["info"]["artifact_uri"].replace(f"/{experiment_id}/", "/EXPERIMENT/")
    parts["data"] = {kind: dict(sorted(values.items())) for kind, values in parts["data"].items()}
    return repr(parts).replace(run_id, "RUN")


def compare(public: str, other: str, how: str) -> None:
    fabricated = rows()
    expected = written(public, "public", fabricated)
    got = written(other, how, fabricated)
    for table in TABLES:
        assert table_rows(other, table) == table_rows(public, table), table
    assert answers(got) == answers(expected)


@pytest.mark.parametrize("how", ["bulk", "local"])
def test_sqlite_rows_and_answers_are_those_of_the_public_api(empty_database: Path, tmp_path: Path, how: str) -> None:
    uris = []
    for name in ("public", how):
        (tmp_path / f"{name}.db").write_bytes(empty_database.read_bytes())
        uris.append(f"sqlite:///{tmp_path}/{name}.db")
    compare(*uris, how)


@pytest.mark.parametrize("how", ["bulk", "local"])
def test_sqlite_keeps_the_same_storage_classes(empty_database: Path, tmp_path: Path, how: str) -> None:
    """SQLite stores what it is given: a numpy integer would become a BLOB."""
    import sqlite3

    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    written(f"sqlite:///{tmp_path}/mlflow.db", how, rows())
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    try:
        kinds = connection.execute(
            "SELECT DISTINCT typeof(value), typeof(step), typeof(timestamp) FROM metrics"
        ).fetchall()
    finally:
        connection.close()
    assert kinds == [("real", "integer", "integer")]


@pytest.mark.real("postgresql")
def test_postgresql_rows_and_answers_are_those_of_the_public_api(postgres: str) -> None:
    compare(*(servers.create_database(postgres, f"conformance_{how}", "mlflow") for how in ("public", "bulk")), "bulk")


def test_over_http_the_answers_are_those_of_the_public_api(server: str) -> None:
    fabricated = rows()
    params = {f"p{number}": str(number) for number in range(250)}
    points = tuple(MetricPoint("many", float(step), 7, step) for step in range(1900))
    large = fabricated[0]._replace(name="large", params=params, points=points)
    large = large._replace(tags=large.tags | {"mlflow.runName": "large"})
    bare = large._replace(name="bare", params={}, points=(), tags={"mlflow.runName": "bare"})
    stores = {}
    for how, module in (("public", None), ("rest", rest)):
        with pytest.MonkeyPatch.context() as patch:
            if how == "public":
                patch.setattr(mlflow_private, "KNOWN", ())
            stores[how] = store = RunStore(MLflowSettings(server, f"conformance_{how}"))
            assert store.bulk is module
            assert not [out for out in store.write([*fabricated, large, bare]) if isinstance(out, Exception)]
    assert answers(stores["rest"]) == answers(stores["public"])


def test_a_refused_row_does_not_take_the_others_with_it(database: Path) -> None:
    store = RunStore(MLflowSettings(f"sqlite:///{database}", "conformance"))
    good = rows()[:5]
    bad = good[2]._replace(
        name="bad", status="NO_SUCH_STATUS", tags=good[2].tags | {"optim.trial": "99"}
    )  # the table's own constraint
    outcomes = store.write([*good[:3], bad, *good[3:]])
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, False, True, False, False]
    assert len(store.find({"market": "IBM"})) == 5


def server_store() -> RestStore:
    """MLflow's own way to a server."""
    return RestStore(functools.partial(get_default_host_creds, "http://127.0.0.1:1"))


@pytest.mark.parametrize(
    "variables",
    [
        {"MLFLOW_TRACKING_AWS_SIGV4": "true"},
        {"MLFLOW_TRACKING_AUTH": "vendor"},
        {"MLFLOW_WORKSPACE": "team"},
        {"MLFLOW_ALLOW_HTTP_REDIRECTS": "false"},
    ],
)
def test_a_special_login_or_setting_uses_the_public_client(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(tracking_uri="http://127.0.0.1:1")
    assert mlflow_private.writer(client, "http") is rest
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert mlflow_private.writer(client, "http") is None


def test_untested_versions_use_the_public_client(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "version", lambda: "3.99.0")
    assert mlflow_private.writer(MlflowClient(tracking_uri="http://127.0.0.1:1"), "http") is None
    store = RunStore(MLflowSettings(f"sqlite:///{database}", "conformance"))
    assert store.bulk is None
    assert len(store.write(rows()[:3])) == 3
    assert len(store.find({"market": "IBM"})) == 3


def test_many_deleted_at_once_are_deleted_as_the_public_api_does_it(database: Path) -> None:
    store = RunStore(MLflowSettings(f"sqlite:///{database}", "conformance"))
    ids = [str(run_id) for run_id in store.write(rows()[:4])]
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    client.delete_run(ids[0])
    store.delete(ids[1:3])
    by_hand, *at_once = (client.get_run(run_id).info for run_id in ids[:3])
    with sqlalchemy.create_engine(f"sqlite:///{database}").connect() as connection:
        found = dict(connection.execute(sqlalchemy.text("SELECT run_uuid, deleted_time FROM runs")).all())
    assert {info.lifecycle_stage for info in at_once} == {by_hand.lifecycle_stage} == {"deleted"}
    assert all(0 <= found[run_id] - found[ids[0]] < 600_000 for run_id in ids[1:3])  # ms
    assert [run.info.run_id for run in store.find({})] == [ids[3]]
    for run_id in ids[:3]:
        client.restore_run(run_id)
    assert len(store.find({})) == 4
