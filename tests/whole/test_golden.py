"""What earlier versions wrote: shown, exported and synchronised; what would mix numbers is refused in one sentence."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from tests.studies import IBM, command
from tests.tracking.mlflow_side import open_client

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1.0"
TRIALS = {"finished": 12, "interrupted": 6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The golden files as they lay in the user's folder."""
    shutil.copy(IBM, tmp_path)
    for path in GOLDEN.iterdir():
        if path.suffix == ".gz":
            (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        for table, column in (("runs", "artifact_uri"), ("tags", "value"), ("experiments", "artifact_location")):
            database.execute(f"update {table} set {column} = replace({column}, '/GOLDEN', ?)", (str(tmp_path),))
    return tmp_path


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
@pytest.mark.parametrize("name", ["finished", "interrupted"])
def test_an_old_record_is_shown_and_exported(folder: Path, kind: str, name: str) -> None:
    study = folder / f"{kind}_{name}.toml"
    shown = command("show", study)
    assert shown.returncode == 0, shown.stderr
    assert f"{name}: {TRIALS[name]} trials" in shown.stdout
    assert command("export", study, "-o", folder / "trials.csv").returncode == 0
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == TRIALS[name]
    best = table.loc[table["value"].idxmax()]
    assert f"trial {best['number']}), ready to paste" in shown.stdout.replace("\n", " ")


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
@pytest.mark.parametrize("words", [["run"], ["replay"], ["run", "-n", "20"]], ids=" ".join)
def test_an_old_record_is_not_continued_with_other_numbers(folder: Path, kind: str, words: list[str]) -> None:
    before = (folder / "optuna.journal").read_bytes(), (folder / "optuna.db").read_bytes()
    for name in TRIALS:
        done = command(words[0], folder / f"{kind}_{name}.toml", *words[1:])
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "was begun with optim 0.1.0" in line
        assert "--new-name" in line
    assert ((folder / "optuna.journal").read_bytes(), (folder / "optuna.db").read_bytes()) == before


def test_mlflow_of_an_old_study_is_brought_to_its_record(folder: Path) -> None:
    from optim.tracking import MLflowSettings

    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "golden")
    for name, count in TRIALS.items():
        done = command("sync", folder / f"journal_{name}.toml")
        assert done.returncode == 0, done.stderr
        assert f"all {count} trials" in done.stdout
    client = open_client(settings)
    runs = client.search_runs([client.get_experiment_by_name("golden").experiment_id], max_results=1000)
    roles = [run.data.tags["optim.role"] for run in runs]
    assert (roles.count("study"), roles.count("trial")) == (2, sum(TRIALS.values()))
