"""`optim ui`: Optuna's dashboard and MLflow's pages on a study, on 127.0.0.1, until told to stop."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from optim.errors import OptimError, TrackingError
from optim.serve.gate import HOST, SocketConnection, gate
from optim.spec.secrets import mask
from optim.spec.uris import with_driver
from optim.tracking.links import children_link, compare_link, run_link
from optim.tracking.settings import MLflowSettings, prepare_environment

OPTUNA_PORT, MLFLOW_PORT = 8080, 5000
START_SECONDS = 90.0
_PANE_CLOSED = {"mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true"}  # its assistant's, which opens by itself once


class Shown(NamedTuple):
    """What is to be shown."""

    name: str
    study_id: str  # as the record and MLflow have it
    number: int  # as Optuna's dashboard numbers studies
    storage: str  # journal file or database URL of the record, secrets in the clear
    mlflow: MLflowSettings | None  # None: tracking is off


class Link(NamedTuple):
    """One line of what `ui` prints."""

    title: str
    url: str


class Server(NamedTuple):
    """A dashboard's process, and the socket it listens on."""

    name: str
    socket: Path
    process: subprocess.Popen[bytes]
    log: Path
    secret: str  # a URI that its log may hold

    def check(self) -> None:
        """Raises OptimError when it has ended."""
        if self.process.poll() is not None:
            said = mask(" ".join(self.log.read_text(errors="replace").split()), self.secret)[-300:]
            raise OptimError(f"{self.name} ended: {said or 'it said nothing'}")


def serve(study: Shown, show: Callable[[str], None], *, write: bool = False) -> int:
    """Open the dashboards, show the links and stay until SIGINT or SIGTERM; the exit code."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        show("Starting the dashboards ...")
        with open_dashboards(study, write=write) as (servers, links):
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
def open_dashboards(study: Shown, *, write: bool = False) -> Iterator[tuple[list[Server], list[Link]]]:
    """Start both dashboards, wait until they answer, and stop them on leaving; with the links straight to the study.

    Each is behind a gate (`optim.serve.gate`), to which the links hold the key. `write`: they may change things.

    Raises:
        OptimError: a dashboard ended or did not answer, with the end of its log.
        TrackingError: MLflow does not know the study.
    """
    token = secrets.token_urlsafe(32)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))  # nobody else can enter it

        def opened(server: Server, port: int, settled: Mapping[str, str]) -> str:
            return stack.enter_context(gate(server.socket, port, token, write=write, settled=settled)).url

        servers = [stack.enter_context(_optuna(study, folder))]
        page = f"{opened(servers[0], OPTUNA_PORT, {})}/dashboard/studies/{study.number}?token={token}"
        links = [Link("Optuna dashboard", page)]
        if study.mlflow:
            prepare_environment(study.mlflow)
            root = f"{study.mlflow.masked}/"
            if study.mlflow.kind != "http":
                servers.append(stack.enter_context(_mlflow(study.mlflow, folder)))
                root = f"{opened(servers[-1], MLFLOW_PORT, _PANE_CLOSED)}/?token={token}"
            links += mlflow_links(study, root)  # while the servers start
        for server in servers:
            _wait(server)
        yield servers, links


def mlflow_links(study: Shown, root: str) -> list[Link]:
    """The study's newest parent run, its trials as a table, and the best ten compared, at MLflow's page `root`.

    Raises:
        TrackingError: there is no such study, or MLflow cannot be reached.
    """
    settings = study.mlflow or MLflowSettings()
    from optim.tracking.process import quiet_http, sentence
    from optim.tracking.store import RunStore

    quiet_http()
    try:
        store = RunStore(settings)
        runs = store.find({"optim.role": "study", "optim.study_id": study.study_id})
    except OptimError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow or a driver raises becomes one sentence
        raise TrackingError(sentence(error, settings)) from None
    if not runs:
        raise TrackingError(
            f"{settings.masked}: MLflow holds no study {study.name!r}; `optim run` or `optim sync` puts it there."
        )
    run, experiment = runs[-1], store.experiment_id
    tags = run.data.tags
    links = [
        Link("MLflow, the study", f"{root}{run_link(experiment, run.info.run_id)}"),
        Link("MLflow, its trials", f"{root}{children_link(experiment, tags['optim.study_id'])}"),
    ]
    top = tags.get("optim.top_runs", "").split()
    if len(top) > 1:
        links.append(Link(f"MLflow, the best {len(top)} compared", f"{root}{compare_link(experiment, top)}"))
    return links


def _optuna(study: Shown, folder: Path) -> contextlib.AbstractContextManager[Server]:
    socket = folder / "optuna.socket"
    command = [sys.executable, "-P", str(Path(__file__).with_name("optuna_page.py")), str(socket)]
    return _server("optuna-dashboard", socket, command, "OPTIM_STORAGE", with_driver(study.storage))


def _mlflow(settings: MLflowSettings, folder: Path) -> contextlib.AbstractContextManager[Server]:
    """One worker and no job runners are enough for one reader."""
    socket = folder / "mlflow.socket"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "-w", "1"]
    command += ["--uvicorn-opts", f"--uds {shlex.quote(str(socket))}"]
    return _server("MLflow", socket, command, "MLFLOW_BACKEND_STORE_URI", with_driver(settings.tracking_uri))


@contextlib.contextmanager
def _server(name: str, socket: Path, command: list[str], variable: str, uri: str) -> Iterator[Server]:
    """A process group of its own: Ctrl-C reaches it through us alone, and its workers end with it.

    What is secret goes by the environment, where `ps` does not show it.
    """
    path = socket.with_suffix(".log")
    env = {**os.environ, variable: uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=socket.parent, env=env, start_new_session=True)
    try:
        yield Server(name, socket, process, path, uri)
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.socket):
        server.check()
        if time.monotonic() > deadline:
            raise OptimError(f"{server.name} did not answer for {START_SECONDS:g} seconds.")
        time.sleep(0.1)


def _answers(socket: Path) -> bool:
    with contextlib.closing(SocketConnection(socket, 5)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
