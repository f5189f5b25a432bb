"""Nothing is written over what optim did not make: whatever stands at a target is afterwards what it was."""

from __future__ import annotations

import gzip
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optim.cli.parser import main
from optim.errors import RecordError
from optim.record.files import MLFLOW, OPTUNA, foreign_database, foreign_journal, foreign_table
from optim.record.guard import sole_writer
from optim.record.record import load_record, open_record
from optim.record.storages import study_names
from tests.studies import IBM, load, run_here, write_study

Snapshot = dict[str, tuple[int, bytes | str]]


def database(*tables: str, wal: bool = False) -> bytes:
    """A SQLite file with these tables, a row in each."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (a)")
            connection.execute(f"INSERT INTO {table} VALUES (1)")
        connection.commit()
        data = bytearray(connection.serialize())
    if wal:
        data[18:20] = b"\x02\x02"  # the header's read and write version: write-ahead log
    return bytes(data)


FOREIGN = {
    "one line": b"sk-a-key-without-a-newline",
    "a key": b"-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
    "csv": b"date,close\n2020-01-01,3\n2020-01-02,4\n",
    "torn csv": b"date,close\n2020-01-01,3\n2020-01-0",
    "json lines": b'{"a": 1}\n{"op_code": 1}\n',
    "torn json lines": b'{"a": 1}\n{"a',
    "another's operations": b'{"op_code": 0, "worker_id": 7}\n',
    "json": b'{"op_code": 0}',
    "numbers": b"1\n2\n",
    "toml": b"[study]\nname = 3\n",
    "sqlite": database("customers"),
    "sqlite with a table of our name": database("trials", "patients"),
    "sqlite, write-ahead": database("customers", wal=True),
    "sqlite, cut off": database("customers")[:700],
    "gzip": gzip.compress(b"hello", mtime=0),
    "zeros": bytes(5000),
    "a blank": b" ",
    "a newline": b"\n",
    "nested": b"[" * 100_000,
}
TABLES = {
    "with a column added": b"number,datetime_start,datetime_complete,duration,state,my_notes\n0,,,,COMPLETE,good\n",
    "trades": b"number,state\n1,open\n",
}


def snapshot(folder: Path) -> Snapshot:
    """Every name in a folder with its kind and what it holds; a pipe is not opened."""
    found: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        held: bytes | str = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (mode, held)
    return found


def commands(study: Path) -> Iterator[list[str]]:
    for verb in ("check", "run", "show", "list", "replay", "ui"):
        yield [verb, str(study)]
    yield ["export", str(study), "-o", str(study.with_name("new.csv"))]


def assert_refused_and_untouched(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(study.parent)
    for command in commands(study):
        assert main(command) == 2, command
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.count("\n") == 1, errors
        assert "storage" in errors, errors
        assert snapshot(study.parent) == before, command


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_storage_that_is_another_file_is_left_as_it_is(
    content: bytes, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_bytes(content)
    (tmp_path / "link").symlink_to("notes")
    study = write_study(tmp_path, study={"storage": f"{prefix}notes", "n_trials": 2})
    assert_refused_and_untouched(study, capsys)
    for storage in (f"{prefix}link", *([f"{prefix}notes?timeout=3"] if prefix else [])):
        before = snapshot(tmp_path)
        study = write_study(tmp_path, study={"storage": storage, "n_trials": 2})
        assert main(["run", str(study)]) == 2
        assert {**snapshot(tmp_path), "study.toml": ()} == {**before, "study.toml": ()}


@given(content=st.binary(min_size=1, max_size=200), ends=st.sampled_from([b"", b"\n", b"\n{", b"\n{}\n"]))
@settings(max_examples=200)
def test_no_bytes_pass_for_a_record_or_a_table(
    content: bytes, ends: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    path = folder / "x.csv"
    path.write_bytes(content + ends)
    before = snapshot(folder)
    assert foreign_journal(path)
    assert foreign_database(path, OPTUNA)
    assert foreign_database(path, MLFLOW)
    assert foreign_table(path)
    for storage in (str(path), f"sqlite:///{path}"):
        with pytest.raises(RecordError, match="is there already"), sole_writer(storage, "s"):
            pass
        with pytest.raises(RecordError, match="is there already"):
            open_record(storage, "s", ["maximize"], {}, {}, [])
        with pytest.raises(RecordError, match="is there already"):
            study_names(storage)
        with pytest.raises(RecordError, match="is there already"):
            load_record(storage, "s")
    assert snapshot(folder) == before


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_command_line_leaves_any_bytes_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "notes").write_bytes(content)
    assert_refused_and_untouched(write_study(folder, study={"storage": "notes", "n_trials": 2}), capsys)


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a pipe"])
def test_what_is_no_ordinary_file_is_refused(
    kind: str, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "folder":
        (tmp_path / "notes").mkdir()
        (tmp_path / "notes" / "one.txt").write_text("1")
    else:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "notes").symlink_to("pipe")
    storage = f"{prefix}pipe" if kind == "pipe" else f"{prefix}notes"
    assert_refused_and_untouched(write_study(tmp_path, study={"storage": storage}), capsys)


@pytest.mark.parametrize("place", ["study.toml", "prices.csv", "mine.py", "space.toml"])
def test_a_file_of_the_study_is_no_target(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prices.csv").write_bytes(IBM.read_bytes())
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0 + params['a']\n")
    (tmp_path / "space.toml").write_text('[parameters.a]\ntype = "float"\nlow = 0.0\nhigh = 1.0\n')
    strategy = {"name": "mine.py:mine", "search_space": "space.toml", "fixed": {}}
    study = write_study(tmp_path, data={"path": "prices.csv"}, strategy=strategy, study={"storage": place})
    assert_refused_and_untouched(study, capsys)


@pytest.mark.parametrize("beside", [".optuna.journal.s.writer", "optuna.journal.lock"])
def test_the_files_that_guard_a_record_are_not_written_over_others(
    beside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / beside).write_text("my only copy")
    assert_refused_and_untouched(write_study(tmp_path), capsys)
    (tmp_path / beside).rename(tmp_path / "copy")
    (tmp_path / beside).symlink_to("copy")
    assert_refused_and_untouched(write_study(tmp_path), capsys)


@pytest.mark.parametrize("beside", ["optuna.db-journal", "optuna.db-wal"])
def test_sqlite_is_given_no_file_of_another_to_replay(
    beside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / beside).write_text("my only copy")
    assert_refused_and_untouched(write_study(tmp_path, study={"storage": "sqlite:///optuna.db"}), capsys)


def test_an_empty_file_may_become_the_record_and_reading_leaves_it_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for storage in ("empty", "sqlite:///empty"):
        (tmp_path / "empty").write_bytes(b"")
        study = write_study(tmp_path, study={"storage": storage, "n_trials": 2})
        before = snapshot(tmp_path)
        for command in commands(study):
            if command[0] != "run":
                main(command)
                assert snapshot(tmp_path) == before, command
        assert main(["run", str(study)]) == 0


@pytest.mark.parametrize("storage", ["optuna.journal", "sqlite:///optuna.db", "sqlite:///new/optuna.db"])
def test_reading_makes_no_file(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, study={"storage": storage})
    before = snapshot(tmp_path)
    for command in commands(study):
        if command[0] != "run":
            main(command)
            assert snapshot(tmp_path) == before, command


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_mlflow_gets_no_database_of_another_program(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_bytes(content)
    uris = [f"sqlite:///{name}" for name in ("notes", "notes?timeout=3")] + ["notes", f"file://{tmp_path}/notes"]
    for uri in uris:
        path = write_study(tmp_path, tracking={"enabled": True, "mlflow": {"tracking_uri": uri}}, study={"n_trials": 2})
        before = snapshot(tmp_path)
        for verb in ("check", "run"):
            assert main([verb, str(path)]) == 2
            assert "[tracking.mlflow] tracking_uri = " in capsys.readouterr().err
            assert snapshot(tmp_path) == before


def test_optuna_and_mlflow_are_not_given_one_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "sqlite:///one.db"}}
    path = write_study(tmp_path, study={"storage": "sqlite:///one.db"}, tracking=tracking)
    assert main(["run", str(path)]) == 2
    assert "cannot share a database" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_study(tmp_path_factory.mktemp("finished"), study={"n_trials": 3})
    run_here(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("content", {**FOREIGN, **TABLES}.values(), ids=[*FOREIGN, *TABLES])
def test_an_export_is_written_over_no_other_file(
    content: bytes, suffix: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"trials{suffix}"
    target.write_bytes(content)
    (tmp_path / f"link{suffix}").symlink_to(target.name)
    before = snapshot(tmp_path)
    for name in ("trials", "link"):
        assert main(["export", str(finished), "-o", str(tmp_path / f"{name}{suffix}")]) == 2
        assert "no trials table" in capsys.readouterr().err
        assert snapshot(tmp_path) == before


def test_an_export_is_written_over_an_earlier_one_of_its_kind(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, parquet = tmp_path / "trials.csv", tmp_path / "trials.parquet"
    for _ in range(2):
        for target in (csv, parquet):
            assert main(["export", str(finished), "-o", str(target)]) == 0
    for frame in (pd.read_csv(csv), pd.read_parquet(parquet)):
        assert frame["value"].tolist() == pytest.approx([t.value for t in load(finished.parent)], nan_ok=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trials.csv", "trials.parquet"]
    csv.write_bytes(parquet.read_bytes())  # a table, but of the other kind
    assert main(["export", str(finished), "-o", str(csv)]) == 2
    (tmp_path / "other.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("other.csv", "pipe.csv"):
        assert main(["export", str(finished), "-o", str(tmp_path / name)]) == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_data_are_no_target_of_an_export(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv(IBM).head(600)
    data = tmp_path / f"prices{suffix}"
    frame.to_csv(data, index=False) if suffix == ".csv" else frame.to_parquet(data, index=False)
    study = write_study(tmp_path, data={"path": data.name}, study={"n_trials": 2})
    assert main(["run", str(study)]) == 0
    os.link(data, tmp_path / f"same{suffix}")
    before = snapshot(tmp_path)
    for name in (data.name, f"same{suffix}"):
        assert main(["export", str(study), "-o", str(tmp_path / name)]) == 2
        assert "is the file of [data]" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_an_export_of_no_trial_has_the_columns_that_every_table_has(tmp_path: Path) -> None:
    from optim.record.table import is_trials_table, trials_frame

    frame = trials_frame([])
    assert len(frame) == 0
    assert is_trials_table(list(frame.columns))
    trial = optuna.trial.create_trial(values=[1.0, 2.0], user_attrs={"n_trades": 3.0})
    assert is_trials_table(list(trials_frame([trial]).columns))


def test_a_trials_table_as_csv_reads_back_as_pandas_own_does(tmp_path: Path) -> None:
    from optim.record.table import is_trials_table, trials_frame, write_csv

    odd = [1.0, 0.1, 1e-5, 1e22, -0.0, 5e-324, 123456789.123, math.inf, -math.inf]
    texts = ["a,b", 'say "so"', "two\nlines", "", " é", "1", "true", "None", "NaN"]
    trials = [
        optuna.trial.create_trial(
            value=value,
            params={"text": text, "mixed": [1, "auto"][i % 2], "flag": i % 3 == 0},
            distributions={
                "text": optuna.distributions.CategoricalDistribution(texts),
                "mixed": optuna.distributions.CategoricalDistribution([1, "auto"]),
                "flag": optuna.distributions.CategoricalDistribution([True, False]),
            },
            user_attrs={"values": [value, 1.0], "trades": i, "undefined": math.nan}
            | ({} if i % 2 else {"seldom": 2.5, "word": text}),
        )
        for i, (value, text) in enumerate(zip(odd, texts, strict=True))
    ]
    trials.append(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
    for some in (trials, trials[:1], []):
        ours, pandas = tmp_path / "ours.csv", tmp_path / "pandas.csv"
        frame = trials_frame(some)
        with ours.open("wb") as handle:
            write_csv(frame, handle)
        frame.to_csv(pandas, index=False)
        found, expected = (pd.read_csv(path) for path in (ours, pandas))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
        assert is_trials_table(list(found.columns))
