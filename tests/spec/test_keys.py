"""A key that a table does not have: what its writer meant is said, whatever the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optim.errors import SpecError
from optim.spec.keys import _tables
from optim.spec.study import StudySpec, load_spec
from tests.studies import write_study

TABLES = [(place, key) for place, keys in _tables(StudySpec, ()) if place for key in keys if len(key) > 3]
RATES = {"path": "eurusd.csv"}


def refusal(folder: Path, **tables: Any) -> str:
    with pytest.raises(SpecError) as error:
        load_spec(write_study(folder, **tables))
    return str(error.value).partition("study.toml: ")[2]


@pytest.mark.parametrize(("place", "key"), TABLES, ids=[".".join((*place, key)) for place, key in TABLES])
def test_a_letter_too_few_is_found_in_every_table(place: tuple[str, ...], key: str, tmp_path: Path) -> None:
    value: Any = {key[:-2] + key[-1]: "x"}
    for name in reversed(place[1:]):
        value = {name: value}
    assert refusal(tmp_path, **{place[0]: value}).endswith(f"unknown key; did you mean {key!r}?")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"data": {"columns": ["open"]}}, "[data] columns: unknown key; it is a key of [data.format]"),
        ({"backtest": {"currency": "EUR"}}, "[backtest] currency: unknown key; it is a key of [instruments.NAME]"),
        ({"backtest": {"detail": "x.csv"}}, "[backtest] detail: unknown key; it is a key of [data]"),
        ({"study": {"folds": 3}}, "[study] folds: unknown key; it is a key of [evaluation]"),
        (
            {"data": {"currencies": {"EUR": {**RATES, "column": "x"}}}},
            "[data] currencies.EUR.column: unknown key; did you mean 'columns' of [data.currencies.NAME.format]?",
        ),
        ({"instruments": {"x": {"curency": "EUR"}}}, "[instruments.x] curency: unknown key; did you mean 'currency'?"),
        ({"instruments": {"sap": {"stop": 0.1}}}, "[instruments.sap] stop: unknown key; did you mean 'stop_pct'?"),
        ({"valdation": {"quick": 1}}, "unknown table or key 'valdation'; did you mean 'validation'?"),
        ({"format": {"decimal": ","}}, "unknown table or key 'format'; it is a key of [data]"),
        ({"validation": {"walk_forward": {"trian": 5}}}, "walk_forward.trian: unknown key; did you mean 'train'?"),
        (
            {"data": {"features": RATES}},
            "[data.features] path: stands in no table with a name; write it below [data.features.NAME]",
        ),
        ({"instruments": {"x": {"currency": ["EUR"]}}}, "currency = ['EUR']: must be a text such as 'EUR'"),
        ({"instruments": {"sap": {"currency": 5}}}, "[instruments.sap] currency = 5: must be a text such as 'EUR'"),
        ({"instruments": {"sap": {"fee_bps": "5"}}}, "[instruments.sap] fee_bps = '5': must be a number"),
        ({"backtest": {"fee_bps": [5]}}, "[backtest] fee_bps = [5]: must be a number"),
        ({"backtest": {"portfolio": [1]}}, "[backtest] portfolio = [1]: must be true or false"),
        ({"backtest": {"portfolio": 1}}, "[backtest] portfolio = 1: must be true or false"),
    ],
)  # fmt: skip
def test_what_was_meant_is_said(tables: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, **tables).endswith(said)
