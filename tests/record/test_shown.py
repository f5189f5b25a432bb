"""The note on a study's winner, read by Optuna's dashboard itself."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from optim.api import Study
from optim.record.record import load_record
from optim.record.shown import show_note
from tests.studies import write_study

pytestmark = pytest.mark.filterwarnings("ignore")  # what the dashboard's packages warn of is their own


def test_the_dashboard_shows_the_winner_until_a_reader_writes(tmp_path: Path) -> None:
    from optuna_dashboard import get_note, save_note

    study = Study.from_toml(write_study(tmp_path), name="my own", n_trials=12, validation={"quick": 1.0})
    study.run()
    record = load_record(str(tmp_path / "optuna.journal"), "my own")
    assert record is not None
    assert study.best is not None
    text = get_note(record.study)
    assert text.startswith(f"Winner: trial {study.best.number}, `sharpe_ratio` = ")
    assert f"**Verdict: {study.verdict['level']}.**" in text  # type: ignore[index]
    assert text.endswith(f"`python -m optim show study.toml --new-name 'my own' --trial {study.best.number}`")
    size = (tmp_path / "optuna.journal").stat().st_size
    show_note(record, text)
    assert (tmp_path / "optuna.journal").stat().st_size == size  # what is there already is not written again
    show_note(record, "x" * 5000)
    assert get_note(record.study) == "x" * 2045
    save_note(record.study, "My own words.")
    show_note(record, "Winner: another one.")
    assert get_note(record.study) == "My own words."
    assert not study.replay()[0].differences
    assert optuna.load_study(study_name="my own", storage=record._storage).trials[0].number == 0
