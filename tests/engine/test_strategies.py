"""Every built-in strategy obeys the conformance suite, and the suite catches those that do not."""

from pathlib import Path

import numpy as np
import pytest

from engine.check import check_strategy, draw_params, random_bars
from engine.data.cells import Cell
from engine.errors import StrategyError
from engine.evaluate import evaluate
from engine.simulator.account import Account
from engine.strategies.base import builtin_names, load_strategy
from engine.strategies.indicators import sma
from engine.strategies.signals import above, mean_above

SPACES = Path(__file__).parents[2] / "search_spaces"


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_strategies_obey_the_rules(name):
    report = check_strategy(name)
    assert len(report.checks) == (6 if load_strategy(name).many is None else 7)
    assert (f"{name}: obeys the rules" in str(report)) == (name != "buy_and_hold")
    assert len(report.unproven) == (report.n_params if name == "buy_and_hold" else 0)
    assert (SPACES / f"{name}.toml").is_file()
    assert load_strategy(name).__doc__


@pytest.mark.parametrize("name", builtin_names())
def test_built_in_strategies_trade(name):
    strategy, rng = load_strategy(name), np.random.default_rng(2)
    instruments = (random_bars(rng), random_bars(rng))
    cell = Cell(-1 if strategy.joint else 0, 100, 700)
    traded = 0.0
    for params in draw_params(strategy, rng):
        outcome = evaluate(strategy, params, Account(fee_bps=1), instruments, cell, 252)
        assert outcome.error == ""
        traded += outcome.metrics["exposure"]
    assert traded > 0


def test_a_strategy_for_one_instrument_trades_a_portfolio_in_equal_parts():
    rng = np.random.default_rng(0)
    instruments = (random_bars(rng), random_bars(rng))
    together = evaluate(load_strategy("buy_and_hold"), {}, Account(), instruments, Cell(-1, 0, 700), 252)
    alone = [evaluate(load_strategy("buy_and_hold"), {}, Account(), instruments, Cell(i, 0, 700), 252) for i in (0, 1)]
    expected = sum(outcome.metrics["total_return"] for outcome in alone) / 2
    assert together.metrics["total_return"] == pytest.approx(expected, rel=1e-12)
    assert together.metrics["exposure"] == alone[0].metrics["exposure"]


def test_a_pairs_strategy_needs_its_two_instruments():
    rng = np.random.default_rng(0)
    bars, pairs = random_bars(rng), load_strategy("zscore_pairs")
    params = {"window": 20, "entry": 2.0, "exit": 0.5}
    alone = evaluate(pairs, params, Account(), (bars,), Cell(0, 0, 700), 252)
    assert "set portfolio = true" in alone.error
    three = evaluate(pairs, params, Account(), (bars, bars, bars), Cell(-1, 0, 700), 252)
    assert three.error == "zscore_pairs trades 2 instruments, but got 3"


@pytest.mark.parametrize(("fast", "slow"), [(1, 2), (3, 20), (19, 20), (5, 699), (5, 700), (5, 701), (5, 2000)])
def test_the_fused_crossover_equals_the_general_one(fast, slow):
    close = random_bars(np.random.default_rng(7)).close
    np.testing.assert_array_equal(mean_above(close, fast, slow), above(sma(close, fast), sma(close, slow)))


BAD = """
import itertools
import numpy as np
from typing import NamedTuple
from engine.strategies.base import strategy

class Params(NamedTuple):
    shift: int = 1

class Rising(NamedTuple):
    low: float

counter = itertools.count()

@strategy
def peeks(bars, p: Params):
    return np.where(np.r_[bars.close[p.shift:], np.zeros(p.shift)] > bars.close, 1.0, 0.0)

@strategy
def standardises(bars, p: Params):
    return np.clip((bars.close - bars.close.mean()) / bars.close.std() / 10, -1, 1)

@strategy
def remembers(bars, p: Params):
    return np.full(len(bars.close), float(next(counter) % 3 == 0))

@strategy
def writes(bars, p: Params):
    bars.close[0] = 1.0

@strategy
def scribbles(bars, p: Params):
    bars.volume.setflags(write=True)
    bars.volume[0] += 1.0
    return bars.close * 0

@strategy
def undeclared(bars, p: Rising):
    return bars.close * 0

@strategy
def eager(bars, p: Params):
    return bars.close * 0 + 2

def pandas_peeks(df, params):
    return (df["close"].shift(-1) > df["close"]).astype(float)

def pandas_needs(df, params):
    return (df["close"] > df["close"].rolling(params["window"]).mean()).astype(float)

def pandas_fine(df, params):
    return (df["close"] > df["close"].rolling(5).mean()).astype(float)
"""


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            "peeks",
            r"peeks\(\{'shift': 1\}\) looks ahead: at bar \d+ \(.*Z\) its signal is .* but .* when only bars 0 to \d+",
        ),
        ("standardises", "looks ahead"),
        ("remembers", "differs when asked for again"),
        ("undeclared", "no default for low"),
        ("scribbles", r"scribbles\(\{'shift': 1\}\) changes the bars"),
        ("eager", r"eager: target at bar 0 is 2.0, must be in \[-1, 1\]"),
        ("pandas_peeks", "looks ahead"),
        (
            "pandas_needs",
            r"raised KeyError at bad.py:\d+: 'window' for {}; it was called without parameters: write those it takes",
        ),
    ],
)
def test_the_suite_catches_bad_strategies(tmp_path, function, sentence):
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(StrategyError, match=sentence):
        check_strategy(f"bad.py:{function}", base=tmp_path)


def test_frozen_bars_cannot_be_written_to(tmp_path):
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(StrategyError, match=r"writes raised ValueError at bad.py:\d+: .*read-only"):
        check_strategy("bad.py:writes", base=tmp_path)


def test_the_suite_passes_a_plain_callable(tmp_path):
    (tmp_path / "good.py").write_text(BAD)
    assert check_strategy("good.py:pandas_fine", base=tmp_path).n_params == 1


def test_a_space_may_search_account_rules_beside_the_strategys_own_parameters(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from typing import NamedTuple\n\nfrom engine import above, sma, strategy\n\n\n"
        "class Params(NamedTuple):\n    window: int\n\n\n"
        "@strategy\ndef mine(bars, p: Params):\n    return above(bars.close, sma(bars.close, p.window))\n"
    )
    (tmp_path / "mine.toml").write_text(
        "[parameters.window]\ntype = 'int'\nlow = 5\nhigh = 50\n\n"
        "[parameters.stop_pct]\ntype = 'float'\nlow = 0.02\nhigh = 0.2\n"
    )
    mine = load_strategy("mine.py:mine", tmp_path)
    assert all(set(params) == {"window"} for params in draw_params(mine, np.random.default_rng(0)))
    assert not check_strategy("mine.py:mine", base=tmp_path).unproven


def test_a_report_says_what_is_proven_what_is_not_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(
        "from typing import NamedTuple\n\n"
        "from engine import above, strategy\n\n\n"
        "class Params(NamedTuple):\n"
        "    trades: int\n\n\n"
        "@strategy\n"
        "def some(bars, p: Params):\n"
        "    return above(bars.close, bars.open) * p.trades\n"  # with trades = 0 it never does
    )
    (tmp_path / "some.toml").write_text("[parameters.trades]\ntype = 'categorical'\nchoices = [0, 1]\n")
    report = check_strategy("some.py:some", base=tmp_path)
    told, idle = str(report), report.unproven
    assert 0 < len(idle) < report.n_params == 6
    assert all(one == {"trades": 0} for one in idle)
    assert told.startswith(f"some: obeys the rules ({6 - len(idle)} of 6 parameter sets)\n  ok  ")
    assert told.count("\nsome({'trades': 0}): nothing proven") == len(idle)
    *_, last = told.splitlines()
    assert f"For {len(idle)} of 6 it is not proven" in last
    assert f"for the other {6 - len(idle)} every rule above is proven" in last
    assert "optim check STUDY.toml" in last
