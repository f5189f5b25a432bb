"""Kill a coordinator again and again: `python -m tests.survival.kill_loop FOLDER STORAGE KILLS SEED`.

Each coordinator is a fork of this process (nothing to import, so that a hundred of them take seconds) and is ended at a
random instant of its processor time, so that a busy machine changes nothing; the next one resumes. After every kill the
record is read as any Optuna user would and held against an uninterrupted run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
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
        Search(plan, record, pool, Listener(finished, lambda _: None, lambda: False)).run()


def lived(plan: Plan, seconds: float) -> tuple[bool, list[int], float]:
    """A coordinator that is killed when it has used `seconds` of processor time, however busy the machine is.

    Returns whether it was killed, what it had told, and the processor time it took.
    """
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        code = 1
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends a process at once, as SIGKILL does
            coordinate(plan, into)
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    data = b""
    while part := os.read(out, 65536):
        data += part
    os.close(out)
    _, status, used = os.wait4(pid, 0)
    killed = os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGPROF if killed else os.WEXITSTATUS(status) == 0, "a coordinator failed"
    told = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    return killed, told, used.ru_utime + used.ru_stime


def recorded(plan: Plan) -> list[FrozenTrial]:
    """The trials as another process sees them, torn tail and all."""
    record = load_record(plan.storage, plan.spec.study.name)
    return record.trials() if record else []


def study_in(folder: Path, storage: str, name: str) -> Plan:
    """The plan of a study of its own; on a database server the studies share one database."""
    folder.mkdir()
    return make_plan(load_spec(write_study(folder, study={**STUDY, "storage": storage, "name": name})))


def main(folder: Path, storage: str, kills: int, seed: int) -> dict[str, int]:
    """Kill coordinators until `kills` have died; assert after each one that nothing is lost, torn or twice."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    drawn = random.Random(seed)
    run_here(write_study(folder, study=STUDY))  # compiles
    whole = study_in(folder / "whole", storage, "whole")
    died, _, life = lived(whole, 600)
    reference = essence(recorded(whole))
    assert not died
    assert len(reference) == STUDY["n_trials"]
    counts = {"kills": 0, "studies": 0, "in the middle": 0}
    while counts["kills"] < kills:
        counts["studies"] += 1
        plan = study_in(folder / str(counts["studies"]), storage, f"s{counts['studies']}")
        before = 0
        while before < len(reference):
            died, told, _ = lived(plan, drawn.uniform(0.001, life))
            now = essence(recorded(plan))
            assert now == reference[: len(now)], "the record differs from an uninterrupted run"
            assert len(now) >= before, "finished trials were lost"
            assert set(told) <= {row[0] for row in now}, "a trial that was said to be finished is not in the record"
            counts["kills"] += died
            counts["in the middle"] += died and before < len(now) < len(reference)
            before = len(now)
    return counts


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
