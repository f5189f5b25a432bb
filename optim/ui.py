"""`optim ui`: Optuna's dashboard and MLflow's pages on a study, on 127.0.0.1, until told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from optim.errors import OptimError, TrackingError
from optim.secrets import mask
from optim.tracking.links import children_link, compare_link, run_link
from optim.tracking.settings import MLflowSettings, prepare_environment, with_driver

HOST = "127.0.0.1"
OPTUNA_PORT, MLFLOW_PORT = 8080, 5000
START_SECONDS = 90.0
_DASHBOARD = (
    "import os, sys; from optuna_dashboard import run_server;"
    "run_server(os.environ['OPTIM_STORAGE'], sys.argv[1], int(sys.argv[2]))"
)


class Study(NamedTuple):
    """What is to be shown."""

    name: str
    storage: str  # journal file or database URL of the record, secrets in the clear
    mlflow: MLflowSettings | None  # None: tracking is off


class Link(NamedTuple):
    """One line of what `ui` prints."""

    title: str
    url: str


class Server(NamedTuple):
    """A dashboard's process."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises OptimError when it has ended."""
        if self.process.poll() is not None:
            said = mask(" ".join(self.log.read_text(errors="replace").split())[-300:])
            raise OptimError(f"{self.name} at {self.url} ended: {said or 'it said nothing'}")


def serve(study: Study, show: Callable[[str], None]) -> int:
    """Open the dashboards, show the links and stay until SIGINT or SIGTERM; the exit code."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show("Starting the dashboards ...")
        with open_dashboards(study) as (servers, links):
            for title, url in links:
                show(f"{title}: {url}")
            show("Ctrl-C stops them.")
            while True:
                time.sleep(0.5)
                for server in servers:
                    server.check()
    except KeyboardInterrupt:
        show("Stopped.")
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


@contextlib.contextmanager
def open_dashboards(study: Study) -> Iterator[tuple[list[Server], list[Link]]]:
    """Start both dashboards, wait until they answer, and stop them on leaving; with the links straight to the study.

    Raises:
        OptimError: a dashboard ended or did not answer, with the end of its log.
        TrackingError: MLflow does not know the study.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(_optuna(study, folder))]
        links = []
        if study.mlflow:
            prepare_environment(study.mlflow)
            root = study.mlflow.masked
            if study.mlflow.kind != "http":
                servers.append(stack.enter_context(_mlflow(study.mlflow, folder)))
                root = servers[-1].url
            links = mlflow_links(study.name, study.mlflow, root)  # while the servers start
        for server in servers:
            _wait(server)
        yield servers, [optuna_link(study.name, servers[0].url), *links]


def optuna_link(name: str, root: str) -> Link:
    """The study's page in Optuna's dashboard, which numbers studies."""
    with urllib.request.urlopen(f"{root}/api/studies", timeout=30) as response:
        studies = json.load(response)["study_summaries"]
    number = next((study["study_id"] for study in studies if study["study_name"] == name), None)
    return Link("Optuna dashboard", f"{root}/dashboard" + (f"/studies/{number}" if number is not None else ""))


def mlflow_links(name: str, settings: MLflowSettings, root: str) -> list[Link]:
    """The study's newest parent run, its trials as a table, and the best ten compared.

    Raises:
        TrackingError: there is no such study, or MLflow cannot be reached.
    """
    from optim.tracking.process import quiet_http, sentence
    from optim.tracking.store import RunStore

    quiet_http()
    try:
        store = RunStore(settings)
        runs = store.find({"optim.role": "study", "mlflow.runName": name})
    except OptimError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow or a driver raises becomes one sentence
        raise TrackingError(sentence(error, settings)) from None
    if not runs:
        raise TrackingError(
            f"{settings.masked}: MLflow holds no study {name!r}; `optim run` or `optim sync` puts it there."
        )
    run, experiment = runs[-1], store.experiment_id
    tags = run.data.tags
    links = [
        Link("MLflow, the study", f"{root}/{run_link(experiment, run.info.run_id)}"),
        Link("MLflow, its trials", f"{root}/{children_link(experiment, tags['optim.study_id'])}"),
    ]
    top = tags.get("optim.top_runs", "").split()
    if len(top) > 1:
        links.append(Link(f"MLflow, the best {len(top)} compared", f"{root}/{compare_link(experiment, top)}"))
    return links


def free_port(wanted: int) -> int:
    """`wanted`, or any other port of 127.0.0.1 if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            if port and os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OptimError(f"No port of {HOST} is free.")


def _optuna(study: Study, folder: Path) -> contextlib.AbstractContextManager[Server]:
    port = free_port(OPTUNA_PORT)
    command = [sys.executable, "-c", _DASHBOARD, HOST, str(port)]
    return _server("optuna-dashboard", port, command, folder, {"OPTIM_STORAGE": with_driver(study.storage)})


def _mlflow(settings: MLflowSettings, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """One worker and no job runners are enough for one reader."""
    port = free_port(MLFLOW_PORT)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "-w", "1"]
    uri = with_driver(settings.tracking_uri)
    env = {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _server("MLflow", port, command, folder, env)


@contextlib.contextmanager
def _server(name: str, port: int, command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A process group of its own: Ctrl-C reaches it through us alone, and its workers end with it.

    What is secret goes by the environment, where `ps` does not show it.
    """
    path = folder / f"{port}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **env}, start_new_session=True
        )
    try:
        yield Server(name, f"http://{HOST}:{port}", process, path)
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.url):
        server.check()
        if time.monotonic() > deadline:
            raise OptimError(f"{server.name} at {server.url} did not answer for {START_SECONDS:g} seconds.")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False
