"""A SQLite file written without MLflow is the one that MLflow's client writes: every step, row and file."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Metric
from optuna.trial import FrozenTrial

from optim.errors import TrackingError
from optim.tracking import LiveTrial, MLflowSettings, StudyResult, mlflow_private
from optim.tracking.info import WindowRun, WindowTrial
from optim.tracking.mlflow_private import local, statements
from optim.tracking.projection import Projection
from optim.tracking.rows import MetricPoint, RunRow
from optim.tracking.store import RunStore
from tests.tracking.builders import START, backtest, make_trial, make_trials, study_info
from tests.tracking.mlflow_side import RESULT
from tests.tracking.test_conformance import TABLES

NOW = time.time_ns() // 1_000_000 - 60_000  # what is later than this was written by the test, at its own time
KEPT = {"last_update_time", "creation_time", "deleted_time", "timestamp", "start_time", "end_time"}


def content(folder: Path) -> dict[str, Any]:
    """Every table and file, an id replaced by what it stands for."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.row_factory = sqlite3.Row
        runs = database.execute("SELECT rowid, * FROM runs ORDER BY rowid").fetchall()
        number = "SELECT count(*) FROM runs WHERE name = ? AND rowid < ?"
        names = {
            run["run_uuid"]: f"{run['name']}/{database.execute(number, (run['name'], run['rowid'])).fetchone()[0]}"
            for run in runs
        }
        names |= {str(folder): "FOLDER"}
        tables = {
            table: database.execute(f"SELECT * FROM {table}").fetchall() for table in (*TABLES, "experiment_tags")
        }
    names |= {row["dataset_uuid"]: row["name"] for row in tables["datasets"]}
    names |= {row["input_uuid"]: "input of " + names[row["destination_id"]] for row in tables["inputs"]}

    def plain(name: str, value: Any) -> Any:
        if name in KEPT and value is not None and value > NOW:
            return "now"
        for known, meaning in names.items() if isinstance(value, str) else ():
            value = value.replace(known, meaning)
        return value

    found: dict[str, Any] = {
        table: sorted(repr([plain(name, row[name]) for name in row.keys()]) for row in rows)  # noqa: SIM118
        for table, rows in tables.items()
    }
    for file in sorted((folder / "mlartifacts").rglob("*")):
        if file.is_file():
            found[plain("", str(file))] = file.read_bytes()
    return found


WINDOW = WindowRun(
    "window 1",
    "w1",
    {"fast_window": 7},
    {"sharpe_ratio": 0.5},
    1_767_400_000_000,
    1_767_400_100_000,
    [
        WindowTrial({"fast_window": 7}, 0.5, "COMPLETE", 1_767_400_000_000, 1_767_400_000_300),
        WindowTrial({"fast_window": 9}, None, "PRUNED", 1_767_400_000_000, 1_767_400_000_300),
    ],
)
JUDGED = RESULT._replace(
    best=[backtest()],
    holdout=[backtest()],
    metrics={"holdout/sharpe_ratio": 0.3, "holdout/odd": math.inf, "verdict/p_value": 0.04},
    tags={"optim.verdict": "real"},
    p_values={9: 0.04},
    windows=[WINDOW],
    page="<p>é</p>",
)
LATER = RESULT._replace(best_number=12, metrics={"verdict/p_value": 0.5}, windows=[WINDOW._replace(key="w2")])


def projected(folder: Path, ours: bool) -> list[dict[str, Any]]:
    """The content after every step of a study's life."""
    info, trials, seen = study_info(), make_trials(14), []
    odd = make_trial(14, ratio=math.nan, loss=-math.inf)
    odd.params["note"] = "é ' \" % \\ ; -- \n" + "x" * 9000
    live = [LiveTrial(number, trials[number].params, START, (0.5, math.nan, 0.5)) for number in (8, 9)]
    all_trials = [*trials, odd]
    stopped = StudyResult(None, (), (), "", "", status="interrupted")
    later = [live[0]._replace(values=(0.5, math.nan, 0.5, 0.7))]
    steps: list[tuple[list[FrozenTrial], list[LiveTrial], StudyResult | None, bool]] = [
        (trials[:8], live, None, False),
        (trials[:8], later, None, False),
        (trials[:10], [], JUDGED, False),
        (all_trials, [], LATER, False),
        (trials[:12], [], LATER, True),
        (all_trials, [], LATER, False),
        (all_trials, [], stopped, False),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "fits", lambda settings: ours)
        for done, running, result, exact in steps:
            with Projection(info, MLflowSettings(f"sqlite:///{folder}/mlflow.db", "study")) as study:
                study.project(done)
                if running:
                    study.show_running(running)
                else:
                    study.finish(done, result, exact=exact)
                assert isinstance(study.open().client, local.LocalClient if ours else MlflowClient)
            seen.append(content(folder))
    return seen


def test_a_study_is_written_as_mlflows_client_writes_it(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for how in ("mlflow", "local"):
        folder = tmp_path / how
        folder.mkdir()
        monkeypatch.chdir(folder)  # where MLflow wants its own first experiment's files
        seen[how] = projected(folder, ours=how == "local")
    for number, (expected, got) in enumerate(zip(seen["mlflow"], seen["local"], strict=True)):
        assert got.keys() == expected.keys(), number
        for name in expected:
            assert got[name] == expected[name], (number, name)
    assert len(seen["local"][-1]) > 20


keys = st.sampled_from(["a", "b"])
points = st.builds(
    MetricPoint,
    keys,
    st.sampled_from([0.0, 1.0, -1.5, math.nan, math.inf, -math.inf]),
    st.integers(5, 7),
    st.integers(-1, 2),
)


@settings(max_examples=15, deadline=None)
@given(
    batches=st.lists(
        st.tuples(st.lists(points, max_size=6), st.dictionaries(keys, st.text("aé \n", max_size=3))), max_size=4
    )
)
def test_batches_on_a_run_leave_what_mlflows_client_leaves(
    empty_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[list[MetricPoint], dict[str, str]]],
) -> None:
    """NaN, infinities, the same point twice, an older one later; names of runs among the tags."""
    tags = [{f"t{key}": value for key, value in said.items()} for _, said in batches]
    answers = []
    for by_mlflow in (True, False):
        database = tmp_path_factory.mktemp("batches") / "mlflow.db"
        database.write_bytes(empty_database.read_bytes())
        place = MLflowSettings(f"sqlite:///{database}", "batches")
        store = RunStore(place, by_mlflow=by_mlflow)
        run_id = store.create(RunRow("run", "RUNNING", 1, None, {}, (), {"mlflow.runName": "run"}, {}))
        for (some, said), more in zip(batches, tags, strict=True):
            store.add(run_id, some, {f"{key}{len(value)}": key * len(value) for key, value in said.items()})
            store.set_tags(run_id, more | ({"mlflow.runName": f"n{len(some)}"} if some else {}))
        client = MlflowClient(tracking_uri=place.tracking_uri)
        history = [[_point(m) for m in client.get_metric_history(run_id, key)] for key in "ab"]
        assert [[_point(m) for m in store.client.get_metric_history(run_id, key)] for key in "ab"] == history
        run, own = client.get_run(run_id), store.client.get_run(run_id)
        told = (repr(run.data.metrics), run.data.params, run.data.tags, run.info.run_name, run.info.status)
        answers.append((history, told))
        for kind in ("metrics", "params", "tags"):
            assert repr(sorted(getattr(own.data, kind).items())) == repr(sorted(getattr(run.data, kind).items()))
    assert answers[0] == answers[1]


def _point(metric: Metric | MetricPoint) -> tuple[str, str, int, int]:
    return metric.key, str(metric.value), metric.timestamp, metric.step


def test_what_mlflow_refuses_is_refused(database: Path) -> None:
    store = RunStore(MLflowSettings(f"sqlite:///{database}"))
    run_id = store.create(RunRow("run", "RUNNING", 1, None, {"p": "1"}, (), {}, {}))
    with pytest.raises(TrackingError, match=r"parameter 'p' of run .* is '1' and cannot become '2'"):
        store.add(run_id, [MetricPoint("m", 1.0, 1, 0)], {"p": "2"})
    assert not store.client.get_run(run_id).data.metrics  # all or nothing
    store.client.delete_run(run_id)
    for call in (lambda: store.add(run_id, ()), lambda: store.end(run_id, "FINISHED", 2)):
        with pytest.raises(TrackingError, match="is deleted"):
            call()
    with pytest.raises(TrackingError, match="is not there"):
        store.client.get_run("0" * 32)


def test_a_locked_database_fails_no_row(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the database's failure: what waits is written again, whole."""
    monkeypatch.setattr(statements, "BUSY_SECONDS", 0.0)
    store = RunStore(MLflowSettings(f"sqlite:///{database}"))
    row = RunRow("run", "RUNNING", 1, None, {}, (), {}, {})
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.write([row])
    assert not isinstance(store.write([row])[0], Exception)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = 'another'",
        "INSERT INTO experiments (name, workspace) VALUES ('x', 'team')",
        "INSERT INTO experiments (name, artifact_location) VALUES ('mine', 's3://bucket/mine')",
        "INSERT INTO experiments (name, artifact_location) VALUES ('mine', './mlruns')",
        "DROP TABLE experiments",
    ],
)
def test_what_it_does_not_know_is_left_to_mlflow(database: Path, change: str) -> None:
    place = MLflowSettings(f"sqlite:///{database}", "mine")
    assert local.fits(place)
    with closing(sqlite3.connect(database)) as changed, changed:
        changed.execute(change)
    assert not local.fits(place)


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("sqlite:///{0}?timeout=5", ""),
        ("sqlite:///{0}", "s3://bucket/x"),
        ("sqlite:///{0}.folder", ""),
        ("sqlite:///:memory:", ""),
        ("postgresql://host/x", ""),
        ("http://host", ""),
        ("{0}", ""),
    ],
)
def test_other_places_are_left_to_mlflow(database: Path, uri: str, location: str) -> None:
    database.with_name("mlflow.db.folder").mkdir()
    assert not local.fits(MLflowSettings(uri.format(database), "mine", location))
    assert local.fits(MLflowSettings(f"sqlite:///{database}", "mine", str(database.parent)))
    assert local.fits(MLflowSettings(f"sqlite:///{database}.new"))


def test_before_mlflow_has_made_a_database_here_it_makes_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    place = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db")
    assert not local.fits(place)
    RunStore(place)
    assert local.fits(place)


def test_mlflow_is_not_imported(database: Path) -> None:
    script = f"""
import sys
from optim.tracking import MLflowSettings, sync
from tests.tracking.builders import make_trials, study_info
from optim.tracking.info import StudyResult
report = sync(study_info(), MLflowSettings("sqlite:///{database}"), make_trials(12), StudyResult(9, (), (), "", ""))
assert report.complete, report
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"mlflow", "sqlalchemy", "fastapi"}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_locked_file_is_waited_for_once_and_by_the_mirror_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator waits for nothing, and the mirror takes no other way to the file because it was locked."""
    where = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "locked")
    RunStore(where)
    monkeypatch.setattr(statements, "BUSY_SECONDS", 0.01)
    plain, waits = sqlite3.connect, []

    def connect(where_to: str, **named: Any) -> sqlite3.Connection:
        if f"{tmp_path}/" in where_to:
            waits.append(named["timeout"])
        return plain(where_to, **named)

    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", connect)
        assert mlflow_private.without_mlflow(where)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            mlflow_private.open_client(where)
    assert waits == [0.0, 0.01]
    assert isinstance(mlflow_private.open_client(where), local.LocalClient)


def test_a_file_that_is_no_database_is_left_to_mlflow(tmp_path: Path) -> None:
    usual = MLflowSettings(f"sqlite:///{tmp_path}/usual.db", "usual")
    RunStore(usual)
    assert mlflow_private.without_mlflow(usual)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    assert not mlflow_private.without_mlflow(MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "odd"))
