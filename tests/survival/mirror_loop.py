"""Kill coordinators while MLflow is written: `python -m tests.survival.mirror_loop URI TRIALS KILLS SEED SECONDS`.

Each coordinator tells a mirror the whole record of a study and is ended by SIGKILL at a random instant: while MLflow is
imported, looked through or written. The next one resumes at once, whatever the mirror before it still does. The last
one is left in peace; after that MLflow must hold every trial once under one parent, by its own count.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient

from optim.spec.uris import with_driver
from optim.tracking import Mirror, MLflowSettings
from tests.studies import ROOT
from tests.tracking.builders import make_trials, study_info
from tests.tracking.mlflow_side import RESULT
from tests.waiting import until

EXPERIMENT = "killed"


def coordinate(uri: str, trials: int) -> None:
    """Tell a mirror the trials a few at a time, as a search does, and the result; say what became of it."""
    with Mirror(study_info(), MLflowSettings(uri, EXPERIMENT)) as mirror:
        record = make_trials(trials)
        for start in range(0, trials, 50):
            mirror.finished(record[start : start + 50])
            time.sleep(0.05)  # what its backtests take
        mirror.conclude(RESULT)
        report = mirror.close(RESULT)
    print(json.dumps(report._asdict()), flush=True)


def start(uri: str, trials: int) -> subprocess.Popen[bytes]:
    """A coordinator in a process of its own."""
    command = [sys.executable, "-m", "tests.survival.mirror_loop", "coordinate", uri, str(trials)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def mirrors(uri: str) -> list[int]:
    """This process and all it has started, however indirectly, that are still there."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"MIRROR_LOOP={uri}".encode() in environment:
            found.append(int(folder.name))
    return found


def main(uri: str, trials: int, kills: int, seed: int, longest: float) -> dict[str, object]:
    """Kill `kills` coordinators after up to `longest` seconds each, let one end, and count."""
    chance = random.Random(seed)
    os.environ["MIRROR_LOOP"] = uri
    killed = 0
    for _ in range(kills):
        coordinator = start(uri, trials)
        try:
            coordinator.wait(chance.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            killed += 1
        coordinator.send_signal(signal.SIGKILL)
        coordinator.communicate()
    said = start(uri, trials).communicate()[0]
    until(lambda: set(mirrors(uri)) <= {os.getpid()}, "a mirror went on for ever", 120)
    return {"killed": killed, "report": json.loads(said), **count(uri)}


def count(uri: str) -> dict[str, object]:
    """The children and parents that MLflow's own client lists."""
    client = MlflowClient(tracking_uri=with_driver(uri))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs, token = [], None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            break
    parents = {run.info.run_id: run.info.status for run in runs if run.data.tags["optim.role"] == "study"}
    children = [run for run in runs if run.data.tags["optim.role"] == "trial"]
    numbers = Counter(run.data.tags["optim.trial"] for run in children)
    return {
        "parents": sorted(parents.values()),
        "children": len(children),
        "different": len(numbers),
        "orphans": sum(run.data.tags["mlflow.parentRunId"] not in parents for run in children),
        "running": sum(run.info.status == "RUNNING" for run in children),
    }


if __name__ == "__main__":
    if sys.argv[1] == "coordinate":
        coordinate(sys.argv[2], int(sys.argv[3]))
    else:
        n_trials, n_kills, seed = (int(text) for text in sys.argv[2:5])
        began = time.monotonic()
        found = main(sys.argv[1], n_trials, n_kills, seed, float(sys.argv[5]))
        print(json.dumps({**found, "seconds": round(time.monotonic() - began)}))
