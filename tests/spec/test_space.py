import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution
from optuna.trial import create_trial

from optim.errors import SpecError
from optim.spec.space import Parameter, SearchSpace
from optim.spec.space_table import parse_space

units = st.floats(0, 1, exclude_max=True)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    if draw(st.booleans()):
        choices = draw(st.lists(st.sampled_from(["a", "b", 1, 2.5, True]), min_size=1, max_size=4, unique=True))
        return Parameter("p", "categorical", choices=tuple(choices))
    log = draw(st.booleans())
    low = draw(st.integers(1, 50))
    high = low + draw(st.integers(0, 60))
    step = 0 if log else draw(st.sampled_from([0, 1, 3]))
    if draw(st.booleans()):
        return Parameter("p", "int", low, low + (high - low) // (step or 1) * (step or 1), step, log)
    return Parameter("p", "float", float(low), float(low + (high - low) // (step or 1) * (step or 1)), float(step), log)


def accepted(distribution: BaseDistribution, value: Any) -> bool:
    """Whether Optuna takes a trial with this value."""
    try:
        create_trial(value=0.0, params={"p": value}, distributions={"p": distribution})
    except ValueError:
        return False
    return True


@given(parameters(), units)
def test_every_place_is_a_value_optuna_accepts(parameter: Parameter, unit: float) -> None:
    value = parameter.at(unit)
    distribution = parameter.distribution()
    assert accepted(distribution, value)
    assert 0.0 <= parameter.unit(value) <= 1.0


@given(parameters())
def test_the_grid_is_what_optuna_counts(parameter: Parameter) -> None:
    size = parameter.size()
    if math.isinf(size):
        return
    values = [parameter.nth(i) for i in range(int(size))]
    assert len(set(values)) == size
    distribution = parameter.distribution()
    assert all(accepted(distribution, value) for value in values)
    assert distribution.single() == (size == 1)


def space(**changes: Any) -> SearchSpace:
    table = {
        "constraints": ["a < b"],
        "parameters": {
            "a": {"type": "int", "low": 1, "high": 4},
            "b": {"type": "int", "low": 1, "high": 4},
            "kind": {"type": "categorical", "choices": ["x", "y"]},
            "span": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.5, "when": 'kind == "y"'},
        },
    }
    table.update(changes)
    return parse_space(table, {}, "here")


def test_the_grid_has_every_feasible_point_once() -> None:
    points = list(space().grid())
    expected = [
        {"a": a, "b": b, "kind": kind} | ({"span": span} if kind == "y" else {})
        for a in range(1, 5)
        for b in range(1, 5)
        if a < b
        for kind in ("x", "y")
        for span in ((0.0, 0.5, 1.0) if kind == "y" else (None,))
    ]
    assert points == expected


def test_samples_have_exactly_their_active_parameters() -> None:
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(50):
        point = space().sample(rng)
        kinds.add(point["kind"])
        assert ("span" in point) == (point["kind"] == "y")
    assert kinds == {"x", "y"}


def test_fixed_values_leave_the_space_and_count_in_constraints() -> None:
    table = {
        "constraints": ["a < b"],
        "parameters": {"a": {"type": "int", "low": 1, "high": 4}, "b": {"type": "int", "low": 1, "high": 4}},
    }
    fixed = parse_space(table, {"b": 3}, "here")
    assert [point["a"] for point in fixed.grid()] == [1, 2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": "int", "low": 5, "high": 2}, "low <= high must hold, but low = 5 and high = 2"),
        ({"type": "int", "low": 1.5, "high": 2}, "low must be a whole number, but is 1.5"),
        ({"type": "int", "low": True, "high": 2}, "low must be a whole number"),
        ({"type": "float", "low": 0.0}, "high must be a number, but is missing"),
        ({"type": "float", "low": 0.0, "high": math.inf}, "high must be finite"),
        ({"type": "float", "low": 0.0, "high": 1.0, "log": True}, "log = true needs low > 0"),
        ({"type": "float", "low": 1.0, "high": 2.0, "log": True, "step": 0.1}, "log = true needs low > 0 and no step"),
        ({"type": "int", "low": 1, "high": 2, "step": 0}, "step must be positive"),
        ({"type": "int", "low": 1, "high": 2, "steps": 1}, "unknown key 'steps' for type 'int'; did you mean 'step'?"),
        ({"type": "categorical"}, "choices must be a list"),
        ({"type": "categorical", "choices": []}, "choices must be a list with at least one value"),
        ({"type": "categorical", "choices": ["a", "a"]}, "must differ"),
        ({"type": "categorical", "choices": [[1]]}, "may be strings, numbers and booleans"),
        ({"type": "integer", "low": 1, "high": 2}, "type must be 'int', 'float' or 'categorical', but is 'integer'"),
        ({"type": "int", "low": 1, "high": 2, "when": "c > 1"}, "names 'c', which is unknown"),
        (3, "must be a table"),
    ],
)
def test_a_bad_parameter_is_refused_in_one_sentence(row: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_space({"parameters": {"p": row}}, {}, "file.toml")
    text = str(caught.value)
    assert text.startswith("file.toml [parameters.p]: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize("table", [{}, {"parameters": {}}, {"parameters": 3}, {"params": {}}, {"constraints": "a < b"}])
def test_a_bad_table_is_refused(table: Any) -> None:
    with pytest.raises(SpecError, match="here"):
        parse_space(table, {}, "here")


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.02, 0.2, 0.02, [0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2]),
        (0.1, 0.75, 0.2, [0.1, 0.3, 0.5, 0.7]),
        (1e-5, 3e-5, 1e-5, [1e-5, 2e-5, 3e-5]),
        (-0.3, 0.3, 0.3, [-0.3, 0.0, 0.3]),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_stepped_float_takes_the_numbers_as_they_are_written(low, high, step, values):
    row = {"type": "float", "low": low, "high": high, "step": step}
    (parameter,) = parse_space({"parameters": {"p": row}}, {}, "f").parameters
    assert [parameter.nth(i) for i in range(int(parameter.size()))] == values
    assert [parameter.snap(low + i * step) for i in range(len(values))] == values
    distribution = parameter.distribution()  # Optuna does not warn, and leaves nothing out
    assert (distribution.low, distribution.high) == (values[0], values[-1])
    assert all(accepted(distribution, value) for value in values)
