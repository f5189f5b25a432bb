"""Where a user's code raised: the innermost line of the user's own files, named as the user knows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import load_strategy
from engine.check import random_bars
from engine.compiled.jit import config
from engine.errors import StrategyError
from engine.strategies.raised import reason, without_place

MINE = """import json
import helpers_of_raised
from inner_of_raised import deep

def here(df, params):
    return {}["a"]

def beside(df, params):
    return helpers_of_raised.half(0)

def below(df, params):
    return deep.down()

def library(df, params):
    return json.loads("{")

def data(df, params):
    return df["clos"]

def engines(df, params):
    from engine import sma
    return sma(df.close.to_numpy(), "x")

def leaves(df, params):
    raise SystemExit(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its modules stay those of this process."""
    tmp_path = tmp_path_factory.mktemp("raised")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helpers_of_raised.py").write_text("def half(n):\n    return 1 / n\n")
    (tmp_path / "inner_of_raised").mkdir()
    (tmp_path / "inner_of_raised" / "deep.py").write_text("def down():\n\n    raise ValueError('too deep')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("here", "here raised KeyError at mine.py:6: 'a'"),
        ("beside", "beside raised ZeroDivisionError at helpers_of_raised.py:2: division by zero"),
        ("below", "below raised ValueError at inner_of_raised/deep.py:3: too deep"),
        ("library", "library raised JSONDecodeError at mine.py:15: "),  # not where json says it
        ("data", "data raised KeyError at mine.py:18: 'clos'"),
        ("engines", f"engines raised {'TypeError' if config.DISABLE_JIT else 'TypingError'} at mine.py:22: "),
        ("leaves", "leaves raised SystemExit at mine.py:25: 0"),  # and ends no process
    ],
)
def test_the_line_is_the_innermost_own_one(function: str, said: str, folder: Path) -> None:
    strategy = load_strategy(f"mine.py:{function}", folder)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of every kind
        strategy.answer(random_bars(np.random.default_rng(0)), {})
    told = reason(strategy, caught.value)
    assert told.startswith(said)
    assert str(folder) not in told
    assert " at " not in without_place(told).partition(": ")[0]


def test_a_file_that_cannot_be_imported_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("\n\nraise ValueError('x')\n")
    with pytest.raises(StrategyError, match=r"bad.py cannot be imported: ValueError at bad.py:3: x$"):
        load_strategy("bad.py:f", tmp_path)
