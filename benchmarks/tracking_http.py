"""What tracking costs over HTTP: our projection, MLflow's client called in sequence, and the guide's fluent calls.

All write the rows of `benchmarks.tracking` to one `mlflow server` on SQLite, in turns; with four workers, MLflow's
default, and with one. The least of the repeats counts: other programs only ever add.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.table import Line
from benchmarks.tracking import NAMES, TAGS, log_fluently, marginal, results
from optim.tracking import MLflowSettings

LINES = (
    Line(
        "an MLflow run over HTTP, four server workers",
        "ms",
        "workers_4/child_run",
        "fluent calls",
        "workers_4/guide_fluent",
    ),
    Line("the same, one server worker", "ms", "workers_1/child_run", "fluent calls", "workers_1/guide_fluent"),
)


def main(trials: int = 100) -> dict[str, Any]:
    """Milliseconds per child run, by the number of the server's workers."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        return {f"workers_{count}": over_http(Path(folder), count, trials) for count in (4, 1)}


def over_http(folder: Path, workers: int, trials: int, repeats: int = 3) -> dict[str, float]:
    """The projection, MLflow's client called in sequence, and the guide's fluent calls, in turns on one server.

    `server_limit` is what the server's own processor time allows at most, were all of the machine's cores its own.
    """
    from tests.servers import mlflow_server

    folder = folder / f"server-{workers}"
    folder.mkdir()
    times: dict[str, list[float]] = {"child_run": [], "sequential_client": [], "guide_fluent": []}
    with mlflow_server(folder, "-w", str(workers)) as url:
        sequential_client(url, "warm-up", trials // 4)  # every worker opens its database with its first call
        marginal(MLflowSettings(url, "warm-up"), trials // 4)
        for repeat in range(repeats):
            times["sequential_client"].append(sequential_client(url, f"sequential-{repeat}", trials))
            times["guide_fluent"].append(fluent_runs(url, trials // 4))
            before = seconds_of_server(url)
            times["child_run"].append(marginal(MLflowSettings(url, f"ours-{repeat}"), trials))
            server = (seconds_of_server(url) - before) / trials
    least = {name: 1000 * min(values) for name, values in times.items()}
    return least | {
        "server_cpu": 1000 * server,
        "server_limit": 1000 * server / min(workers, os.cpu_count() or 1),
        "ratio": least["sequential_client"] / least["child_run"],
        "ratio_to_fluent": least["guide_fluent"] / least["child_run"],
    }


def seconds_of_server(url: str) -> float:
    """Processor time of the process group that was started for this port (Linux)."""
    port, leaders, used = url.rpartition(":")[2], set(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:  # it has just ended
            continue
        used.append((fields[2], int(fields[11]) + int(fields[12])))
        if folder.name == fields[2] and port in words:
            leaders.add(folder.name)
    return sum(ticks for group, ticks in used if group in leaders) / os.sysconf("SC_CLK_TCK")


def fluent_runs(url: str, trials: int) -> float:
    """The guide's fluent calls alone; seconds per child."""
    import mlflow

    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("guide")
    with quiet(), mlflow.start_run(run_name="study"):
        began = time.perf_counter()
        for number in range(trials):
            log_fluently(dict.fromkeys(NAMES, 0.5), number)
        return (time.perf_counter() - began) / trials


def sequential_client(url: str, name: str, trials: int) -> float:
    """One child after the other with MlflowClient, batched as well as its calls allow; seconds per child."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=url)
    experiment = client.create_experiment(name)
    with quiet():
        began = time.perf_counter()
        for number in range(trials):
            run = client.create_run(experiment, tags=TAGS | {"mlflow.parentRunId": "x"}, run_name=f"trial_{number}")
            metrics = [Metric(name, value, 0, 0) for name, value in results(number).items()]
            metrics += [Metric("cell", float(step), 0, step) for step in range(5)]
            client.log_batch(run.info.run_id, metrics, [Param(name, "0.5") for name in NAMES])
            client.set_terminated(run.info.run_id)
        return (time.perf_counter() - began) / trials


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow prints a link per run it ends on a server."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    try:
        yield
    finally:
        del os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"]


if __name__ == "__main__":
    import json

    print(json.dumps(main(), indent=2))
