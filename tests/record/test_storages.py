"""Optuna's own suite for storages, over every storage a record can be in: a new Optuna is found out at once."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState

from optim.record import optuna_private
from optim.record.memory_storage import MemoryStorage
from optim.record.storages import open_storage
from tests import servers

pytestmark = pytest.mark.filterwarnings("ignore")  # what the suite of another project warns of is its own


def disposed(storage: BaseStorage) -> Iterator[BaseStorage]:
    """The storage, whose connections are closed afterwards: a server has a hundred."""
    assert isinstance(storage, optuna.storages.RDBStorage)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


class TestJournal(StorageTestCase):
    """The journal file with grouped writes."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return open_storage(str(tmp_path / "optuna.journal"))


class TestMemory(StorageTestCase):
    """The storage that a search works on."""

    @pytest.fixture
    def storage(self) -> BaseStorage:
        return MemoryStorage()


class TestSQLite(StorageTestCase):
    """Optuna's own tables in SQLite."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        yield from disposed(open_storage(f"sqlite:///{tmp_path}/optuna.db"))


@pytest.mark.real("postgresql")
class TestPostgreSQL(StorageTestCase):
    """Optuna's own tables in PostgreSQL."""

    @pytest.fixture(scope="class")
    def server(self) -> Iterator[str]:
        with servers.postgres_cluster() as url:
            yield url

    @pytest.fixture
    def storage(self, server: str, request: pytest.FixtureRequest) -> Iterator[BaseStorage]:
        return open_storage(
            servers.create_database(server, f"t{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}")
        )


def test_the_suite_is_there() -> None:
    names = [name for name in dir(StorageTestCase) if name.startswith("test_")]
    assert len(names) >= 40, f"Optuna {optuna.__version__} has another suite"


@pytest.mark.parametrize("known", [("",), ()], ids=["private", "public"])  # of optuna_private.KNOWN: any, none
def test_a_journal_of_many_hands_is_read_as_optuna_reads_it(
    known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole trials, asked and told ones, running ones, several studies, one of them deleted, dashboards' notes."""
    monkeypatch.setattr(optuna_private, "KNOWN", known)
    path = str(tmp_path / "journal")
    plain = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    space = {
        "x": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
        "n": optuna.distributions.IntDistribution(2, 10, step=2),
        "c": optuna.distributions.CategoricalDistribution(("a", 1, None)),
    }
    first = optuna.create_study(storage=plain, study_name="first")
    gone = optuna.create_study(storage=plain, study_name="gone")
    both = optuna.create_study(storage=plain, study_name="both", directions=["minimize", "maximize"])
    early = optuna_private.GroupingStorage(path)  # reads what is written later when it is asked
    for number in range(6):
        params = {"x": 0.1 + number / 10, "n": 4, "c": ("a", 1, None)[number % 3]}
        attrs = {"infeasible": "n", "cell_values": [1.0, math.inf]}
        whole = optuna.trial.create_trial(value=float(number), params=params, distributions=space, user_attrs=attrs)
        first.add_trial(whole)
        gone.add_trial(whole)
        state = optuna.trial.TrialState.PRUNED
        pruned = {"state": state, "intermediate_values": {0: 1.0, 3: math.nan}, "system_attrs": {"optim:batch": 1}}
        first.add_trial(optuna.trial.create_trial(params=params, distributions=space, **pruned))
        both.add_trial(optuna.trial.create_trial(values=[1.0, number], params=params, distributions=space))
        asked = first.ask(space)
        asked.set_user_attr("note", "mine")
        if number % 2:
            first.tell(asked, state=optuna.trial.TrialState.FAIL)
    optuna.delete_study(study_name="gone", storage=plain)
    first.enqueue_trial({"n": 2})
    for storage in (optuna_private.GroupingStorage(path), early):
        assert [vars(s) for s in storage.get_all_studies()] == [vars(s) for s in plain.get_all_studies()]
        for study_id in (0, 2):
            assert repr(storage.get_all_trials(study_id)) == repr(plain.get_all_trials(study_id))
        optuna.load_study(study_name="first", storage=storage).add_trial(whole)
        assert repr(storage.get_all_trials(0)) == repr(plain.get_all_trials(0))


def what_ended(trial: FrozenTrial) -> tuple[Any, ...]:
    return trial.state, trial.values, str(trial.intermediate_values), trial.datetime_complete is not None


@pytest.mark.parametrize("known", [("",), ()], ids=["private", "public"])
@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_a_trial_is_finished_as_by_tell(
    known: tuple[str, ...], directions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_private, "KNOWN", known)
    values = [1.0, 2][: len(directions)]
    told, finished = (optuna.create_study(directions=directions) for _ in range(2))
    heard: list[list[Any]] = []
    for study, finish in ((told, optuna.Study.tell), (finished, optuna_private.finish)):
        heard.append([])
        monkeypatch.setattr(study.sampler, "after_trial", lambda *said: heard[-1].append(said[2:]))
        ends = [("COMPLETE", values, 0.5), ("PRUNED", None, 0.5), ("FAIL", None, 0.5)]
        ends += [("PRUNED", None, None), ("PRUNED", None, math.nan)]
        for state, given_values, report in ends:
            trial = study.ask()
            if len(directions) == 1 and report is not None:
                trial.report(report, 3)
            finish(study, trial, given_values, TrialState[state])
            with pytest.raises(ValueError, match="Cannot tell"):
                finish(study, trial, given_values, TrialState[state])
        with pytest.raises(ValueError, match=r"nan|NaN"):
            finish(study, study.ask(), [math.nan] * len(directions), TrialState.COMPLETE)
    assert heard[0] == heard[1]
    assert len(heard[0]) == 5
    assert [what_ended(t) for t in told.trials] == [what_ended(t) for t in finished.trials]


LINES = st.lists(
    st.sampled_from(
        (
            b'{"op_code":4,"x":0.1,"n":12345678901234567}\n',
            b'{"op_code":4,"x":[Infinity,NaN,-Infinity,1e400,1e-400,1.7976931348623157e308]}\n',
            b'{"op_code":4,"x":"\\ud800 \\u20ac","state":1}\n',
            b'{"op_code":8,"n":123456789012345678901234567890}\n',
            b'{"op_code":4,"x":\n',  # torn, and written behind
            b"\n",
        )
    ),
    max_size=6,
)


@given(lines=LINES, tail=st.sampled_from((b"", b'{"op_code":4', b'{"op_code":4,"x":1}')), start=st.integers(0, 4))
@settings(max_examples=80, deadline=None)
def test_a_damaged_journal_is_read_as_optuna_reads_it(lines: list[bytes], tail: bytes, start: int) -> None:
    """From its first entry, from a later one, and again once somebody has written more."""

    def read(journal: JournalFileBackend) -> list[Any]:
        found: list[Any] = []
        try:
            found += map(repr, journal.read_logs(start))
        except ValueError:
            found.append("broken")
        return found

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        path.write_bytes(b"".join(lines) + tail)
        ours, theirs = optuna_private.GroupingJournal(str(path)), JournalFileBackend(str(path))
        for _ in range(2):
            assert read(ours) == read(theirs)
            assert ours._log_number_offset == theirs._log_number_offset
            with path.open("ab") as handle:
                handle.write(b',"y":2}\n{"op_code":4,"x":3}\n')


@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),
    zone=st.sampled_from(("Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns")),
)
@settings(max_examples=60, deadline=None)
def test_times_of_a_journal_are_local_as_optuna_has_them(moment: datetime, zone: str) -> None:
    """Also in the minutes in which clocks are changed: by one hour, or by half of one."""
    text = moment.replace(tzinfo=UTC).isoformat(timespec="microseconds")
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    optuna_private._ahead.cache_clear()
    try:
        changed = [datetime.fromisoformat(text) + timedelta(hours=h) for h in range(0, 24 * 190, 190)]
        for one in changed:
            assert optuna_private._local(one.isoformat()) == one.astimezone().replace(tzinfo=None)
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
        optuna_private._ahead.cache_clear()


Story = list[tuple[list[float], str, bool]]  # of every trial: what it reports, how it ends, whether before the next one
STORIES = st.lists(
    st.tuples(
        st.lists(st.floats(-3, 3) | st.just(math.nan), min_size=1, max_size=3),
        st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]),
        st.booleans(),
    ),
    min_size=8,
    max_size=30,
)


def decisions(storage: BaseStorage, story: Story, direction: str, percentile: float) -> list[Any]:
    """What a pruner decides at every step of every trial, and the complete trials at the end."""
    pruner = optuna.pruners.PercentilePruner(percentile, n_startup_trials=2, n_warmup_steps=0)
    study = optuna.create_study(storage=storage, study_name="s", direction=direction, pruner=pruner)
    study.add_trial(optuna.trial.create_trial(value=0.5, intermediate_values={0: 0.5, 1: 0.1}))
    found: list[Any] = []
    open_trials: list[tuple[optuna.Trial, str]] = []
    for number, (reports, end, at_once) in enumerate(story):
        trial = study.ask()
        for step, value in enumerate(reports):
            trial.report(value, step)
            found.append((number, step, trial.should_prune()))
        open_trials.append((trial, end))
        while at_once and open_trials:  # the last one first: the order of the numbers is another one
            ended, how = open_trials.pop()
            study.tell(ended, 1.0 if how == "COMPLETE" else None, state=optuna.trial.TrialState[how])
    told = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    return [*found, *((one.number, repr(one.values), repr(one.intermediate_values)) for one in told)]


@given(story=STORIES, direction=st.sampled_from(["minimize", "maximize"]), percentile=st.sampled_from([50.0, 25.0]))
@settings(max_examples=60, deadline=None)
def test_pruners_decide_on_the_memory_as_on_optuna_own(story: Story, direction: str, percentile: float) -> None:
    ours, theirs = MemoryStorage(), optuna.storages.InMemoryStorage()
    assert decisions(ours, story, direction, percentile) == decisions(theirs, story, direction, percentile)
