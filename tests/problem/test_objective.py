import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.catalogue import METRICS
from engine.metrics.pooling import combine
from optim.errors import SpecError
from optim.problem.objective import build_objective
from optim.spec.study import load_spec
from tests.studies import write_study


def metrics(**given: float) -> dict[str, float]:
    return {**dict.fromkeys(METRICS, 1.0), **given}


def objective(folder: Path, **changes: Any) -> Any:
    return build_objective(load_spec(write_study(folder, **changes)))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=7))
def test_aggregates_are_the_textbook_ones(values: list[float]) -> None:
    assert combine(values, "mean", "maximize") == pytest.approx(statistics.fmean(values))
    assert combine(values, "median", "maximize") == statistics.median(values)
    assert combine(values, "min", "maximize") == min(values)
    assert combine(values, "min", "minimize") == max(values)  # the worst cell
    assert math.isnan(combine([*values, math.nan], "mean", "maximize"))


def test_counts_are_summed_and_ratios_averaged(tmp_path: Path) -> None:
    table = objective(tmp_path).metrics(
        [metrics(sharpe_ratio=1.0, n_trades=3.0), metrics(sharpe_ratio=2.0, n_trades=4.0)]
    )
    assert table["sharpe_ratio"] == 1.5
    assert table["n_trades"] == 7.0


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("aggregate", ["mean", "median", "min"])
def test_an_objective_has_the_value_its_metric_has(tmp_path: Path, name: str, aggregate: str) -> None:
    """One name, one number: max_drawdown as objective is what the tables call max_drawdown."""
    made = objective(tmp_path, study={"objective": name}, evaluation={"aggregate": aggregate})
    cells = [dict.fromkeys(METRICS, 0.5 + k) | {"win_rate": 0.5, "n_trades": 4.0} for k in range(3)]
    assert made.values(cells, [made.scores(cell) for cell in cells]) == (made.metrics(cells)[name],)


def test_a_metric_knows_its_direction(tmp_path: Path) -> None:
    assert objective(tmp_path).goals[0].direction == "maximize"
    assert objective(tmp_path, study={"objective": "annual_volatility"}).goals[0].direction == "minimize"


def test_an_expression_is_an_objective(tmp_path: Path) -> None:
    made = objective(tmp_path, study={"objective": "sharpe_ratio - 2 * abs(max_drawdown)", "direction": "maximize"})
    assert made.scores(metrics(sharpe_ratio=1.5, max_drawdown=-0.25)) == (1.0,)
    undefined = objective(tmp_path, study={"objective": "1 / n_trades", "direction": "maximize"})
    assert math.isnan(undefined.scores(metrics(n_trades=0.0))[0])


def test_a_function_of_the_users_own_is_an_objective(tmp_path: Path) -> None:
    (tmp_path / "goal.py").write_text("def mine(metrics):\n    return metrics['sharpe_ratio'] * 3\n")
    made = objective(tmp_path, study={"objective": "goal.py:mine", "direction": "maximize"})
    assert made.goals[0].name == "mine"
    assert made.scores(metrics(sharpe_ratio=2.0)) == (6.0,)


def test_constraints_and_min_trades_are_violations(tmp_path: Path) -> None:
    made = objective(tmp_path, evaluation={"constraints": ["max_drawdown > -0.25"], "min_trades": 10})
    violations = made.violations(metrics(max_drawdown=-0.5, n_trades=12.0))
    assert violations["max_drawdown > -0.25"] == pytest.approx(0.25)
    assert violations["n_trades >= 10"] == -2.0
    assert made.violations(metrics(max_drawdown=math.nan))["max_drawdown > -0.25"] > 0


def test_what_is_wrong_with_an_objectives_file_names_the_file(tmp_path: Path) -> None:
    keys = {"objective": "goal.py:mine", "direction": "maximize"}
    file = tmp_path / "goal.py"
    for text, said in (
        (None, f"no such file: {file}"),
        ("other = 3", f"{file} has no function 'mine'"),
        ("\nraise OSError('x')", f"{file} cannot be loaded: OSError at goal.py:2: x"),
    ):
        if text is not None:
            file.write_text(text)
        with pytest.raises(SpecError) as caught:
            objective(tmp_path, study=keys)
        assert str(caught.value).endswith(f"[study] objective = 'goal.py:mine': {said}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": {"objective": "sharp_ratio"}}, "did you mean 'sharpe_ratio'"),
        ({"study": {"objective": "sharpe_ratio * 2"}}, "give [study] direction"),
        ({"study": {"objective": "goal.py:mine", "direction": "maximize"}}, "no such file"),
        (
            {"study": {"objective": ["sharpe_ratio", "calmar_ratio"], "direction": ["maximize"]}},
            "1 entries, but there are 2",
        ),
        ({"evaluation": {"constraints": ["n_trade > 3"]}}, "did you mean 'n_trades'"),
    ],
)
def test_a_bad_objective_is_refused_in_one_sentence(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        objective(tmp_path, **changes)
    assert message in str(caught.value)
    assert "study.toml" in str(caught.value)
