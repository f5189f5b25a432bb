"""A study from Python: the command line's own door, which leaves the process as it was."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from optim import OptimError, Study, load_spec
from optim.problem.plan import make_plan
from optim.search.search import search
from tests.optim.studies import IBM, SPACE, command, essence, load, write_study

SEARCH = {"sampler": {"name": "TPESampler", "n_startup_trials": 5}, "n_trials": 16}


def process_state() -> list[Any]:
    """What a call may not change for the rest of the process."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [dict(os.environ), optuna.logging.get_verbosity(), handlers, threading.active_count()]


def test_a_study_from_python_has_the_trials_of_the_command_line(tmp_path: Path) -> None:
    paths = []
    for name in ("python", "shell"):
        (tmp_path / name).mkdir()
        paths.append(write_study(tmp_path / name, study=SEARCH))
    ended = Study.from_toml(paths[0]).run()
    done = command("run", paths[1], "--json")
    assert done.returncode == 0, done.stderr
    assert essence(load(tmp_path / "python")) == essence(load(tmp_path / "shell"))
    said = json.loads(done.stdout)
    assert ended.summary.best is not None
    assert (said["best"]["number"], said["best"]["params"]) == (ended.summary.best.number, ended.summary.best.params)
    assert not ended.interrupted


def test_a_study_shows_its_trials_its_best_and_replays(tmp_path: Path) -> None:
    study = Study.from_toml(write_study(tmp_path, study=SEARCH), n_trials=6, n_jobs=1)
    with pytest.raises(OptimError, match="run it first"):
        _ = study.trials
    study.run()
    table = study.trials
    assert list(table["number"]) == list(range(6))
    assert study.best is not None
    feasible = table[table["state"] == "COMPLETE"]
    assert study.best.number == feasible["value"].idxmax()
    assert all(not again.differences for again in study.replay())
    assert [again.number for again in study.replay(3)] == [3]
    with pytest.raises(OptimError, match="trials 0 to 5"):
        study.replay(6)


def test_a_study_is_written_as_a_dictionary_too(tmp_path: Path) -> None:
    table = {
        "study": {"name": "d", "objective": "sharpe_ratio", "n_trials": 5, "sampler": {"name": "RandomSampler"}},
        "data": {"path": str(IBM)},
        "strategy": {"name": "ma_crossover", "search_space": SPACE, "fixed": {"ma_type": "sma"}},
        "tracking": {"enabled": False},
    }
    study = Study.from_dict(table, tmp_path)
    assert study.run().summary.counts["complete"] + study.run().summary.counts["pruned"] == 5
    assert (tmp_path / "optuna.journal").is_file()
    with pytest.raises(OptimError, match=r"\[study\] n_trials"):
        Study.from_dict({**table, "study": {**table["study"], "n_trials": 0}}, tmp_path)
    with pytest.raises(OptimError, match="no key 'trials'"):
        Study.from_toml(write_study(tmp_path), trials=5)


def test_a_run_changes_nothing_in_the_process(tmp_path: Path) -> None:
    before = process_state()
    study = Study.from_toml(write_study(tmp_path, study=SEARCH, tracking={"enabled": True}))
    assert study.run().mlflow is not None
    study.summary()
    assert study.sync().error == ""
    assert process_state() == before


def test_two_studies_at_once_in_threads_are_two_studies(tmp_path: Path) -> None:
    before = process_state()
    found: dict[str, list[Any]] = {}

    def run(name: str, place: Path) -> Callable[[], None]:
        place.mkdir()
        path = write_study(place, study={**SEARCH, "seed": len(name)}, parallel={"backend": "threading", "n_jobs": 2})

        def work() -> None:
            Study.from_toml(path).run()
            found[str(place)] = essence(load(place))

        return work

    threads = [threading.Thread(target=run(name, tmp_path / name)) for name in ("a", "bb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("a", "bb"):
        run(name, tmp_path / f"{name} alone")()
        assert found[str(tmp_path / name)] == found[str(tmp_path / f"{name} alone")]
    assert process_state() == before


def test_a_search_is_a_function_that_leaves_nothing_behind(tmp_path: Path) -> None:
    """In memory it gives the trials that the record has; three hundred in a row leave no file, thread or memory."""
    path = write_study(tmp_path, study=SEARCH)
    Study.from_toml(path).run()
    plan = make_plan(load_spec(path))
    with_record = load(tmp_path)
    trials, reason = search(plan)
    assert essence(trials) == essence(with_record)
    assert reason == "budget spent"
    small = plan._replace(spec=load_spec(path, {"study": {"n_trials": 6}}))
    for _ in range(20):
        search(small)
    before = _held()
    for _ in range(300):
        search(small)
    after = _held()
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 20 * 2**20  # bytes: less than 70 kB a search, where its trials alone take more
    assert {file.name for file in tmp_path.iterdir()} <= {"study.toml", "optuna.journal", ".optuna.journal.s.writer"}


def _held() -> tuple[int, int, int]:
    """Open files, threads and resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGESIZE")
