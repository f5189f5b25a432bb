"""Contracts in a study file: what their rules may be, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import write_study


def test_a_tick_above_a_price_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, backtest={"tick_size": 100.0})
    with pytest.raises(
        SpecError, match=r"\[backtest\] tick_size = 100: must be below every price, but .*ibm_1d.csv has 4"
    ):
        make_plan(load_spec(path))


def test_a_parameter_named_like_a_contracts_rule_is_the_strategys_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0.0 + params['multiplier']\n")
    space = {"parameters": {"multiplier": {"type": "float", "low": 0.1, "high": 1.0}}}
    path = write_study(tmp_path, strategy={"name": "mine.py:mine", "search_space": space, "fixed": {}})
    plan = make_plan(load_spec(path))
    task = plan.task({"multiplier": 0.5}, plan.cells)
    assert (task.params, task.account.multiplier) == ({"multiplier": 0.5}, 1.0)
