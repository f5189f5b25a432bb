"""[data] timeframe: a finer file in a study of longer bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.bars import Bars
from engine.data.load import content_hash, load_bars, to_frame
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, essence, run_here, write_study


def test_the_bars_of_a_study_are_those_of_its_timeframe(tmp_path: Path) -> None:
    plan = make_plan(load_spec(write_study(tmp_path, data={"timeframe": "1W"})))
    frame = pd.read_csv(IBM, parse_dates=["date"], index_col="date")
    weeks = frame.resample("W-MON", closed="left", label="left").agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )
    expected = load_bars(weeks.dropna())
    (bars,) = plan.job.instruments
    assert type(bars) is Bars
    np.testing.assert_array_equal(np.array(bars), np.array(expected))
    searched = max(cell.stop for cell in plan.cells)
    assert plan.datasets[0].digest == content_hash(Bars(*(column[:searched] for column in expected)))
    assert plan.job.periods_per_year == 52.0


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"timeframe": "1h"}, "[data] timeframe = '1h': is finer than the bars, .* 1 day apart"),
        ({"timeframe": "1y"}, "[data] timeframe = '1y': .*must be a number and one of s, m"),
        ({"timeframe": "1W", "timeframe_offset": "2D"}, "[data] timeframe_offset = '2D': .*shorter than a day"),
        ({"timeframe": "5h"}, "[data] timeframe = '5h': below a day it must divide the day"),
        ({"timezone": "Mars"}, "[data] timezone = 'Mars': no such time zone"),
        ({"start": "soon"}, "[data] start = 'soon': is no date"),
        (
            {"start": "2050"},
            "2 bars from start 2050: 0 of the 3270 there are, .* 2000-03-01T.* to 2013-03-01T.*; move start",
        ),
        ({"features": {"close": {"path": "vix.csv"}}}, r"[data.features.close\]: every bar has a column close"),
        ({"features": {"vix": {"path": "vix.csv", "timezone": "Mars"}}}, r"[data.features.vix\] timezone = 'Mars': no"),
        ({"timeframe_offset": "2h"}, "[data].* timeframe_offset needs timeframe"),
        ({"timeframe": "1M", "end": "2000-03"}, "[data] timeframe = '1M': .*all bars are in one period"),
    ],
)
def test_what_is_no_timeframe_of_the_file_is_refused_in_one_sentence(
    tmp_path: Path, keys: dict[str, Any], said: str
) -> None:
    (tmp_path / "vix.csv").write_text("date,vix\n2000-01-01,20\n2000-01-02,21\n")
    with pytest.raises(SpecError, match=said.replace("[data]", r"\[data\]").replace("[data.", r"\[data.")):
        make_plan(load_spec(write_study(tmp_path, data=keys)))


def test_trials_are_those_of_a_file_that_has_these_bars(tmp_path: Path) -> None:
    one, other = tmp_path / "resampled", tmp_path / "written"
    one.mkdir()
    other.mkdir()
    daily = write_study(one, data={"timeframe": "1W"}, study={"n_trials": 8})
    frame = to_frame(make_plan(load_spec(daily)).job.instruments[0])
    frame.to_csv(other / "weeks.csv")
    weekly = write_study(other, data={"path": "weeks.csv"}, study={"n_trials": 8})
    assert essence(run_here(daily)[1]) == essence(run_here(weekly)[1])
