"""The conformance suite holds a strategy's form for many parameter sets against the strategy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from engine import Signal, above, check_strategy, sma, strategy
from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.errors import StrategyError
from engine.strategies.base import load_strategy
from tests.forms import made


class Params(NamedTuple):
    window: int


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raises", "ZeroDivisionError at forms.py:.*: in the form for many, in its form for many parameter sets"),
        ("exits", "trend raised SystemExit at forms.py:.*: 3, in its form for many parameter sets"),
        ("another shape", r"trend returned target of shape \(700, \d+\), expected \(\d+, 700\)"),
        ("differs", r"trend\({'window': .*}\) differs in its form for many parameter sets: bar 200 is .* and 0.25"),
    ],
)
def test_the_conformance_suite_finds_a_form_that_is_wrong(
    fault: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [{"window": n, "sign": 1.0} for n in (2, 4, 6, 8)]
    monkeypatch.setattr("engine.check.draw_params", lambda *_: iter(sets))
    with pytest.raises(StrategyError, match=said):
        check_strategy(made(fault)[0])
    with pytest.raises(StrategyError, match="differs in its form"):  # sides cannot say 0.75
        check_strategy(made("sides")[0])
    report = check_strategy(made()[0])
    assert "The form for many parameter sets says of each what the strategy says of it alone" in str(report)


def test_one_set_alone_proves_nothing() -> None:
    """A form that says the same of all is found even where a single set is checked."""
    one, _ = made()
    one.for_many(lambda bars, p: np.array([above(bars.close, sma(bars.close, int(p.window[0])))] * len(p.window)))
    with pytest.raises(StrategyError, match="differs in its form for many parameter sets"):
        check_strategy(one, {"window": 8})


def test_levels_have_no_form_for_many() -> None:
    @strategy
    def levels(bars: Bars, p: Params) -> Signal:
        return Signal(above(bars.close, sma(bars.close, p.window)), stop=bars.close * 0.9)

    @levels.for_many
    def many(bars: Bars, p: Any) -> Any:
        return np.array([above(bars.close, sma(bars.close, int(window))) for window in p.window])

    with pytest.raises(StrategyError, match="levels answers with levels, which its form for many cannot say"):
        check_strategy(levels, {"window": 8})


@pytest.mark.parametrize("name", ["zscore_pairs", "textual"])
def test_a_strategy_that_can_have_no_such_form_says_so(name: str) -> None:
    class Texts(NamedTuple):
        mean: str = "sma"

    def textual(bars: Bars, p: Any) -> Array:
        return np.ones(len(bars.close))

    textual.__annotations__["p"] = Texts
    one = strategy(textual) if name == "textual" else load_strategy(name)
    with pytest.raises(StrategyError, match=f"{name} has no form for many parameter sets"):
        one.for_many(lambda bars, p: np.empty(0))


def test_a_form_that_no_two_sets_can_be_compared_on_is_not_proven() -> None:
    class Only(NamedTuple):
        window: int = 8

        def rules(self) -> tuple[tuple[bool, str], ...]:
            return ((self.window == 8, "window == 8"),)

    def only(bars: Bars, p: Any) -> Array:
        return above(bars.close, sma(bars.close, p.window))

    only.__annotations__["p"] = Only
    one = strategy(only)
    one.for_many(lambda bars, p: np.array([above(bars.close, sma(bars.close, 8))] * len(p.window)))
    with pytest.raises(StrategyError, match="has no other set beside it to compare them on: write search_spaces/only"):
        check_strategy(one)
