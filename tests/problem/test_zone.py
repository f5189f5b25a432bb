"""A plain strategy sees the clock that [data] timezone names, in every process; what it answers hangs on it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine import load_bars, to_frame
from engine.data.cells import Cell
from optim.problem.parcel import packed, unpacked
from optim.problem.plan import Plan, make_plan
from optim.spec.study import load_spec
from optim.workers.tasks import known_strategy, run_task
from tests.studies import write_study

MINE = "def mornings(df, params):\n    return (df.index.hour < params['until']).astype(float)\n"
HOURS = pd.date_range("2021-03-01", "2021-04-15", freq="h", tz="UTC")  # over a change of the clocks
ZONE = "America/New_York"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    close = 50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, len(HOURS))))
    frame = pd.DataFrame(
        {"time": HOURS.astype(str), **dict.fromkeys(("open", "high", "low", "close"), close), "volume": 1.0}
    )
    frame.to_csv(tmp_path / "hours.csv", index=False)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def plan_of(folder: Path, **data: Any) -> Plan:
    space = {"parameters": {"until": {"type": "int", "low": 1, "high": 23}}}
    strategy = {"name": "mine.py:mornings", "search_space": space, "fixed": {}}
    return make_plan(load_spec(write_study(folder, data={"path": "hours.csv", **data}, strategy=strategy)))


def test_a_plain_strategy_sees_the_hours_of_the_zone(folder: Path) -> None:
    plan = plan_of(folder, timezone=ZONE)
    (bars,) = plan.job.instruments
    wanted = (HOURS.tz_convert(ZONE).hour < 10).astype(float)
    packed_again = unpacked(packed(plan)).strategy
    by_name = known_strategy(plan.job.strategy, plan.job.folder, plan.job.code, plan.job.zone)
    for strategy in (plan.strategy, pickle.loads(pickle.dumps(plan.strategy)), packed_again, by_name):
        np.testing.assert_array_equal(strategy.target(bars, {"until": 10}), wanted)
    utc = plan_of(folder).strategy.target(bars, {"until": 10})
    np.testing.assert_array_equal(utc, (HOURS.hour < 10).astype(float))


def test_its_trials_hang_on_the_zone_and_so_does_their_record(folder: Path) -> None:
    found = []
    for data in ({}, {"timezone": "UTC"}, {"timezone": ZONE}):
        plan = plan_of(folder, **data)
        task = plan.task({"until": 10}, (Cell(0, 0, len(HOURS)),))._replace(keep=True)
        result = run_task(plan.job, task)
        found.append((result.outcomes[0].metrics["total_return"], plan.fingerprint()))
        entries = result.backtests[0].trades["entry_time"].dt.tz_convert(plan.job.zone)
        assert set(entries.dt.hour) == {1}  # what midnight's bar wants is bought an hour later
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] != found[2][1]


def test_a_frame_has_the_zone_that_is_asked_for(folder: Path) -> None:
    bars = load_bars(folder / "hours.csv")
    assert str(to_frame(bars, ZONE).index.tz) == ZONE
    pd.testing.assert_frame_equal(to_frame(bars, ZONE).tz_convert("UTC"), to_frame(bars))
