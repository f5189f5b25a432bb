"""The schema for editors: made of the models, up to date, and of one mind with what reads a study."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from engine.simulator.account import Account
from optim.errors import SpecError
from optim.spec.schema import FILE, written
from optim.spec.study import load_spec
from tests.studies import write_study

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))
VALID = jsonschema.Draft7Validator(SCHEMA)


def test_it_is_what_the_models_and_the_page_say() -> None:
    """Made anew by: FILE.write_text(written(ROOT))."""
    assert FILE.read_text(encoding="utf-8") == written(ROOT)
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_every_rule_of_an_account_is_in_it_and_every_key_is_described() -> None:
    assert set(SCHEMA["properties"]["backtest"]["properties"]) == {"portfolio", *Account._fields}
    undescribed = [
        f"{name} {key}"
        for name, section in SCHEMA["definitions"].items()
        for key, one in section.get("properties", {}).items()
        if "description" not in one and name != "NamedSpec"
    ]
    assert undescribed == []
    data = SCHEMA["definitions"]["DataSection"]["properties"]
    assert data["path"]["description"].startswith("CSV, Parquet")  # not what [data.features.NAME] says of its own


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_studies_are_valid(path: Path) -> None:
    assert [error.message for error in VALID.iter_errors(tomllib.loads(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("study", "timeout", "10m"),
        ("study", "timeout", 1.5),
        ("study", "objective", ["cagr", "max_drawdown"]),
        ("study", "sampler", {"name": "TPESampler", "multivariate": True}),
        ("study", "enqueue", [{"fast_window": 5}]),
        ("data", "features", {"vix": {"path": "vix.csv", "lag": "1D"}}),
        ("backtest", "intrabar", "best"),
        ("backtest", "stop_pct", 0.1),
        ("validation", "quick", "3s"),
        ("validation", "walk_forward", {"train": "2y", "test": 250}),
    ],
)
def test_what_is_read_is_valid(table: str, key: str, value: Any, tmp_path: Path) -> None:
    path = write_study(tmp_path, **{table: {key: value}})
    load_spec(path)
    assert [error.message for error in VALID.iter_errors(tomllib.loads(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("study", "n_trails", 5),
        ("study", "n_trials", 0),
        ("study", "n_trials", "many"),
        ("study", "timeout", "soon"),
        ("study", "seed", -1),
        ("study", "direction", "up"),
        ("data", "align", "all"),
        ("evaluation", "folds", 0),
        ("evaluation", "holdout", 1.0),
        ("parallel", "backend", "threads"),
        ("validation", "null", {"markets": 5}),
        ("validation", "walk_forward", {"train": "2y"}),
        ("tracking", "backend", "wandb"),
        ("trading", "fee", 1),
    ],
)
def test_what_is_not_valid_is_refused(table: str, key: str, value: Any, tmp_path: Path) -> None:
    path = write_study(tmp_path, **{table: {key: value}})
    assert list(VALID.iter_errors(tomllib.loads(path.read_text(encoding="utf-8"))))
    with pytest.raises(SpecError):
        load_spec(path)
