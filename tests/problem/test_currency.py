"""Instruments quoted in another money: their prices times the rate known at each bar's open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.bars import make_bars
from engine.data.currency import in_currency
from engine.data.joined import Series
from engine.errors import DataError
from optim.errors import SpecError
from optim.problem.plan import Plan, make_plan
from optim.spec.study import load_spec
from tests.problem.test_income import CLOSE, DAYS, N, write
from tests.studies import write_study

DAY = 86_400 * 10**9
P = np.array([10.0, 11.0, 12.0, 13.0])
BARS = make_bars(np.arange(1, 5) * DAY, P, P + 1, P - 1, P, np.full(4, 7.0), features={"score": P})


def rates(times: list[float], values: list[float], **told: Any) -> Series:
    return Series({"eur": (np.array([int(t * DAY) for t in times]), np.array(values))}, **{"lag": 0, **told})


def test_the_last_rate_known_at_the_open_counts_for_the_whole_bar() -> None:
    found = in_currency(BARS, rates([0, 2, 2.5, 4], [1.0, 1.1, 1.2, 1.5]))
    rate = np.array([1.0, 1.1, 1.2, 1.5])
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(getattr(found, name), getattr(BARS, name) * rate)
    np.testing.assert_array_equal(found.volume, BARS.volume)
    np.testing.assert_array_equal(found.score, BARS.score)
    late = in_currency(BARS, rates([0, 1, 3], [1.0, 2.0, 3.0], lag=DAY))
    np.testing.assert_allclose(late.close / BARS.close, [1.0, 2.0, 2.0, 3.0])


def test_a_bar_without_a_rate_is_refused() -> None:
    with pytest.raises(DataError, match="row 1: 1970-01-02T00:00:00: no rate is known yet for EUR"):
        in_currency(BARS, rates([2], [1.0]), "EUR")
    with pytest.raises(
        DataError, match=r"row 4: 1970-01-05T00:00:00: the last rate known for EUR is of 1970-01-02.*max_age \(2 days\)"
    ):
        in_currency(BARS, rates([1], [1.0], max_age=2 * DAY), "EUR")
    with pytest.raises(DataError, match=r"row 2: the rate is -1, must be above 0"):
        in_currency(BARS, rates([1, 2], [1.0, -1.0]), "EUR")
    two = Series({"eur_bid": (np.array([DAY]), P[:1]), "eur_ask": (np.array([DAY]), P[:1])}, lag=0)
    with pytest.raises(DataError, match="has several columns and not one called close: eur_bid, eur_ask"):
        in_currency(BARS, two, "EUR")


EURO = {"path": "eur.csv", "lag": "0m"}


def plan_of(folder: Path, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "data": {
            "path": None,
            "paths": ["spot.csv", "sap.csv"],
            "currencies": {"EUR": {"path": "eur.csv", "lag": "0m"}},
        },
        "instruments": {"sap": {"currency": "EUR"}},
        "backtest": {"portfolio": True, "fee_bps": 0.0},
    }
    return make_plan(load_spec(write_study(folder, **{**given, **changes})))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "spot")
    write(tmp_path, "sap", 2 * CLOSE)
    frame = pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), "rate": np.linspace(1.0, 1.5, N)})
    frame.to_csv(tmp_path / "eur.csv", index=False)
    return tmp_path


def test_a_study_has_the_money_of_its_account(folder: Path) -> None:
    changes = {"strategy": {"name": "ma_crossover"}}
    spot, sap = plan_of(folder, **changes).job.instruments
    np.testing.assert_allclose(spot.close, CLOSE)
    np.testing.assert_allclose(sap.close, 2 * CLOSE * np.linspace(1.0, 1.5, N))


def test_what_a_study_says_of_it(folder: Path) -> None:
    (said,) = make_plan(load_spec(plan_of(folder, strategy={"name": "ma_crossover"}).spec.path)).effects
    assert said.startswith("sap in EUR, rates with a lag of ")


def test_refusals(folder: Path) -> None:
    for change, said in (
        ({"instruments": {"sap": {"currency": "EUX"}}}, "there is no table [data.currencies.EUX]; did you mean 'EUR'?"),
        ({"instruments": {"sap": {"currency": "eur"}}}, "there is no table [data.currencies.eur]; did you mean 'EUR'?"),
        ({"instruments": {"sap": {"currency": "CHF"}}}, "there is no table [data.currencies.CHF]; known: EUR"),
        ({"instruments": {}}, "[data.currencies.EUR]: no instrument is quoted in it; give [instruments.NAME] currency"),
        ({"instruments": {"sapp": {"currency": "EUR"}}}, "[instruments.sapp]: no such instrument"),
    ):
        with pytest.raises(SpecError) as error:
            plan_of(folder, strategy={"name": "ma_crossover"}, **change)
        assert said in str(error.value)


NAMED = "[data.currencies.EUR] path = 'eur.csv': "


@pytest.mark.parametrize(
    ("write", "told", "said"),
    [
        (lambda rate: {"rate": np.where(np.arange(N) == 6, 0.0, rate)}, {}, "row 7: the rate is 0, must be above 0"),
        (lambda rate: {"rate": np.where(np.arange(N) == 6, -2.0, rate)}, {}, "row 7: the rate is -2, must be above 0"),
        (
            lambda rate: {"bid": rate, "ask": rate},
            {},
            "several columns and not one called close: bid, ask; say which it is with "
            '[data.currencies.EUR.format] columns = { close = "bid" }',
        ),
        (
            lambda rate: {"rate": rate},
            {"lag": "1D"},
            "'sap.csv': row 1: 2015-01-01T00:00:00: no rate is known yet for EUR: the first is of 2015-01-01T00:00:00 "
            "and known 1 day later (lag); give rates from before the first bar on, or another lag",
        ),
        (
            lambda rate: {"rate": np.where(np.isin(np.arange(N), [3, 4, 5]), np.nan, rate)},
            {"max_age": "12h"},
            "'sap.csv': row 4: 2015-01-06T00:00:00: the last rate known for EUR is of 2015-01-05T00:00:00, older than "
            "max_age (12 hours)",
        ),
    ],
)
def test_a_rate_that_cannot_be_names_its_table(folder: Path, write: Any, told: dict[str, str], said: str) -> None:
    columns = write(np.linspace(1.0, 1.5, N))
    pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), **columns}).to_csv(folder / "eur.csv", index=False)
    data = {"path": None, "paths": ["spot.csv", "sap.csv"], "currencies": {"EUR": {**EURO, **told}}}
    with pytest.raises(SpecError) as error:
        plan_of(folder, data=data, strategy={"name": "ma_crossover"})
    assert NAMED in str(error.value)
    assert said in str(error.value)


def test_the_column_of_rates_is_the_one_that_is_told(folder: Path) -> None:
    columns = {"bid": np.linspace(1.0, 1.5, N), "ask": 2.0}
    pd.DataFrame({"date": DAYS.strftime("%Y-%m-%d"), **columns}).to_csv(folder / "eur.csv", index=False)
    told = {**EURO, "format": {"columns": {"close": "bid"}}}
    data = {"path": None, "paths": ["spot.csv", "sap.csv"], "currencies": {"EUR": told}}
    _, sap = plan_of(folder, data=data, strategy={"name": "ma_crossover"}).job.instruments
    np.testing.assert_allclose(sap.close, 2 * CLOSE * np.linspace(1.0, 1.5, N))
