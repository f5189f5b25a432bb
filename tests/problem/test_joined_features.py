"""[data.features]: files of values beside the bars, in the data, the search, the hold-out and the look-ahead probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.bars import features_of
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, command, essence, run_here, write_study

CODE = """
def calm(df, params):
    return (df["vix"] < params["most"]).astype(float)
"""
SPACE = {"parameters": {"most": {"type": "float", "low": 15.0, "high": 25.0}}}


def study_with(folder: Path, shift: float = 0.0, bars: str | Path = IBM, **keys: Any) -> Path:
    folder.mkdir(exist_ok=True)
    days = pd.read_csv(IBM)["date"]
    vix = np.round(20.0 + 5.0 * np.random.default_rng(3).standard_normal(len(days)), 2) + shift
    pd.DataFrame({"date": days, "close": vix}).to_csv(folder / "vix.csv", index=False)
    (folder / "mine.py").write_text(CODE)
    strategy = {"name": "mine.py:calm", "search_space": SPACE, "fixed": None}
    path = write_study(folder, data={"path": str(bars)}, strategy=strategy, study={"n_trials": 8})
    if keys:
        table = "\n".join(f'{key} = "{value}"' for key, value in keys.items())
        path.write_text(f"{path.read_text()}\n[data.features.vix]\n{table}\n")
    return path


def test_trials_are_those_of_a_file_that_has_the_column_itself(tmp_path: Path) -> None:
    joined = study_with(tmp_path / "joined", path="vix.csv", lag="1D")
    plan = make_plan(load_spec(joined))
    frame = pd.read_csv(IBM)
    vix = pd.read_csv(tmp_path / "joined" / "vix.csv")["close"]
    expected = vix.to_numpy().copy()
    expected[:2] = [np.nan, vix[0]]  # the first two bars are taken to close at their open
    np.testing.assert_array_equal(features_of(plan.job.instruments[0])["vix"], expected)
    frame["vix"] = expected
    (tmp_path / "own").mkdir()
    frame.to_csv(tmp_path / "own" / "bars.csv", index=False)
    own = study_with(tmp_path / "own", bars="bars.csv")
    assert make_plan(load_spec(own)).datasets[0].digest == plan.datasets[0].digest
    assert essence(run_here(joined)[1]) == essence(run_here(own)[1])


def test_other_values_are_other_data_and_the_guess_of_a_lag_is_said(tmp_path: Path) -> None:
    one, other = (study_with(tmp_path / str(shift), shift, path="vix.csv") for shift in (0.0, 0.5))
    plans = [make_plan(load_spec(path)) for path in (one, other)]
    assert plans[0].datasets[0].digest != plans[1].datasets[0].digest
    (said,) = (note for note in plans[0].notes if "feature vix" in note)
    assert "known 1 day after its timestamp" in said
    assert "[data.features.vix] lag" in said


def test_check_run_and_replay_know_the_feature(tmp_path: Path) -> None:
    path = study_with(tmp_path, path="vix.csv", lag="1D", max_age="7D")
    run_here(path)
    done = command("replay", path)
    assert done.returncode == 0, done.stdout + done.stderr
    study_with(tmp_path, 1.0, path="vix.csv", lag="1D", max_age="7D")
    changed = command("replay", path)
    assert changed.returncode != 0
    assert "data" in changed.stdout + changed.stderr


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"path": "vox.csv"}, r"\[data.features.vix\] path = 'vox.csv': no such file"),
        (
            {"path": "vix.csv", "lag": "soon"},
            r"\[data.features.vix\] lag = 'soon': must be a number",
        ),
        ({"path": "vix.csv", "lagg": "1D"}, r"\[data\] features.vix.lagg: unknown key"),
        ({"lag": "1D"}, r"\[data\] features.vix.path: missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_plan(load_spec(study_with(tmp_path, **keys)))
