"""The record: appended whole, repaired when torn, one writer at a time."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import optuna
import pytest

from optim.errors import RecordError
from optim.record import optuna_private
from optim.record.guard import sole_writer
from optim.record.optuna_private import GroupingStorage
from optim.record.record import load_record, open_record
from optim.record.storages import study_names
from tests.studies import essence, load, run_here, write_study


def open_it(storage: str) -> object:
    return open_record(storage, "s", ["maximize"], {"a": 1}, {}, ["sharpe_ratio"])


@pytest.mark.parametrize("storage", ["optuna.journal", "sqlite:///optuna.db"])
def test_any_optuna_user_can_read_it(storage: str, tmp_path: Path) -> None:
    _, trials = run_here(write_study(tmp_path, study={"storage": storage, "n_trials": 10}))
    url = f"sqlite:///{tmp_path}/optuna.db"
    if "sqlite" in storage:
        study = optuna.load_study(study_name="s", storage=url)
    else:
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "optuna.journal"))
        study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
    assert essence(study.trials) == essence(trials)
    frame = study.trials_dataframe()
    assert {
        "number",
        "value_sharpe_ratio",
        "params_fast_window",
        "user_attrs_sharpe_ratio",
        "state",
        "duration",
    } <= set(frame.columns)
    assert (frame["datetime_complete"] >= frame["datetime_start"]).all()


def test_both_storages_hold_the_same(tmp_path: Path) -> None:
    rows = []
    for storage in ("optuna.journal", "sqlite:///optuna.db"):
        folder = tmp_path / storage[:6]
        folder.mkdir()
        rows.append(essence(run_here(write_study(folder, study={"storage": storage, "n_trials": 12}))[1]))
    assert rows[0] == rows[1]


def test_nothing_is_written_behind_a_torn_line_of_another_process(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    storage = GroupingStorage(str(path))
    study = optuna.create_study(storage=storage, study_name="s")
    study_id = storage.get_study_id_from_name("s")
    storage.add_trials(study_id, [optuna.trial.create_trial(value=1.0)])
    with path.open("ab") as handle:
        handle.write(b'{"op_code":4,"worker_id"')
    before = path.read_bytes()
    with pytest.raises(ValueError, match="torn line"):
        storage.add_trials(study_id, [optuna.trial.create_trial(value=2.0)])
    assert path.read_bytes() == before
    assert len(study.trials) == 1


@pytest.mark.parametrize("torn", [b'{"op_code":4,"worker_id"', b'{"op_code":4}', b"\x00\x00\n", b"garbage\n"])
def test_a_torn_tail_is_cut_and_the_study_goes_on(torn: bytes, tmp_path: Path) -> None:
    path = write_study(tmp_path)
    _, whole = run_here(path)
    journal = tmp_path / "optuna.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-5]) + torn)
    with sole_writer(str(journal), "s"):
        assert len(load(tmp_path)) == len(whole) - 5
        _, again = run_here(path)
    assert essence(again) == essence(whole)
    assert (tmp_path / "optuna.journal.torn-1").read_bytes() == torn  # nothing is thrown away


def test_a_whole_journal_is_left_alone(tmp_path: Path) -> None:
    run_here(write_study(tmp_path))
    journal = tmp_path / "optuna.journal"
    before = journal.read_bytes()
    with sole_writer(str(journal), "s"):
        pass
    assert journal.read_bytes() == before


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    import os
    import socket

    journal = str(tmp_path / "optuna.journal")
    with (
        sole_writer(journal, "s"),
        pytest.raises(RecordError, match=f"pid {os.getpid()} on {socket.gethostname()}"),
        sole_writer(journal, "s"),
    ):
        pass
    with sole_writer(journal, "s"):  # free again
        pass


def test_a_study_that_optim_did_not_make_is_left_alone(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(storage=storage, study_name="s").optimize(
        lambda trial: trial.suggest_float("x", 0, 1), n_trials=1
    )
    with pytest.raises(RecordError, match="not made by optim"):
        open_it(storage)


def test_a_database_that_cannot_be_reached_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        open_it("postgresql://me:s3cret-word@127.0.0.1:1/none")
    assert "s3cret-word" not in str(caught.value)
    assert "cannot be opened" in str(caught.value)


def test_a_database_without_its_driver_is_one_sentence() -> None:
    with pytest.raises(RecordError, match=r"needs a driver .*pip install .*'optim\[mysql\]'") as caught:
        sole_writer("mysql+cymysql://me:s3cret-word@127.0.0.1:1/none", "s").__enter__()
    assert "s3cret-word" not in str(caught.value)


def test_loading_creates_nothing(tmp_path: Path) -> None:
    for storage in (str(tmp_path / "optuna.journal"), f"sqlite:///{tmp_path}/optuna.db"):
        assert load_record(storage, "s") is None
        assert study_names(storage) == []
    assert list(tmp_path.iterdir()) == []


WAYS = pytest.mark.parametrize("known", [("",), ()], ids=["private", "public"])  # of optuna_private.KNOWN: any, none


@WAYS
def test_a_group_is_what_optuna_writes_one_by_one(
    known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trials = run_here(write_study(tmp_path))
    monkeypatch.setattr(optuna_private, "KNOWN", known)
    for name in ("grouped", "plain"):
        storage = GroupingStorage(str(tmp_path / name))
        study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
        for part in (trials[:10], trials[10:]):
            part = [copy.deepcopy(trial) for trial in part]
            storage.add_trials(0, part) if name == "grouped" else study.add_trials(part)
            assert storage.intact()
        study.set_user_attr("after", 1)  # the positions in the file are still right
        assert essence(study.trials) == essence(trials)
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / name))
        again = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
        assert essence(again.trials) == essence(trials)
        assert again.user_attrs == {"after": 1}
    lines = ((tmp_path / name).read_text().splitlines() for name in ("grouped", "plain"))
    grouped, plain = ([{**json.loads(line), "worker_id": ""} for line in part] for part in lines)
    assert grouped == plain


@WAYS
def test_a_group_sees_what_another_process_wrote(
    known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna_private, "KNOWN", known)
    path = str(tmp_path / "journal")
    ours = GroupingStorage(path)
    study = optuna.create_study(storage=ours, study_name="s")
    other = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    optuna.load_study(study_name="s", storage=other).add_trial(optuna.trial.create_trial(value=1.0))
    ours.add_trials(0, [optuna.trial.create_trial(value=2.0)])
    assert [t.value for t in study.trials] == [1.0, 2.0]
    assert [t.value for t in optuna.load_study(study_name="s", storage=other).trials] == [1.0, 2.0]
    lines = Path(path).read_bytes().splitlines(keepends=True)
    assert ours.intact()
    Path(path).write_bytes(b"".join(lines[:-1]))
    assert not ours.intact()
