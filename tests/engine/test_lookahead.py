"""The probe finds every kind of look-ahead, and accuses no honest strategy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.check import check_strategy, draw_params, random_bars
from engine.data.bars import Bars
from engine.data.load import load_bars
from engine.errors import StrategyError
from engine.strategies.base import builtin_names, load_strategy
from engine.strategies.lookahead import probe_lookahead, shortened
from tests.peeking import HONEST, PEEKING, source

DATA = Path(__file__).parents[2] / "studies" / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("strategies")
    (path / "many.py").write_text(source())
    return path


@pytest.fixture(scope="module")
def real() -> tuple[Bars, ...]:
    return tuple(load_bars(DATA / f"{name}_1d.csv", end="2008") for name in ("ibm", "msft"))


@pytest.mark.parametrize("name", [*PEEKING, "rarely_compiled", "second_of_two"])
def test_every_kind_of_look_ahead_is_found(name: str, folder: Path, real: tuple[Bars, ...]) -> None:
    strategy = load_strategy(f"many.py:{name}", folder)
    said = rf"{name}\(\{{\}}\) looks ahead: at bar \d+ \(20\d\d-\d\d-\d\dT00:00:00Z\) its signal is \S.* but \S.* when"
    with pytest.raises(StrategyError, match=said):
        probe_lookahead(strategy, [{}], real if strategy.joint else real[:1], seconds=30)
    with pytest.raises(StrategyError, match="looks ahead"):
        check_strategy(strategy)


@pytest.mark.parametrize("name", [*HONEST, "honest_two"])
def test_no_honest_strategy_is_accused(name: str, folder: Path, real: tuple[Bars, ...]) -> None:
    strategy = load_strategy(f"many.py:{name}", folder)
    probe = probe_lookahead(strategy, [{}], real)
    assert probe.n_compared >= 12
    assert probe.moved == (True,)


@pytest.mark.parametrize("name", builtin_names())
def test_no_built_in_strategy_is_accused(name: str, real: tuple[Bars, ...]) -> None:
    strategy = load_strategy(name)
    params = list(draw_params(strategy, np.random.default_rng(1)))
    probe = probe_lookahead(strategy, params, real)
    assert any(probe.moved) == (name != "buy_and_hold")


def test_a_random_strategy_is_named_as_such(folder: Path, real: tuple[Bars, ...]) -> None:
    with pytest.raises(
        StrategyError, match=r"differs when asked for again with the same bars: bar .* draws random numbers"
    ):
        probe_lookahead(load_strategy("many.py:random", folder), [{}], real)


def test_look_ahead_in_one_of_several_instruments_bars_is_found(folder: Path) -> None:
    """A strategy for one instrument is probed on each of them."""
    flat = random_bars(np.random.default_rng(0))
    flat = flat._replace(close=np.full(len(flat.close), 100.0))
    strategy = load_strategy("many.py:next_bar", folder)
    assert probe_lookahead(strategy, [{}], (flat,)).moved == (False,)
    with pytest.raises(StrategyError, match="looks ahead"):
        probe_lookahead(strategy, [{}], (flat, random_bars(np.random.default_rng(0))))


def test_the_ends_at_changes_come_first() -> None:
    whole = np.zeros((1000, 1))
    whole[400:] = 1.0
    assert set(shortened(whole)[:2]) == {400, 401}
    assert sorted(shortened(whole)) == list(range(2, 1000))
