"""A study from Python: the command line's own door, which leaves the process as it was."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from optim import OptimError, Study, load_spec
from optim.errors import CodeChangedError
from optim.problem.plan import make_plan
from optim.record.memory import MemoryRecord
from optim.search.search import search
from optim.workers.pool import Pool
from tests.studies import IBM, SPACE, command, essence, load, write_study
from tests.waiting import until

SEARCH = {"sampler": {"name": "TPESampler", "n_startup_trials": 5}, "n_trials": 16}


def process_state() -> list[Any]:
    """What a call may not change for the rest of the process."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [
        dict(os.environ),
        optuna.logging.get_verbosity(),
        handlers,
        list(warnings.filters),
        gc.isenabled(),
    ]


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
    study = Study.from_toml(write_study(tmp_path, study=SEARCH, tracking={"enabled": True}))
    assert study.run().mlflow is not None
    assert study.sync().error == ""  # what libraries change while they are imported is theirs
    before, threads = process_state(), threading.active_count()
    assert study.run().mlflow is not None
    study.summary()
    assert study.sync().error == ""
    assert process_state() == before
    until(lambda: threading.active_count() <= threads, "a thread stays")  # workers are let go in the background


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
    until(lambda: process_state() == before, "something is left of the studies")  # threads end after the call


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


@pytest.mark.parametrize("sampler", ["GridSampler", "TPESampler"])
def test_a_study_that_ended_before_its_budget_has_ended(sampler: str, tmp_path: Path) -> None:
    parameters = {
        "fast_window": {"type": "int", "low": 5, "high": 8},
        "slow_window": {"type": "int", "low": 20, "high": 22},
    }
    path = write_study(
        tmp_path,
        study={"n_trials": 50, "sampler": {"name": sampler}},
        strategy={"search_space": {"parameters": parameters}},
    )
    reason = Study.from_toml(path).run().summary.reason
    assert "has been evaluated" in reason
    assert Study.from_toml(path).summary().reason == reason
    journal = (tmp_path / "optuna.journal").read_bytes()
    assert Study.from_toml(path).run().summary.reason == reason
    assert (tmp_path / "optuna.journal").read_bytes() == journal


def test_any_key_of_study_and_parallel_can_be_given_as_an_argument(tmp_path: Path) -> None:
    study = Study.from_toml(
        write_study(tmp_path), sampler={"name": "QMCSampler"}, timeout=None, batch_size=3, evaluation={"folds": 2}
    )
    assert study.spec.study.sampler.name == "QMCSampler"
    assert (study.spec.parallel.batch_size, study.spec.evaluation.folds) == (3, 2)
    assert "QMCSampler" in study.spec.as_toml()


def test_a_trial_whose_objective_raised_replays_equal(tmp_path: Path) -> None:
    (tmp_path / "goals.py").write_text(
        "def goal(metrics):\n"
        "    if metrics['n_trades'] % 2:\n"
        "        raise KeyError('odd')\n"
        "    return metrics['sharpe_ratio']\n"
    )
    study = Study.from_toml(
        write_study(tmp_path, study={"objective": "goals.py:goal", "direction": "maximize", "n_trials": 12})
    )
    counts = study.run().summary.counts
    assert counts["failed"] > 0
    assert not [again for again in study.replay() if again.differences]


def test_nothing_is_no_proof(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 3}, evaluation={"min_trades": 100_000})
    assert command("run", path).returncode == 1
    done = command("replay", path, "--best")
    assert done.returncode == 2
    assert "no trial of 's' is feasible" in done.stderr


def test_texts_of_the_user_are_no_markup(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def mine(df, params):\n    fast = df['close'].rolling(params['fast_window']).mean()\n"
        "    return (df['close'] > fast).astype(float)\n"
    )
    space = {
        "parameters": {
            "fast_window": {"type": "int", "low": 5, "high": 50},
            "kind": {"type": "categorical", "choices": ["[/x]", "[red]q"]},
        }
    }
    path = write_study(
        tmp_path, study={"n_trials": 6}, strategy={"name": "mine.py:mine", "search_space": space, "fixed": None}
    )
    done = command("run", path)
    assert done.returncode == 0, done.stderr
    assert "[/x]" in done.stdout or "[red]q" in done.stdout


def test_a_sweep_that_cannot_go_on_keeps_what_has_ended(tmp_path: Path) -> None:
    """A worker finds the strategy edited: every trial before is in the record."""
    plan = make_plan(load_spec(write_study(tmp_path, study={"sampler": {"name": "GridSampler"}, "pruner": None})))
    record = MemoryRecord()

    class Breaking(Pool):
        """Workers of which one finds another strategy on its disk."""

        def collect(self, seconds: float = 0.1) -> list[tuple[Any, Any]]:
            if len(record.trials()) + self.given >= 16:
                raise CodeChangedError("edited")
            found = super().collect(seconds)
            self.given += len(found)
            return found

        given = 0

    with Breaking(plan.job, n_jobs=1, backend="sequential") as pool, pytest.raises(CodeChangedError):
        search(plan, record, pool=pool)
    assert len(record.trials()) == 16
