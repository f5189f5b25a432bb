"""Random parts: each draw is a backtest on its window and its instruments, and so is holding."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import strategy
from engine.backtest import BacktestEngine
from engine.data.bars import Bars
from optim.search.search import make_pool
from optim.verdict.subsets import DRAWS, draws, subsets
from tests.studies import IBM
from tests.verdict.builders import searched


def files(folder: Path, count: int) -> list[str]:
    """Cuts of the same bars that begin and end on other days."""
    rows = IBM.read_text().splitlines()
    for i in range(count):
        (folder / f"f{i}.csv").write_text("\n".join([rows[0], *rows[1 + 60 * i : 1200 + 90 * i]]))
    return [f"f{i}.csv" for i in range(count)]


def from_to(bars: Bars, start: int, stop: int, warm: int) -> tuple[Bars, int]:
    """The bars of a window with `warm` before it, and how many those are."""
    first, last = np.searchsorted(bars.timestamp, (start, stop))
    begin = max(first - warm, 0)
    return Bars(*(column[begin:last] for column in bars)), int(first - begin)


def crossing(plan: Any, seen: Bars, params: dict[str, Any]) -> np.ndarray:
    """The strategy's own targets."""
    return plan.strategy.target(seen, plan.strategy.bind(params))


def shared(weights: np.ndarray) -> Any:
    """A strategy of two instruments that answers with these weights."""

    @strategy
    def given(bars: tuple[Bars, Bars], p: Any) -> np.ndarray:
        return weights

    return given


def test_windows_are_as_long_as_they_should_be_and_lie_anywhere() -> None:
    times = np.arange(100, 200)
    drawn = draws(times, 50, 4, 2)
    assert drawn == draws(times, 50, 4, 2)
    assert len(drawn) == DRAWS
    assert {int(((times >= one.start) & (times < one.stop)).sum()) for one in drawn} == {50}
    assert {one.start for one in drawn} >= {100, 150}  # both ends are reached, with 51 places and 200 draws
    assert {len(one.instruments) for one in drawn} == {2}
    assert {i for one in drawn for i in one.instruments} == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [1, 3])
def test_each_draw_is_a_backtest_on_its_part(count: int, tmp_path: Path) -> None:
    data = {"path": None, "paths": files(tmp_path, count)}
    costs = {"fee_bps": 5.0}
    plan, _, best = searched(tmp_path, backtest=costs, data=data, study={"n_trials": 10})
    with make_pool(plan) as pool:
        found = subsets(plan, best.params, pool)
    assert found is not None
    instruments = [
        Bars(*(column[: cell.stop] for column in bars))
        for bars, cell in zip(plan.job.instruments, plan.searched, strict=True)
    ]
    times = np.unique(np.concatenate([bars.timestamp for bars in instruments]))
    assert (found.of, found.instruments, found.bars) == (count, -(-count // 2), len(times) // 2)

    params = {"ma_type": "sma", **best.params}
    warm = max(best.params.values())
    engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, **costs)

    def mean(who: tuple[int, ...], start: int, stop: int, strategy: Any, params: dict[str, Any], warm: int) -> float:
        values = []
        for i in who:
            seen, lead = from_to(instruments[i], start, stop, warm)
            if len(seen.close) - lead < 2:
                continue
            target = strategy(seen, params)[lead:]
            traded = Bars(*(column[lead:] for column in seen))
            values.append(engine.run_realistic(traded, lambda df, p, t=target: t, {}).metrics["sharpe_ratio"])
        return float(np.mean(values))

    pairs = [
        (
            mean(one.instruments, one.start, one.stop, partial(crossing, plan), params, warm),
            mean(one.instruments, one.start, one.stop, lambda seen, p: np.ones(len(seen.close)), {}, 0),
        )
        for one in draws(times, found.bars, count, found.instruments)
    ]
    usable = np.array([pair for pair in pairs if not np.isnan(pair).any()])
    assert found.draws == len(usable)
    assert found.quantiles == pytest.approx(tuple(np.quantile(usable[:, 0], (0.05, 0.5, 0.95))))
    assert found.above_holding == pytest.approx(np.mean(usable[:, 0] > usable[:, 1]))


def test_the_halves_of_a_portfolio_share_an_account(tmp_path: Path) -> None:
    data = {"path": None, "paths": files(tmp_path, 3), "align": "common"}
    plan, _, best = searched(tmp_path, backtest={"portfolio": True, "fee_bps": 5.0}, data=data, study={"n_trials": 5})
    with make_pool(plan) as pool:
        found = subsets(plan, best.params, pool)
    assert found is not None
    assert (found.instruments, found.of) == (2, 3)
    params, warm = {"ma_type": "sma", **best.params}, max(best.params.values())
    engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, fee_bps=5.0)
    instruments = [Bars(*(column[: plan.searched[0].stop] for column in bars)) for bars in plan.job.instruments]
    values = []
    for one in draws(instruments[0].timestamp, found.bars, 3, 2):
        parts = [from_to(instruments[i], one.start, one.stop, warm) for i in one.instruments]
        lead = parts[0][1]
        weights = np.stack([crossing(plan, seen, params) / 2 for seen, _ in parts], axis=1)[lead:]
        traded = [Bars(*(column[lead:] for column in seen)) for seen, _ in parts]
        values.append(engine.run_realistic(traded, shared(weights), {}).metrics["sharpe_ratio"])
    assert found.quantiles == pytest.approx(tuple(np.nanquantile(values, (0.05, 0.5, 0.95))))
