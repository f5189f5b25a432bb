"""docs/tracking.md: every snippet is executed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest

from optim.spec.uris import with_driver
from optim.tracking import MLflowTracker, build_tracker_from_config
from tests import servers
from tests.conftest import postgresql_bin
from tests.snippets import ROOT, Page
from tests.waiting import until

PAGE = Page("docs/tracking.md")


def test_every_kind_of_snippet_is_tested() -> None:
    assert {kind for kind, _ in PAGE.fenced} == {"bash", "toml", "python", "nginx"}
    tested = ("pip install", "mlflow", "MLFLOW_ALLOW_FILE_STORE=true mlflow", "export", "python -m optim", "sqlite3")
    tested += ("createdb", "pg_dump", "pg_restore")
    assert [line for line in PAGE.commands() if not line.startswith(tested)] == []


def test_python(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, in one namespace, as a reader would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, "mlflow.db")
    shutil.copy(ROOT / "studies" / "data" / "ibm_1d.csv", "ibm_1d.csv")
    Path("config.toml").write_text(PAGE.files()["config.toml"])
    assert PAGE.run() == PAGE.promised()


@pytest.mark.parametrize("text", PAGE.blocks("toml"))
def test_toml(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "postgresql://user:password@localhost/mlflow")
    config = tomllib.loads(text)
    config["tracking"]["enabled"] = True
    tracker = build_tracker_from_config(config)
    assert isinstance(tracker, MLflowTracker)
    assert tracker.settings.kind in ("sql", "file", "http")
    assert "${" not in tracker.settings.tracking_uri


def test_export_lines_reach_the_tracker() -> None:
    """Run by a shell as they stand; the one for clients is what the tracker then uses, the password masked."""
    lines = [line for line in PAGE.commands() if line.startswith("export")]
    names = [line.split("=")[0].split()[1] for line in lines]
    assert names == ["MLFLOW_TRACKING_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD"]
    code = "import os; from optim.tracking import MLflowTracker; print(MLflowTracker().settings.masked)\n"
    code += f"assert all(os.environ[name] for name in {names})"
    script = "\n".join(["set -e", *lines, f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert done.stdout.strip() == "postgresql://user:***@host/db"


def test_pip_commands_name_what_is_installed() -> None:
    extras = {extra for line in requires("mlflow") or [] for extra in re.findall(r"extra == \W(\w+)", line)}
    assert "auth" in extras
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in PAGE.commands():
        if line.startswith("pip install"):
            name, extra = re.fullmatch(r"([\w-]+)(?:\[(\w+)\])?", shlex.split(line)[2]).groups()
            if name == "optim":
                assert extra is None or extra in project["optional-dependencies"]
            else:
                assert distribution(name)


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_mlflow_commands_have_these_options() -> None:
    import click
    import mlflow.cli
    import uvicorn

    context = click.Context(mlflow.cli.cli)
    for line in PAGE.commands():
        words = [word for word in shlex.split(line) if "=" not in word.split("/")[0] or word.startswith("-")]
        if words[0] == "mlflow":
            command = mlflow.cli.cli.get_command(context, words[1])
            with command.make_context(words[1], words[2:]) as given:
                for_uvicorn = shlex.split(given.params.get("uvicorn_opts") or "")
            with uvicorn.main.make_context("uvicorn", ["mlflow:app", *for_uvicorn]):
                pass


def test_mlflow_ui_command_serves(tmp_path: Path, empty_database: Path) -> None:
    """The page's first server command as it stands, but for the port."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    line = next(line for line in PAGE.commands() if line.startswith("mlflow ui"))
    port = servers.free_port()
    command = [*shlex.split(line), "--port", str(port)]
    command[0] = str(Path(sys.executable).with_name("mlflow"))
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with servers.process([*command, "-w", "1"], tmp_path / "log", cwd=tmp_path, env=env):
        until(lambda: servers.answers(f"http://127.0.0.1:{port}/health"), "mlflow ui did not answer")


def test_sqlite_backup(tmp_path: Path, empty_database: Path) -> None:
    if shutil.which("sqlite3") is None:  # the same through Python's own module
        with sqlite3.connect(empty_database) as source, sqlite3.connect(tmp_path / "mlflow-backup.db") as target:
            source.backup(target)
    else:
        shutil.copy(empty_database, tmp_path / "mlflow.db")
        line = next(line for line in PAGE.commands() if line.startswith("sqlite3"))
        subprocess.run(shlex.split(line), cwd=tmp_path, check=True)
    MLflowTracker(f"sqlite:///{tmp_path}/mlflow-backup.db", auto_start_run=True).end_run()


@pytest.mark.real("postgresql")
def test_postgresql_backup_and_restore(tmp_path: Path, postgres: str) -> None:
    """The commands as they stand; the connection goes by PostgreSQL's own variables."""
    servers.create_database(postgres, "docs", template="mlflow")
    MLflowTracker(f"{postgres}/docs", "kept", str(tmp_path), auto_start_run=True).end_run()
    port = postgres.rpartition(":")[2]
    env = os.environ | {"PGHOST": "127.0.0.1", "PGPORT": port, "PGUSER": "optim", "PGPASSWORD": servers.PASSWORD}
    lines = [line for line in PAGE.commands() if line.startswith(("pg_dump", "createdb mlflow_restored", "pg_restore"))]
    assert len(lines) == 3
    for line in lines:
        words = [re.sub(r"^mlflow$", "docs", word) for word in shlex.split(line)]
        subprocess.run([str(postgresql_bin() / words[0]), *words[1:]], cwd=tmp_path, env=env, check=True)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=with_driver(f"{postgres}/mlflow_restored"))
    assert len(client.search_runs([client.get_experiment_by_name("kept").experiment_id])) == 1
