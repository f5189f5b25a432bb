"""[data] detail: finer bars in a study, in its fingerprint, its search and its refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.bars import detail_of
from optim.errors import SpecError
from optim.problem.parcel import packed, unpacked
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from optim.verdict.markets import Market, found, on_market
from tests.studies import IBM, run_here, write_study

FRAME = pd.read_csv(IBM, parse_dates=["date"]).tail(600)


def halves(frame: pd.DataFrame) -> pd.DataFrame:
    """Two bars of each day: first its high, then its low."""
    low = frame[["open", "close"]].min(axis=1)
    morning = frame.assign(low=low)
    evening = frame.assign(open=frame["close"], high=frame["close"], date=frame["date"] + pd.Timedelta("12h"))
    return pd.concat([morning, evening]).sort_values("date")


def study_of(folder: Path, fine: pd.DataFrame, **tables: Any) -> Path:
    folder.mkdir(exist_ok=True)
    FRAME.to_csv(folder / "days.csv", index=False)
    fine.to_csv(folder / "halves.csv", index=False)
    data = {"path": "days.csv", "detail": "halves.csv", **tables.pop("data", {})}
    rules = {"stop_pct": 0.002, "take_profit_pct": 0.002, **tables.pop("backtest", {})}
    return write_study(folder, data=data, backtest=rules, study={"n_trials": 8}, **tables)


def test_a_search_looks_it_up_and_the_record_knows_it(tmp_path: Path) -> None:
    fine = halves(FRAME)
    path = study_of(tmp_path / "with", fine)
    plan = make_plan(load_spec(path))
    assert "days.csv: 100.0% of the searched bars have detail" in plan.effects
    trials = run_here(path)[1]
    without = study_of(tmp_path / "without", fine, data={"detail": None})
    other = run_here(without)[1]
    assert make_plan(load_spec(without)).datasets[0].digest != plan.datasets[0].digest
    assert [trial.params for trial in trials] == [trial.params for trial in other]
    assert sum(a.values != b.values for a, b in zip(trials, other, strict=True)) > 4
    market = unpacked(packed(on_market(plan, Market("single", 1))))
    assert detail_of(market.job.instruments[0]).shape == (480, 2, 3)
    assert found(market) is not None


def test_the_hold_out_has_no_say(tmp_path: Path) -> None:
    fine = halves(FRAME)
    late = fine["date"] > FRAME["date"].iloc[500]
    changed = fine.assign(high=np.where(late, fine["high"] * 1.5, fine["high"]))
    one, other = (make_plan(load_spec(study_of(tmp_path / n, f))) for n, f in (("a", fine), ("b", changed)))
    assert one.fingerprint() == other.fingerprint()
    assert one.notes == other.notes


def test_bars_that_differ_are_told(tmp_path: Path) -> None:
    fine = halves(FRAME)
    fine.iloc[[4, 8], fine.columns.get_loc("high")] *= 1.5
    (said,) = (note for note in make_plan(load_spec(study_of(tmp_path, fine))).notes if "detail" in note)
    assert said == (
        "days.csv: 99.6% of the searched bars have detail; in 2 (0.4%; rows 3, 5) its highest high or lowest low is "
        "not the bar's: there nothing is looked up"
    )


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"data": {"detail": "none.csv"}}, r"\[data\] detail = 'none.csv': no such file"),
        (
            {"data": {"detail": ["halves.csv", "halves.csv"]}},
            r"\[data\] detail: names 2 files, but \[data\] has 1 inst",
        ),
        ({"backtest": {"portfolio": True}}, r"\[data\] detail: is of one instrument with an account of its own"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, tables: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_plan(load_spec(study_of(tmp_path, halves(FRAME), **tables)))


def test_detail_that_is_adjusted_otherwise_is_refused(tmp_path: Path) -> None:
    fine = halves(FRAME)
    prices = ["open", "high", "low", "close"]
    fine[prices] /= 2
    with pytest.raises(SpecError, match=r"detail = 'halves.csv': the detail is of other bars: in 480 of the 480 bars"):
        make_plan(load_spec(study_of(tmp_path, fine)))
