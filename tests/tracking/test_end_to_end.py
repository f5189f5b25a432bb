"""Whole studies through the command line: killed and synchronised, no secret left anywhere, `optim ui`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import optuna
import pytest

from optim.tracking import MLflowSettings, get_git_sha
from tests import servers
from tests.cli.test_json import ROWS
from tests.tracking.mlflow_side import all_runs, assert_exact, children, open_client, snapshot
from tests.waiting import until

ROOT = Path(__file__).parents[2]
STUDY = """
[study]
name = "end_to_end"
objective = "sharpe_ratio"
n_trials = {trials}
seed = 1
storage = "{storage}"

[data]
path = "{data}"
periods_per_year = 252

[strategy]
name = "ma_crossover"

[evaluation]
min_trades = 0

[parallel]
n_jobs = 1

[validation]
quick = 0

[tracking.mlflow]
tracking_uri = "{mlflow}"
experiment_name = "end_to_end"
artifact_location = "files"
"""

PLAIN = """
def above(df, params):
    return (df["close"] > df["close"].rolling(params["window"]).mean()).astype(float)
"""
PLAIN_SPACE = """
[strategy.search_space.parameters]
window = { type = "int", low = 2, high = 50 }
slack = { type = "float", low = 0.0, high = 1.0 }
"""


def write_study(
    folder: Path, trials: int, storage: str = "optuna.journal", mlflow: str = "sqlite:///mlflow.db"
) -> Path:
    path = folder / "study.toml"
    data = ROOT / "studies" / "data" / "ibm_1d.csv"
    path.write_text(STUDY.format(trials=trials, storage=storage, mlflow=mlflow, data=data))
    return path


def optim(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "optim", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | env
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def record(folder: Path) -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal"))
    return optuna.load_study(study_name="end_to_end", storage=optuna.storages.JournalStorage(backend)).trials


def test_killed_study_is_brought_to_its_record_by_sync(tmp_path: Path, database: Path) -> None:
    """kill -9 of study and mirror together, somewhere between record and MLflow."""
    study = write_study(tmp_path, trials=100_000)
    (tmp_path / "plain.py").write_text(PLAIN)
    text = study.read_text().replace('"ma_crossover"', '"plain.py:above"\nlookahead_check = false\n' + PLAIN_SPACE)
    study.write_text(text.replace("min_trades = 0", "min_trades = 0\nfolds = 60"))  # few trials meanwhile
    settings = MLflowSettings(f"sqlite:///{database}", "end_to_end")
    command = [sys.executable, "-m", "optim", "run", str(study)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with servers.process(command, tmp_path / "log", cwd=tmp_path, env=env) as running:

        def some_children() -> bool | None:
            assert running.poll() is None, (tmp_path / "log").read_text()
            known = open_client(settings).get_experiment_by_name(settings.experiment_name)
            arrived = known is not None and len(children(settings)) > 0
            return (arrived and len(record(tmp_path)) > 0) or None  # a child may be one of a trial that still runs

        until(some_children, "no trial reached MLflow", 120)
        servers.end(running, signal.SIGKILL)
    trials = record(tmp_path)
    assert trials
    told = optim("sync", str(study), cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert_exact(settings, trials)
    before = snapshot(settings)
    assert optim("sync", str(study), cwd=tmp_path).returncode == 0
    assert snapshot(settings) == before


@pytest.mark.real("postgresql")
def test_no_password_is_left_anywhere(tmp_path: Path, postgres: str) -> None:
    """Record and MLflow on PostgreSQL, as studies/server.toml has them; everything printed, every file and every table
    is searched for the password.
    """
    mlflow = servers.create_database(postgres, "secret_mlflow", template="mlflow")
    optuna_uri = servers.create_database(postgres, "secret_optuna")
    study = tmp_path / "server.toml"
    shutil.copy(ROOT / "studies" / "server.toml", study)
    shutil.copytree(ROOT / "studies" / "data", tmp_path / "data")
    database = optuna_uri.replace("postgresql:", "postgresql+psycopg2:")
    secrets = {"OPTIM_DATABASE": database, "OPTIM_MLFLOW": mlflow}
    ran = optim("run", str(study), "--n-trials", "12", "--json", "-v", cwd=tmp_path, **secrets)
    assert ran.returncode == 0, ran.stderr
    synced = optim("sync", str(study), "--json", cwd=tmp_path, **secrets)
    broken = secrets | {"OPTIM_MLFLOW": mlflow.replace("secret_mlflow", "absent")}
    failed = optim("sync", str(study), cwd=tmp_path, **broken)
    unreachable = {"OPTIM_DATABASE": re.sub(r":\d+/", ":1/", database), "OPTIM_MLFLOW": mlflow}
    refused = optim("run", str(study), cwd=tmp_path, **unreachable)

    assert json.loads(ran.stdout)["study"]
    assert set(json.loads(synced.stdout)) == set(re.findall(r"`(\w+)`", dict(ROWS)["sync"]))
    assert failed.returncode != 0 or "absent" in failed.stdout + failed.stderr
    assert refused.returncode == 2
    for told in (ran, synced, failed, refused):
        assert servers.PASSWORD not in told.stdout + told.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "study.toml" and path != study for path in files)
    for path in files:
        assert servers.PASSWORD.encode() not in path.read_bytes(), path
    for uri in (mlflow, optuna_uri):
        assert servers.PASSWORD not in dump(uri)
    assert len(children(MLflowSettings(mlflow, "server"))) == 12


def dump(uri: str) -> str:
    """All rows of all tables."""
    import psycopg2

    connection = psycopg2.connect(uri)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
            rows = []
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT t::text FROM "{table}" t')
                rows += [row for (row,) in cursor.fetchall()]
    finally:
        connection.close()
    assert rows
    return "\n".join(rows)


def test_ui_opens_both_dashboards_beside_taken_ports_and_stops_on_ctrl_c(tmp_path: Path, database: Path) -> None:
    study = write_study(tmp_path, trials=16)
    assert optim("run", str(study), cwd=tmp_path).returncode == 0
    assert len(all_runs(MLflowSettings(f"sqlite:///{database}", "end_to_end"))) == 17
    taken = [socket.socket(), socket.socket()]
    try:
        for sock, port in zip(taken, (8080, 5000), strict=True):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has it
                sock.bind(("127.0.0.1", port))
                sock.listen()
        command = [sys.executable, "-u", "-m", "optim", "ui", str(study)]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        with servers.process(command, tmp_path / "log", cwd=tmp_path, env=env) as running:
            log = tmp_path / "log"

            def ready() -> str | None:
                assert running.poll() is None, log.read_text()
                return log.read_text() if "Ctrl-C" in log.read_text() else None

            told = until(ready, "the dashboards did not start")
            roots = set(re.findall(r"http://127\.0\.0\.1:\d+", told))
            assert len(roots) == 2
            assert not {"http://127.0.0.1:8080", "http://127.0.0.1:5000"} & roots
            for link in re.findall(r"http://\S+token=\S+", told):
                opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                with opener.open(link, timeout=30) as response:
                    assert response.status == 200
                    page = response.read().decode()  # sent on by an answer, or by a script of the page
                    assert "token" not in (page if "location.replace(" in page else response.url)
            for root in roots:
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(root, timeout=30)
            running.send_signal(signal.SIGINT)
            assert running.wait(90) == 0
        assert "Traceback" not in log.read_text()
        for root in roots:
            assert servers.answers(root) is None
    finally:
        for sock in taken:
            sock.close()


def test_every_study_of_an_experiment_has_its_files_and_its_commit(tmp_path: Path, database: Path) -> None:
    """One instrument, then a portfolio under another name: parameters, plots, reports and trades of both."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    study = write_study(tmp_path, trials=12)
    for words in (["init", "-q"], ["add", "study.toml"], ["commit", "-q", "-m", "A study"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert (get_git_sha(tmp_path), get_git_sha(tmp_path.parent), get_git_sha(tmp_path / "no")) == (commit, "", "")
    assert optim("run", "study.toml", cwd=tmp_path).returncode == 0
    assert optim("holdout", "study.toml", cwd=tmp_path).returncode == 0
    both = [tmp_path / f"share{number}.csv" for number in range(2)]
    for path in both:
        path.write_bytes((ROOT / "studies" / "data" / "ibm_1d.csv").read_bytes())
    text = study.read_text().replace(
        f'path = "{ROOT / "studies" / "data" / "ibm_1d.csv"}"', f"paths = {list(map(str, both))}"
    )
    study.write_text(f"{text}\n[backtest]\nportfolio = true\n")
    done = optim("run", "study.toml", "--new-name", "together", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = optim("holdout", "study.toml", "--new-name", "together", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    settings = MLflowSettings(f"sqlite:///{database}", "end_to_end")
    client = open_client(settings)
    parents = [run for run in all_runs(settings) if run.data.tags["optim.role"] == "study"]
    assert {run.info.run_name for run in parents} == {"end_to_end", "together"}
    for run in parents:
        found = {
            file.path
            for folder in ("plots", "reports", "holdout/plots", "config")
            for file in client.list_artifacts(run.info.run_id, folder)
        }
        wanted = {
            "plots/equity_curve.png",
            "reports/trades.csv.gz",
            "reports/best_params.toml",
            "holdout/plots/equity_curve.png",
        }
        assert wanted | {"config/study.toml", "reports/trials.parquet"} <= found
        assert run.data.tags["mlflow.source.git.commit"] == run.data.params["commit_sha"] == commit
        assert run.data.params["initial_cash"] == "10000.0"
        assert not {"fixed_fee", "stop_pct", "max_holding_bars"} & run.data.params.keys()  # off, as by default
        assert run.data.metrics["holdout/total_return"] > -1
        shown = client.download_artifacts(run.info.run_id, "config/study.toml", str(tmp_path))
        assert tomllib.loads(Path(shown).read_text())["study"]["name"] == run.info.run_name
