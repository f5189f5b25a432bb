"""A study under another name, and a study that is no more: in the record, in MLflow, in its file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import optuna
import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.record import moving
from optim.record.guard import sole_writer
from optim.record.record import load_record
from optim.record.storages import open_storage, study_names
from optim.tracking import MLflowSettings
from tests.studies import essence, write_study
from tests.tracking.mlflow_side import all_runs


def recorded(storage: str, name: str) -> list[optuna.trial.FrozenTrial]:
    record = load_record(storage, name)
    return [] if record is None else record.trials()


@pytest.mark.parametrize("place", ["optuna.journal", "sqlite:///optuna.db"])
def test_a_renamed_study_is_the_same_goes_on_and_is_deleted(tmp_path: Path, place: str) -> None:
    path = write_study(tmp_path, study={"n_trials": 4, "storage": place})
    storage = f"sqlite:///{tmp_path}/optuna.db" if "://" in place else str(tmp_path / place)
    Study.from_toml(path).run()
    text = path.read_text().replace('name = "s"', 'name = "s"  # of mine')
    path.write_bytes(text.replace("\n", "\r\n").encode())
    path.chmod(0o600)
    mode = path.stat().st_mode
    before, identity = recorded(storage, "s"), load_record(storage, "s")
    assert identity is not None
    same = identity.study_id, identity.spec, identity.versions
    assert main(["rename", str(path), 'May "24"', "--yes"]) == 0
    after = load_record(storage, 'May "24"')
    assert after is not None
    assert (after.study_id, after.spec, after.versions) == same
    assert essence(after.trials()) == essence(before)
    assert study_names(storage) == [('May "24"', 4)]
    text = path.read_text()
    assert tomllib.loads(text)["study"]["name"] == 'May "24"'
    assert "# of mine" in text
    assert path.stat().st_mode == mode  # nobody else may read it now
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") > 1
    assert main(["run", str(path), "-n", "8"]) == 0
    neighbour = Study.from_toml(path, name="other", n_trials=8)
    neighbour.run()
    assert essence(recorded(storage, 'May "24"')) == essence(recorded(storage, "other"))
    assert main(["delete", str(path), "--yes"]) == 0
    assert study_names(storage) == [("other", 8)]
    assert main(["delete", str(path), "--yes"]) == 2  # it is not there


def test_nobody_to_ask_a_taken_name_and_a_study_that_runs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path, study={"n_trials": 2})
    storage = str(tmp_path / "optuna.journal")
    Study.from_toml(path).run()
    optuna.create_study(storage=open_storage(storage), study_name="taken")
    before = Path(storage).read_bytes(), path.read_bytes()
    for arguments, said in (
        (["delete", str(path)], "add --yes"),
        (["rename", str(path), "b"], "add --yes"),
        (["rename", str(path), "taken", "--yes"], "has a study named 'taken' already"),
        (["rename", str(path), "s", "--yes"], "study 's' has that name already"),
        (["rename", str(path), "a/b", "--yes"], "[study] name = 'a/b'"),
    ):
        assert main(arguments) == 2, arguments
        assert said in capsys.readouterr().err
    fresh = write_study(tmp_path, study={"name": "fresh", "seed": 9}).rename(tmp_path / "fresh.toml")  # never run
    text = fresh.read_bytes()
    assert main(["rename", str(fresh), "s", "--yes"]) == 2  # that is another study
    assert "run it first" in capsys.readouterr().err
    assert fresh.read_bytes() == text
    path = write_study(tmp_path, study={"n_trials": 2})
    with sole_writer(storage, "s"):
        assert main(["delete", str(path), "--yes"]) == 2
    assert "is being run by" in capsys.readouterr().err
    assert (Path(storage).read_bytes(), path.read_bytes()) == before


@pytest.mark.parametrize("cut", ["_copy", "delete"])
def test_what_was_cut_short_is_ended_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    path = write_study(tmp_path, study={"n_trials": 4})
    storage = str(tmp_path / "optuna.journal")
    Study.from_toml(path).run()
    before = essence(recorded(storage, "s"))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if cut == "_copy":  # before the copy's identity is written
            patch.setattr("optim.record.optuna_private.GroupingStorage.add_trials", killed)
        else:
            patch.setattr(moving.optuna, "delete_study", killed)
        assert main(["rename", str(path), "b", "--yes"]) == 130
    assert essence(recorded(storage, "s")) == before
    assert (load_record(storage, "b") is None) == (cut == "_copy")
    text = path.read_text()
    assert main(["rename", str(path), "b", "--yes"]) == 0
    assert study_names(storage) == [("b", 4)]
    assert essence(recorded(storage, "b")) == before
    path.write_text(text)  # as if it had been cut short before the file was written
    assert main(["rename", str(path), "b", "--yes"]) == 0
    assert tomllib.loads(path.read_text())["study"]["name"] == "b"
    assert study_names(storage) == [("b", 4)]


def test_mlflow_is_renamed_and_emptied_with_it_or_nothing_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment_name": "e"}}
    path = write_study(tmp_path, study={"n_trials": 3}, tracking=tracking)
    assert main(["run", str(path)]) == 0
    settings = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "e")
    away = path.with_name("away.toml")
    away.write_text(path.read_text().replace("sqlite:///mlflow.db", "http://user:secret@127.0.0.1:9"))
    capsys.readouterr()
    assert main(["delete", str(away), "--yes"]) == 2
    assert "MLflow at http" in (told := capsys.readouterr().err)
    assert "secret" not in told
    assert study_names(str(tmp_path / "optuna.journal")) == [("s", 3)]
    assert main(["rename", str(path), "b", "--yes"]) == 0
    runs = all_runs(settings)
    assert len(runs) == 4
    assert [run.info.run_name for run in runs if run.data.tags["optim.role"] == "study"] == ["b"]
    assert main(["sync", str(path)]) == 0
    assert {run.info.run_id for run in all_runs(settings)} == {run.info.run_id for run in runs}
    assert main(["delete", str(path), "--yes"]) == 0
    assert "4 runs in MLflow" in capsys.readouterr().out
    assert all_runs(settings) == []
    assert study_names(str(tmp_path / "optuna.journal")) == []
