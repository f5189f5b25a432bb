"""optim doctor: what is there is ok, what is not is named with what to do, and nothing is changed or given away."""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import optuna
import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.report.health import PACKAGES, Finding, of_study, schemas, versions_tested
from optim.spec.study import load_spec
from optim.spec.uris import with_driver
from tests.servers import create_database, free_port, mlflow_server, postgres_cluster
from tests.studies import ROOT, write_study

SECRET = "s3cr3t-Pa55word"


def findings(folder: Path, uri: str = "", **study: str) -> dict[str, Finding]:
    tracking = {"enabled": True, "mlflow": {"tracking_uri": uri}} if uri else {"enabled": False}
    spec = load_spec(write_study(folder, tracking=tracking, study=study))
    return {one.name: one for one in of_study(spec)}


def test_this_machine_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path)
    assert main(["doctor", str(path), "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert told["python"]["text"] == ".".join(map(str, sys.version_info[:3]))
    for name in PACKAGES:
        assert told[name]["text"].startswith(version(name))
    assert {"cores", "kernel cache", "disk", "record", "tracking"} <= told.keys()
    assert [file.name for file in tmp_path.iterdir()] == ["study.toml"]


def test_the_versions_tested_are_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for name in PACKAGES:
        assert f"{name}=={versions_tested()[name]}" in lines


def test_a_cache_that_cannot_be_written_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPTIM_CACHE_DIR", "/dev/null/kernels")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "problem  kernel cache     /dev/null/kernels cannot be written: " in out
    assert "OPTIM_CACHE_DIR" in out


def test_a_record_that_is_a_folder_is_a_problem(tmp_path: Path) -> None:
    assert findings(tmp_path, storage="..")["record"].status == "problem"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_database_that_does_not_answer_is_a_problem_without_a_password(scheme: str, tmp_path: Path) -> None:
    place = f"{scheme}://optim:{SECRET}@127.0.0.1:{free_port()}/x"
    found = findings(tmp_path, place, storage=place)
    for name in ("record", "tracking"):
        assert found[name].status == "problem"
        assert f"{scheme}://optim:***@127.0.0.1" in found[name].text
    assert SECRET not in repr(found)


def test_an_mlflow_server_answers(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as url:
        found = findings(tmp_path, url)
    assert (found["tracking"].status, found["clock"].status) == ("ok", "ok")
    assert found["tracking"].text == f"{url} answers: MLflow {version('mlflow')}"
    gone = findings(tmp_path, url.replace("//", f"//me:{SECRET}@"))["tracking"]
    assert (gone.status, SECRET in repr(gone)) == ("problem", False)


@contextmanager
def answering(status: int, text: str, date: str) -> Iterator[str]:
    """A server that answers every question alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", date)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_of_another_generation_and_clock(tmp_path: Path) -> None:
    with answering(200, "1.30.0", "Sat, 01 Jan 2000 00:00:00 GMT") as url:
        found = findings(tmp_path, url)
    assert (found["tracking"].status, found["clock"].status) == ("warning", "warning")
    assert "MLflow 1.30.0, here it is " in found["tracking"].text
    assert found["clock"].text.endswith(" s behind")


@pytest.mark.parametrize(("status", "words"), [(401, "lets nobody in"), (403, "--allowed-hosts"), (404, "no MLflow")])
def test_a_server_that_refuses_is_a_problem(status: int, words: str, tmp_path: Path) -> None:
    with answering(status, "", "") as url:
        found = findings(tmp_path, url)["tracking"]
    assert found.status == "problem"
    assert words in found.text + found.remedy


def test_mlflows_schema_is_known(tmp_path: Path) -> None:
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "sqlite:///mlflow.db"}}
    Study.from_toml(write_study(tmp_path, tracking=tracking, study={"n_trials": 2})).run()
    known, newest = schemas()
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    before = sorted(os.listdir(tmp_path))
    assert findings(tmp_path, uri)["MLflow's schema"].text == f"{newest}, the newest"
    for number, words in ((min(known - {newest}), "is older"), ("ffffffffffff", "a newer one wrote it")):
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
        found = findings(tmp_path, uri)["MLflow's schema"]
        assert (found.status, words in found.text) == ("problem", True)
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.real("postgresql")
def test_a_database_says_what_it_holds(tmp_path: Path) -> None:
    with postgres_cluster() as server:
        place = create_database(server, "ours")
        assert findings(tmp_path, storage=place)["record"].text.endswith("answers; no tables yet")
        optuna.create_study(study_name="other", storage=with_driver(place))
        assert findings(tmp_path, storage=place)["record"].text.endswith("answers; studies: 1")
