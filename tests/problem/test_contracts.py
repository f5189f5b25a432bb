"""Contracts in a study file: what their rules may be, and whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from optim.workers.stressed import dear
from optim.workers.tasks import run_task
from tests.studies import ROOT, SPACE, write_study


def test_a_tick_above_a_price_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, backtest={"tick_size": 100.0})
    with pytest.raises(SpecError, match=r"tick_size = 100: must be below every price, but .*ibm_1d.csv has 4"):
        make_plan(load_spec(path))


def test_a_parameter_named_like_a_contracts_rule_is_the_strategys_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0.0 + params['multiplier']\n")
    space = {"parameters": {"multiplier": {"type": "float", "low": 0.1, "high": 1.0}}}
    path = write_study(tmp_path, strategy={"name": "mine.py:mine", "search_space": space, "fixed": {}})
    plan = make_plan(load_spec(path))
    task = plan.task({"multiplier": 0.5}, plan.cells)
    assert (task.params, task.account.multiplier) == ({"multiplier": 0.5}, 1.0)


FILES = [str(ROOT / "studies" / "data" / f"{name}_1d.csv") for name in ("ibm", "msft")]
IBM_ALONE = {"ibm_1d": {"multiplier": 5.0, "fee_per_contract": 0.5, "fee_bps": 20.0, "stop_pct": 0.1}}
POINT = {"fast_window": 10, "slow_window": 50}


def outcomes(path: Path, **changes: Any) -> list[dict[str, float]]:
    plan = make_plan(load_spec(path))
    task = plan.task(POINT, plan.searched)._replace(**changes)
    plain, kept = (run_task(plan.job, one) for one in (task, task._replace(keep=True)))
    assert task.worst_by or plain.outcomes == kept.outcomes  # both ways to backtest a cell
    return [outcome.metrics for outcome in plain.outcomes]


def test_an_instrument_has_the_rules_of_its_table(tmp_path: Path) -> None:
    """Each as a study of its own file has it with these rules in [backtest]."""
    for worst_by in (None, ("total_return", "maximize")):
        path = write_study(tmp_path, data={"path": None, "paths": FILES}, instruments=IBM_ALONE)
        both = outcomes(path, worst_by=worst_by)
        for found, file, rules in zip(both, FILES, (IBM_ALONE["ibm_1d"], {}), strict=True):
            alone = write_study(tmp_path, data={"path": file}, backtest={"fee_bps": 10.0, **rules})
            assert [found] == outcomes(alone, worst_by=worst_by)
        assert both[0] != both[1]


def test_stress_makes_an_instruments_own_rules_dearer(tmp_path: Path) -> None:
    path = write_study(tmp_path, data={"path": None, "paths": FILES}, instruments=IBM_ALONE)
    plan = make_plan(load_spec(path))
    own, other = plan.task(POINT, plan.searched).under(dear).each
    assert (own.fee_bps, own.fee_per_contract, own.multiplier, other.fee_bps) == (40.0, 1.0, 5.0, 20.0)


def test_a_portfolio_has_contracts_and_a_fingerprint_of_them(tmp_path: Path) -> None:
    shared = {"portfolio": True, "lot_size": 1.0}
    tables = {"data": {"path": None, "paths": FILES}, "backtest": shared}
    (found,) = outcomes(write_study(tmp_path, **tables, instruments={"ibm_1d": {"multiplier": 5.0}}))
    plan = make_plan(load_spec(tmp_path / "study.toml"))
    assert plan.fingerprint()["instruments"] == {"ibm_1d": {"multiplier": 5.0}}
    (alike,) = outcomes(write_study(tmp_path, **tables))
    assert found["total_return"] != alike["total_return"]
    assert "instruments" not in make_plan(load_spec(tmp_path / "study.toml")).fingerprint()


@pytest.mark.parametrize(
    ("rules", "backtest", "said"),
    [
        (
            {"imb_1d": {"multiplier": 5.0}},
            {},
            r"\[instruments.imb_1d\]: no such instrument; the data are ibm_1d, msft_1d",
        ),
        ({"ibm_1d": {"initial_cash": 5.0}}, {}, "initial_cash = 5.0: is the same for all instruments"),
        ({"ibm_1d": {"multiplier": 0.0}}, {}, r"\[instruments.ibm_1d\] account rule multiplier = 0.0 must be above 0"),
        ({"ibm_1d": {"fee": 5.0}}, {}, r"\[instruments.ibm_1d\] fee: unknown key; did you mean 'fee_bps'"),
        ({"ibm_1d": {"fee_bps": 5.0}}, {"portfolio": True}, "fee_bps is the same for all instruments of a portfolio"),
        ({"msft_1d": {"tick_size": 90.0}}, {}, "tick_size = 90: must be below every price, but .*msft_1d.csv has"),
    ],
)
def test_what_an_instrument_cannot_have_is_refused(rules: Any, backtest: Any, said: str, tmp_path: Path) -> None:
    path = write_study(tmp_path, data={"path": None, "paths": FILES}, backtest=backtest, instruments=rules)
    with pytest.raises(SpecError, match=said):
        make_plan(load_spec(path))


def test_a_rule_is_searched_or_an_instruments_own(tmp_path: Path) -> None:
    space = {"parameters": {**SPACE["parameters"], "stop_pct": {"type": "float", "low": 0.01, "high": 0.1}}}
    path = write_study(tmp_path, strategy={"search_space": space}, instruments=IBM_ALONE)
    with pytest.raises(SpecError, match=r"stop_pct = 0\.1: is searched; remove it here"):
        make_plan(load_spec(path))
