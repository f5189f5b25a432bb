"""Study files as users break them: whatever stands in one, `check` and `run` answer with a result or one sentence."""

from __future__ import annotations

import contextlib
import copy
import datetime
import io
import json
import math
import random
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optim.cli.parser import main
from tests.studies import IBM

N_BARS = 60
MINE = "def mine(df, params):\n    return (df['close'].pct_change(int(params.get('n', 1))) > 0).astype(float)\n"
WINDOW = {"type": "int", "low": 2, "high": 12}
BASE: dict[str, Any] = {
    "study": {"name": "s", "objective": "total_return", "n_trials": 4, "seed": 1, "storage": "optuna.journal"},
    "data": {"path": "one.csv"},
    "strategy": {"name": "ma_crossover", "fixed": {"ma_type": "sma", "slow_window": 15}},
    "evaluation": {"folds": 2, "holdout": 0.2},
    "parallel": {"backend": "sequential", "n_jobs": 1, "batch_size": 2},
    "validation": {"quick": 0.1},
    "tracking": {"enabled": False},
}
CHANGES: tuple[dict[str, Any], ...] = (
    {
        "study": {"sampler": {"name": "TPESampler", "n_startup_trials": 2}, "enqueue": [{"fast_window": 3}]},
        "strategy": {"search_space": {"parameters": {"fast_window": WINDOW}, "constraints": ["fast_window > 1"]}},
    },
    {
        "study": {
            "sampler": {"name": "RandomSampler"},
            "pruner": {"name": "PatientPruner", "wrapped_pruner": {"name": "MedianPruner"}, "patience": 1},
            "patience": 3,
            "timeout": "90s",
        },
        "strategy": {
            "search_space": {
                "constraints": ["fast_window < slow_window or ma_type == 'sma'"],
                "parameters": {
                    "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
                    "fast_window": {"type": "int", "low": 2, "high": 8, "step": 2},
                    "slow_window": {"type": "int", "low": 9, "high": 20, "log": True, "when": 'ma_type == "ema"'},
                },
            },
            "fixed": {},
        },
        "backtest": {"fee_bps": 1.0, "stop_pct": 0.1, "trade_on": "close", "max_holding_bars": 5},
        "evaluation": {"min_trades": 1, "constraints": ["max_drawdown > -0.9"], "aggregate": "median"},
    },
    {
        "study": {"objective": ["sharpe_ratio", "total_return - 2 * n_trades"], "direction": ["maximize", "minimize"]},
        "data": {"paths": ["one.csv", "two.csv"], "path": None, "start": "2000-03-02", "end": "2000-12-31"},
        "backtest": {"portfolio": True},
    },
    {
        "study": {"sampler": {"name": "QMCSampler", "qmc_type": "halton"}},
        "strategy": {
            "name": "mine.py:mine",
            "fixed": {"n": 2},
            "search_space": {
                "parameters": {
                    "a.b": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
                    "kind": {"type": "categorical", "choices": ["off", 2, True]},
                    "slippage_bps": {"type": "float", "low": 1.0, "high": 9.0, "log": True},
                }
            },
        },
        "tracking": {"tags": {"a": "b"}, "mlflow": {"experiment_name": "e"}, "children": "top:3"},
    },
    {
        "study": {"sampler": {"name": "GridSampler"}, "storage": "sqlite:///optuna.db"},
        "strategy": {"search_space": "space.toml"},
        "data": {"align": "common", "periods_per_year": 250},
        "validation": {
            "null": {"markets": 19, "block": 3},
            "walk_forward": {"train": 20, "test": "1M", "mode": "anchored", "gap": 1},
        },
    },
)
SPACE_TOML = '[parameters.fast_window]\ntype = "int"\nlow = 2\nhigh = 9\nstep = 1\n'
NASTY: tuple[Any, ...] = (
    0, 1, -1, 2, 7, 10**6, 2**53 + 1, 2**63, -(2**70), 10**400, True, False, 0.0, -0.5, 0.3, 1e-320, 1e308, math.inf,
    -math.inf, math.nan, "", " ", "sharpe_ratio", "a < b", "min(n_trades)", "x" * 6000, "\x00", "é\n\x1b[31m", "1e9",
    "../..", ".", "/dev/null/x", "one.csv", "study.toml", "mine.py:nothing", "mine.py", "${NOT_SET}", "postgres://a b",
    "sqlite:///", "90s", "RandomSampler", "CmaEsSampler", "HyperbandPruner", "GPSampler", "NopPruner", "maximize",
    [], [[]], [1, "a", 0.5], {}, {"name": "TPESampler"}, {"name": 3}, {"type": "int", "low": 1, "high": 2},
    ["sharpe_ratio", "sharpe_ratio"], [{}], [{"fast_window": 3, "seed": 1}], [{"fast_window": 10**9}],
    {"name": "PartialFixedSampler", "base_sampler": 3}, {"parameters": {}}, {"a": {"b": {"c": {"d": 1}}}},
    datetime.date(2000, 1, 1), datetime.datetime(2000, 1, 1, 12), datetime.time(12), "off" * 40,
)  # fmt: skip
KEYS = (
    "name", "path", "low", "high", "step", "type", "when", "seed", "stop_loss", "sampler", "", "a.b", "n_trial", "é",
    "x" * 500, "portfolio", "fee_bps", "constraints", "choices", "log", "enqueue", "align",
)  # fmt: skip


def corpus() -> Iterator[dict[str, Any]]:
    for changes in copy.deepcopy(CHANGES):
        table = copy.deepcopy(BASE)
        for section, values in changes.items():
            merged = {**table.get(section, {}), **values}
            table[section] = {key: value for key, value in merged.items() if value is not None}
        yield table


def places(table: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every key of every table and every index of every list, with what holds it."""
    for key in table if isinstance(table, dict) else range(len(table)):
        found.append((table, key))
        if isinstance(table[key], dict | list):
            places(table[key], found)
    return found


def break_table(table: dict[str, Any], rng: random.Random) -> None:
    holder, key = rng.choice(places(table, []))
    other, source = rng.choice(places(table, []))
    action = rng.randrange(10)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = copy.deepcopy(other[source])  # the value of another key
    elif action == 2 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = holder.pop(key)
    elif action == 3 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = copy.deepcopy(rng.choice(NASTY))
    else:
        alike = [value for value in NASTY if type(value) is type(holder[key])]  # gets further than any other
        holder[key] = copy.deepcopy(rng.choice(alike if alike and action > 5 else NASTY))


def break_text(text: str, rng: random.Random) -> bytes:
    data, at = text.encode(), rng.randrange(len(text))
    action = rng.randrange(4)
    if action == 0:
        return data[:at]
    if action == 1:
        return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
    if action == 2:
        lines = data.split(b"\n")
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        return b"\n".join(lines)
    return data[:at] + rng.choice([b'"', b"[[", b"]", b"=", b"\n[study]\n", b"[" * 500, b"9" * 5000]) + data[at + 1 :]


def toml(value: Any) -> str:
    """A value as inline TOML, of whatever kind."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value if v is not None) + "]"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the studies stand; emptied after each that ran."""
    made = tmp_path_factory.mktemp("fuzz")
    rows = "\n".join(IBM.read_text().splitlines()[: N_BARS + 1])
    for name, text in {"one.csv": rows, "two.csv": rows, "mine.py": MINE, "space.toml": SPACE_TOML}.items():
        (made / name).write_text(text)
    return made


def call(*arguments: str) -> tuple[int, str]:
    """The exit code and what stands on stderr."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        return main(list(arguments)), errors.getvalue()


def tracked(path: Path) -> bool:
    """Whether a study would start MLflow, which is not what is tried here."""
    with contextlib.suppress(ValueError, RecursionError):
        section = tomllib.loads(path.read_text()).get("tracking", {})
        return not isinstance(section, dict) or section.get("enabled") is not False
    return False


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if "__pycache__" not in p.parts}


def try_study(path: Path, *, run: bool) -> tuple[int, str]:
    """`check`, or `run` with a trial; what holds of every study whatsoever."""
    before = listing(path.parent)
    code, errors = call("run", str(path), "-n", "1", "-j", "1") if run else call("check", str(path))
    after = listing(path.parent)
    for name in sorted(after.keys() - before.keys(), reverse=True):
        Path(name).rmdir() if after[name] is None else Path(name).unlink()
    assert code in (0, 1, 2)
    if code == 2:
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1
        assert ".toml" in errors
        assert len(errors.replace(str(path.parent), "")) < 450, errors
    if code == 2 or not run:
        assert after == before
    return code, errors


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_the_corpus_is_sound(number: int, run: bool, folder: Path) -> None:
    path = folder / "study.toml"
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in list(corpus())[number].items()))
    tomllib.loads(path.read_text())
    code, errors = try_study(path, run=run)
    assert code in (0, 1), errors


@settings(max_examples=2000, database=None, suppress_health_check=list(HealthCheck), deadline=None)
@given(seed=st.integers(0, 2**32), number=st.integers(0, len(CHANGES) - 1))
def test_any_study_is_answered_with_a_result_or_one_sentence(seed: int, number: int, folder: Path) -> None:
    rng = random.Random(seed)
    table = list(corpus())[number]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        break_table(table, rng)
    text = "\n".join(f"{toml(str(key))} = {toml(value)}" for key, value in table.items() if value is not None)
    path = folder / "study.toml"
    path.write_bytes(break_text(text, rng) if rng.random() < 0.15 and text else text.encode())
    try_study(path, run=rng.random() < 0.25 and not tracked(path))
