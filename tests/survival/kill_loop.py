"""Kill a coordinator again and again: `python -m tests.survival.kill_loop FOLDER STORAGE KILLS`.

Each coordinator is a fork of this process (nothing to import, so that a hundred of them take seconds) and is ended by
SIGKILL at a random instant; the next one resumes. After every kill the record is read as any Optuna user would and held
against an uninterrupted run.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from optim.problem.plan import Plan, make_plan
from optim.record.guard import sole_writer
from optim.record.record import load_record, open_record
from optim.search.events import Listener
from optim.search.loop import Search
from optim.search.search import make_pool
from optim.spec.study import load_spec
from tests.studies import essence, run_here, write_study

STUDY: dict[str, Any] = {
    "n_trials": 30,
    "sampler": {"name": "TPESampler", "n_startup_trials": 8},
    "pruner": {"name": "MedianPruner", "n_startup_trials": 3},
}


def coordinate(plan: Plan, told: int) -> None:
    """Run or resume the study; write the number of every trial that is said to be finished to the pipe `told`."""

    def finished(trials: Any) -> None:
        os.write(told, b"".join(trial.number.to_bytes(4, "little") for trial in trials))

    name = plan.spec.study.name
    with sole_writer(plan.storage, name) as guard, make_pool(plan) as pool:
        record = open_record(plan.storage, name, ["maximize"], plan.fingerprint(), {}, ["sharpe_ratio"])
        record.claim("the kill loop", guard)
        os.write(told, b"\xff\xff\xff\xff")
        Search(plan, record, pool, Listener(finished, lambda _: None, lambda: False)).run()


def killed(plan: Plan, early: bool, seconds: float) -> tuple[bool, list[int]]:
    """A coordinator that lives `seconds`, counted from its start if `early`, else from when it has opened its record.

    Returns whether it was killed, and what it had told.
    """
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        code = 1
        try:
            coordinate(plan, into)
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    data = b"" if early else os.read(out, 4)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and select.select([out], [], [], left)[0]:
        if not (part := os.read(out, 65536)):
            break
        data += part
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    while part := os.read(out, 65536):
        data += part
    os.close(out)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "a coordinator failed"
    told = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    return os.WIFSIGNALED(status), [number for number in told if number != 2**32 - 1]


def recorded(plan: Plan) -> list[FrozenTrial]:
    """The trials as another process sees them, torn tail and all."""
    record = load_record(plan.storage, plan.spec.study.name)
    return record.trials() if record else []


def main(folder: Path, storage: str, kills: int) -> dict[str, int]:
    """Kill coordinators until `kills` have died; assert after each one that nothing is lost, torn or twice."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind = "optuna.journal" if "://" not in storage else "sqlite:///optuna.db"
    whole = folder / "whole"
    whole.mkdir()
    run_here(write_study(whole, study=STUDY))  # compiles
    started = time.monotonic()
    shutil.rmtree(whole)
    whole.mkdir()
    reference = essence(run_here(write_study(whole, study={**STUDY, "storage": kind}))[1])
    life = time.monotonic() - started
    counts = {"kills": 0, "studies": 0, "in the middle": 0}
    while counts["kills"] < kills:
        counts["studies"] += 1
        inner = folder / str(counts["studies"])
        inner.mkdir()
        name = f"s{counts['studies']}"
        plan = make_plan(load_spec(write_study(inner, study={**STUDY, "storage": storage, "name": "s"})))
        if "://" in storage and "sqlite" not in storage:  # one database for all
            plan = plan._replace(
                spec=plan.spec.model_copy(update={"study": plan.spec.study.model_copy(update={"name": name})})
            )
        before = 0
        while before < len(reference):
            early = random.random() < 0.2
            died, told = killed(plan, early, random.uniform(0.0, 0.1 if early else life))
            now = essence(recorded(plan))
            assert now == reference[: len(now)], "the record differs from an uninterrupted run"
            assert len(now) >= before, "finished trials were lost"
            assert set(told) <= {row[0] for row in now}, "a trial that was said to be finished is not in the record"
            counts["kills"] += died
            counts["in the middle"] += died and before < len(now) < len(reference)
            before = len(now)
    return counts


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
