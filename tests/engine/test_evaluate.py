"""evaluate: a pure function that turns every misfortune into a sentence."""

import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from engine.data.bars import Bars, make_bars
from engine.data.cells import Cell, split
from engine.errors import ParameterError, StrategyError
from engine.evaluate import evaluate
from engine.metrics.catalogue import METRICS
from engine.simulator.account import Account, make_account
from engine.strategies.base import builtin_names, load_strategy

PARAMS = {"fast_window": 5, "slow_window": 20}


def random_bars(n: int = 400, seed: int = 1) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    open_ = close * np.exp(rng.normal(0, 0.003, n))
    high, low = np.maximum(open_, close) * 1.004, np.minimum(open_, close) * 0.996
    return make_bars(np.arange(n) * 86_400_000_000_000, open_, high, low, close, np.full(n, 1e6))


def test_outcome_has_every_metric_finite_or_nan():
    outcome = evaluate(
        load_strategy("ma_crossover"), PARAMS, Account(fee_bps=10), (random_bars(),), Cell(0, 100, 400), 252
    )
    assert outcome.error == ""
    assert tuple(outcome.metrics) == tuple(METRICS)
    assert not any(math.isinf(value) for value in outcome.metrics.values())
    assert outcome.metrics["n_trades"] > 3


def test_a_cell_sees_its_warm_up_and_nothing_after_it():
    strategy, bars = load_strategy("ma_crossover"), random_bars()
    account, cell = Account(fee_bps=10), Cell(0, 100, 300)
    outcome = evaluate(strategy, PARAMS, account, (bars,), cell, 252)
    cut = Bars(*(column[80:300] for column in bars))
    assert evaluate(strategy, PARAMS, account, (cut,), Cell(0, 20, 220), 252) == outcome


FILE = """
import numpy as np

def hold(df, params):
    return df["close"] * 0 + params["weight"]

def late(df, params):
    return df["close"].rolling(3).mean() * 0

def short(df, params):
    return np.zeros(len(df) - 1)

def words(df, params):
    return "long"

def shifted(df, params):
    return df["close"].iloc[::-1] * 0

def broken(df, params):
    raise RuntimeError("no luck")
"""


def line_of(words: str) -> int:
    """Where FILE says this, counted from 1."""
    return next(i for i, line in enumerate(FILE.splitlines(), 1) if words in line)


TWO = """
from typing import NamedTuple
import numpy as np
from engine import Bars, sma, strategy

class Params(NamedTuple):
    n: int

def _helper(x):
    return x

@strategy
def enter(bars: Bars, p: Params):
    return np.ones(len(bars.close))

def plain(df, params):
    return _helper(df.close > 0)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("function", "params", "sentence"),
    [
        ("hold", {"weight": 1.5}, "hold: target at bar 0 is 1.5, must be in [-1, 1]"),
        ("late", {}, "late: target at bar 0 is nan, must be in [-1, 1]"),
        ("short", {}, "short returned target of shape (399,), expected (400,), one for each bar"),
        ("words", {}, "words returned target as str, not as an array of numbers"),
        ("shifted", {}, "shifted returned target as a Series that is not indexed like the bars"),
        ("broken", {}, f"broken raised RuntimeError at mine.py:{line_of('raise RuntimeError')}: no luck"),
    ],
)
def test_garbage_becomes_a_sentence(file, function, params, sentence):
    strategy = load_strategy(f"{file.name}:{function}", file.parent)
    assert evaluate(strategy, params, Account(), (random_bars(),), Cell(0, 0, 400), 252) == ({}, sentence)


def test_a_plain_callable_is_a_strategy_too(file):
    strategy = load_strategy(f"{file}:hold")
    bars = random_bars()
    outcome = evaluate(strategy, {"weight": 1.0}, Account(), (bars,), Cell(0, 0, 400), 252)
    assert not strategy.compiled
    assert outcome.metrics["total_return"] == pytest.approx(bars.close[-1] / bars.open[1] - 1, rel=1e-12)


def test_a_strategy_survives_pickling_and_an_edit(file):
    strategy = load_strategy(f"{file}:hold")
    assert pickle.loads(pickle.dumps(strategy)) is strategy
    file.write_text(FILE.replace("+ params", "- params"))
    assert load_strategy(f"{file}:hold").target(random_bars(), {"weight": 1.0})[0] == -1.0


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"fast_window": 5}, "ma_crossover: missing parameter slow_window"),
        ({"fast_window": 5.5, "slow_window": 20}, "fast_window = 5.5 must be a whole number"),
        ({"fast_window": True, "slow_window": 20}, "fast_window = True must be a whole number"),
        (
            {"fast_window": 30, "slow_window": 20},
            "fast_window = 30, slow_window = 20 breaks the rule fast",
        ),
        ({"fast_window": 0, "slow_window": 20}, "fast_window = 0 breaks the rule fast_window >= 1"),
        ({"fast_windw": 0, "slow_window": 20}, "ma_crossover has no parameter fast_windw; did you mean fast_window?"),
        ({**PARAMS, "ma_type": "wma"}, "ma_type = 'wma' must be one of 'sma', 'ema'"),
    ],
)
def test_bad_parameters_name_strategy_parameter_value_and_rule(params, sentence):
    with pytest.raises(ParameterError) as caught:
        load_strategy("ma_crossover").bind(params)
    assert sentence in str(caught.value)


def test_bind_casts_to_the_declared_types():
    params = load_strategy("ma_crossover").bind({"fast_window": np.int64(5), "slow_window": 20.0, "ma_type": "ema"})
    assert params == (5, 20, "ema")
    assert [type(value) for value in params] == [int, int, str]


def test_unknown_strategies_are_named(tmp_path):
    with pytest.raises(StrategyError, match="did you mean ma_crossover"):
        load_strategy("ma_crosover")
    with pytest.raises(StrategyError, match="no such file"):
        load_strategy("nowhere.py:f", tmp_path)
    (tmp_path / "bad.py").write_text("import nothing_of_that_name")
    with pytest.raises(StrategyError, match="cannot be imported: ModuleNotFoundError"):
        load_strategy("bad.py:f", tmp_path)
    (tmp_path / "good.py").write_text("x = 1")
    with pytest.raises(StrategyError, match="has no function f"):
        load_strategy("good.py:f", tmp_path)
    (tmp_path / "two.py").write_text(TWO)
    said = re.escape("two.py has no function enetr (did you mean enter?); it has enter, plain")
    with pytest.raises(StrategyError, match=said + "$"):
        load_strategy("two.py:enetr", tmp_path)
    assert {"ma_crossover", "rsi_reversion", "donchian_breakout"} <= set(builtin_names())


def test_account_rules_are_checked():
    assert make_account({"fee_bps": 5}).fee_bps == 5
    for values, sentence in (
        ({"fees": 1}, "unknown account rule fees"),
        ({"fee_bps": -1}, "fee_bps = -1 must be"),
        ({"fee_bps": math.nan}, "fee_bps = nan must be"),
        ({"fee_bps": "10"}, "fee_bps = '10' must be"),
        ({"initial_cash": 0}, "initial_cash = 0"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            make_account(values)


def test_cells_tile_the_bars_and_spare_the_holdout():
    cells, holdout = split(1003, folds=5, holdout=0.2, instrument=2)
    assert holdout == Cell(2, 802, 1003)
    assert [cell.start for cell in cells] == [0, *[cell.stop for cell in cells[:-1]]]
    assert cells[-1].stop == 802
    assert split(10, folds=1, holdout=0.0) == ((Cell(0, 0, 10),), None)
    for bad in ({"folds": 0, "holdout": 0.2}, {"folds": 5, "holdout": 1.0}, {"folds": 6, "holdout": 0.0}):
        with pytest.raises(ParameterError):
            split(10, **bad)
