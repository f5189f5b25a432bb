"""[data] funding, dividends and splits of a study: from columns of the bars or of a file beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim.errors import SpecError
from optim.problem.plan import Plan, make_plan
from optim.spec.study import load_spec
from tests.studies import write_study

N = 60
DAYS = pd.bdate_range("2015-01-01", periods=N)
CLOSE = 50 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, N))).round(3)


def write(folder: Path, name: str, close: np.ndarray = CLOSE, **columns: Any) -> str:
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    frame = pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), **prices, "volume": 9.0, **columns})
    frame.to_csv(folder / f"{name}.csv", index=False)
    return f"{name}.csv"


def plan_of(folder: Path, **data: Any) -> Plan:
    given = {"path": None, **data} if "paths" in data else data
    return make_plan(load_spec(write_study(folder, data=given, evaluation={"holdout": 0.2, "folds": 2})))


def refusal(folder: Path, **data: Any) -> str:
    with pytest.raises(SpecError) as error:
        plan_of(folder, **data)
    return str(error.value)


def test_columns_are_found_by_the_names_of_the_file(tmp_path: Path) -> None:
    paid = np.where(np.arange(N) == 20, 0.25, 0.0)
    ratio = np.where(np.arange(N) == 30, 2.0, 0.0)
    raw = np.where(np.arange(N) >= 30, CLOSE / 2, CLOSE)
    path = write(tmp_path, "stock", raw, **{"Dividends": paid, "Stock Splits": ratio})
    (bars,) = plan_of(tmp_path, path=path, dividends="Dividends", splits="Stock Splits").job.instruments
    np.testing.assert_allclose(bars.close, CLOSE)
    np.testing.assert_allclose(bars.volume, np.where(np.arange(N) >= 30, 4.5, 9.0))
    np.testing.assert_allclose(bars.holding_income, paid / CLOSE)
    (again,) = plan_of(tmp_path, path=path, dividends="dividends", splits="stock_splits").job.instruments
    np.testing.assert_array_equal(again.holding_income, bars.holding_income)


def test_a_file_beside_the_bars_has_its_own_times(tmp_path: Path) -> None:
    hours = pd.date_range(DAYS[0], DAYS[-1], freq="8h")
    pd.DataFrame({"time": hours, "rate": 1e-4}).to_csv(tmp_path / "f.csv", index=False)
    features = {"funding": {"path": "f.csv", "lag": "0m"}}
    path = write(tmp_path, "perp")
    plan = plan_of(tmp_path, path=path, features=features, funding="funding")
    (bars,) = plan.job.instruments
    days = np.diff(DAYS.to_numpy()).astype("timedelta64[D]").astype(int)  # over a weekend three
    np.testing.assert_allclose(bars.holding_income, np.r_[-1e-4, -3e-4 * days])
    weekly = plan_of(tmp_path, path=path, features=features, funding="funding", timeframe="1W").job.instruments[0]
    before = (DAYS.to_numpy() > weekly.timestamp[1].astype("datetime64[ns]")) & (
        DAYS.to_numpy() <= weekly.timestamp[2].astype("datetime64[ns]")
    )
    owed = (bars.holding_income * bars.open)[before].sum()
    assert weekly.holding_income[2] * weekly.open[2] == pytest.approx(owed)


def test_what_one_instrument_lacks_brings_it_nothing(tmp_path: Path) -> None:
    paths = [write(tmp_path, "perp", funding_rate=1e-4), write(tmp_path, "spot", other=1.0)]
    perp, spot = plan_of(tmp_path, paths=paths, funding="funding_rate").job.instruments
    np.testing.assert_allclose(perp.holding_income, -1e-4)
    np.testing.assert_array_equal(spot.holding_income, 0.0)


def test_what_came_of_it_is_said_and_what_is_paid_although_no_strategy_sees_it(tmp_path: Path) -> None:
    paid, ratio = (np.where(np.isin(np.arange(N), rows), 2.0, 0.0) for rows in ((3, 20, 40), (30,)))
    raw = np.where(np.arange(N) >= 30, CLOSE / 2, CLOSE)
    paths = [write(tmp_path, "a", raw, div=paid, ratio=ratio), write(tmp_path, "b")]
    plan = plan_of(tmp_path, paths=paths, dividends="div", splits="ratio")
    assert plan.effects == ("dividends: 3 payments", "splits: 1 split")
    said = (
        "not every file has div, ratio: no strategy sees that; div counts as [data] dividends all the same, where it "
        "is; ratio counts as [data] splits all the same, where it is"
    )
    assert said in plan.notes
    pd.DataFrame({"time": DAYS, "cash": paid}).to_csv(tmp_path / "f.csv", index=False)
    (alone,) = [
        one
        for one in plan_of(tmp_path, path=paths[1], features={"div": {"path": "f.csv"}}, dividends="div").notes
        if "feature div" in one
    ]
    assert alone.endswith("; the cash of [data] dividends comes at the timestamps, whatever the lag")


def test_refusals(tmp_path: Path) -> None:
    ratio = np.where(np.arange(N) == 30, 2.0, 0.0)
    path = write(tmp_path, "stock", **{"Stock Splits": ratio})
    assert "[data] funding = 'rate': no such column; there is stock_splits" in refusal(
        tmp_path, path=path, funding="rate"
    )
    assert "[data] funding = 'Close': is a column of every bar" in refusal(tmp_path, path=path, funding="Close")
    assert "no such column; did you mean 'stock_splits'?" in refusal(tmp_path, path=path, dividends="Stock_Split")
    said = refusal(tmp_path, path=path, splits="Stock Splits")
    assert "stock.csv" in said
    assert "row 31: stock_splits has 2 on 2015-02-12, but the price goes from" in said
    both = {"format": {"adjusted": True}}, {"detail": "finer.csv"}
    for other in both:
        assert "splits and" in refusal(tmp_path, path=path, splits="Stock Splits", **other)


def test_the_searched_bars_do_not_know_a_split_to_come(tmp_path: Path) -> None:
    hashes = []
    for ratio, close in ((1.0, CLOSE), (4.0, np.where(np.arange(N) >= 55, CLOSE / 4, CLOSE))):
        path = write(tmp_path, "stock", close, splits=np.where(np.arange(N) == 55, ratio, 0.0))
        hashes.append(plan_of(tmp_path, path=path, splits="splits").datasets[0])
    assert hashes[0] == hashes[1]


def test_splits_and_dividends_of_a_file_beside_the_bars_are_those_of_columns(tmp_path: Path) -> None:
    """Two for one on bar 30, three for one on the Saturday before bar 42: both are on the bars that open then or later.

    A dividend of 0.25 for each of the six new units on bar 50 is 1.5 for one old.
    """
    units = np.where(np.arange(N) >= 42, 6.0, np.where(np.arange(N) >= 30, 2.0, 1.0))
    path = write(tmp_path, "stock", CLOSE / units)
    saturday = DAYS[42] - pd.Timedelta(days=2)
    assert (saturday.day_name(), DAYS[41] < saturday < DAYS[42]) == ("Saturday", True)
    days = [DAYS[30], saturday, DAYS[50]]
    split = pd.DataFrame({"date": days, "ratio": [2.0, 3.0, np.nan], "paid": [np.nan, np.nan, 0.25]})
    split.to_csv(tmp_path / "corp.csv", index=False)
    data = {"features": {"corp": {"path": "corp.csv", "lag": "0m"}}, "splits": "corp_ratio", "dividends": "corp_paid"}
    (bars,) = plan_of(tmp_path, path=path, **data).job.instruments
    np.testing.assert_allclose(bars.close, CLOSE)
    np.testing.assert_allclose(bars.volume, 9.0 / units)
    np.testing.assert_allclose(bars.holding_income, np.where(np.arange(N) == 50, 1.5 / CLOSE, 0.0))
    split.assign(ratio=[2.0, -3.0, np.nan]).to_csv(tmp_path / "corp.csv", index=False)
    assert f"{saturday:%Y-%m-%d}: corp_ratio is no ratio of a split: -3.0" in refusal(tmp_path, path=path, **data)


@pytest.mark.parametrize("key", ["funding", "dividends", "splits"])
def test_a_text_in_a_column_that_is_asked_for_is_named(tmp_path: Path, key: str) -> None:
    column = pd.Series(np.zeros(N), dtype=object)
    column[1] = "abc"
    path = write(tmp_path, "stock", **{"Cash Flow": column})
    for name in ("Cash Flow", "cash_flow"):
        said = refusal(tmp_path, path=path, **{key: name})
        assert f"[data] {key} = '{name}': 'stock.csv': row 2: Cash Flow is no number, got 'abc'; correct it" in said
