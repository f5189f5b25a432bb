"""A strategy with a form for many parameter sets, and what holds a sweep of it equal to each row alone."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from engine import above, ema, for_each, sma, strategy, sweep
from engine.check import random_bars
from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.data.cells import Cell
from engine.errors import ParameterError
from engine.evaluate import Outcome, evaluate
from engine.metrics.catalogue import METRICS
from engine.simulator.account import SEARCHABLE, make_account
from engine.strategies.base import Strategy

BARS = random_bars(np.random.default_rng(3), 300)


class Params(NamedTuple):
    window: int
    sign: float = 1.0
    mean: Literal["sma", "ema"] = "sma"
    inverse: bool = False

    def rules(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.window >= 2, "window >= 2"),
            (self.window * self.window < 900, "window ** 2 < 900"),
            (self.mean == "sma" or self.window < 20, "window < 20 for ema"),
        )


def made(fault: str = "") -> tuple[Strategy, list[int]]:
    """A strategy, and how many sets each call of its form for many had."""
    calls: list[int] = []

    @strategy
    def trend(bars: Bars, p: Params) -> Array:
        mean = (sma if p.mean == "sma" else ema)(bars.close, p.window)
        return p.sign * (above(mean, bars.close) if p.inverse else above(bars.close, mean))

    @trend.for_many
    def many(bars: Bars, p: Any) -> Any:
        calls.append(len(p.window))
        means = for_each(sma if p.mean == "sma" else ema, bars.close, p.window)
        rows = [means.results[i] for i in means.at]
        found = [above(row, bars.close) if p.inverse else above(bars.close, row) for row in rows]
        targets = p.sign[:, None] * np.array(found)
        if fault == "raises":
            raise ZeroDivisionError("in the form for many")
        if fault == "exits":
            raise SystemExit(3)
        if fault == "another shape":
            return targets.T
        if fault == "differs":
            targets[-1, 200] = 0.25
        if fault == "sides":
            return targets.astype(np.int8)
        return targets

    return trend, calls


def alone(one: Strategy, row: dict[str, Any], bars: Bars) -> Outcome:
    params = {name: value for name, value in row.items() if name not in SEARCHABLE}
    try:
        account = make_account({name: value for name, value in row.items() if name in SEARCHABLE})
    except ParameterError as error:
        return Outcome({}, str(error))
    return evaluate(one, params, account, (bars,), Cell(0, 0, len(bars.close)), 252.0)


def held_equal(
    one: Strategy, rows: list[dict[str, Any]], n_jobs: int = 1, *, table: bool = False, bars: Bars = BARS
) -> None:
    """A sweep of the rows, which a table has to be alike in their names, against each alone."""
    given = pd.DataFrame(rows, dtype=object) if table else rows
    found = sweep(bars, one, given, n_jobs=n_jobs, periods_per_year=252)
    for i, row in enumerate(rows):
        expected = alone(one, row, bars)
        assert (found["error"][i] if "error" in found else "") == expected.error
        metrics = [expected.metrics.get(name, math.nan) for name in METRICS]
        np.testing.assert_array_equal(found.loc[i, list(METRICS)].to_numpy(float), metrics)
