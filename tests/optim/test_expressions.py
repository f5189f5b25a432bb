import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.expressions import ExpressionError, parse, violation

NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS)
@pytest.mark.parametrize(
    "text",
    [
        "a < b",
        "a >= 2 * b",
        "a + b > 0 and a < 10",
        "not (a > b)",
        "-5 < a < b",
        "abs(a) <= max(b, 3)",
        "a != b",
        "a if b > 0 else b",
    ],
)
def test_an_expression_is_what_python_says(text: str, a: float, b: float) -> None:
    expected = eval(text, {"abs": abs, "max": max}, {"a": a, "b": b})  # noqa: S307 - the reference
    assert parse(text, ["a", "b"])({"a": a, "b": b}) == expected


@given(NUMBERS, NUMBERS)
@pytest.mark.parametrize(
    "text", ["a < b", "a <= b and b > 3", "a >= 2 * b or a == 1", "a != b", "not a > b", "a < b < 10"]
)
def test_a_violation_is_positive_exactly_where_the_condition_fails(text: str, a: float, b: float) -> None:
    condition = parse(text)
    values = {"a": a, "b": b}
    assert (violation(condition, values) <= 0) == bool(condition(values))


def test_a_violation_measures_the_distance() -> None:
    assert violation(parse("n >= 30"), {"n": 12.0}) == 18.0
    assert violation(parse("n >= 30"), {"n": 40.0}) == -10.0
    assert violation(parse("n > 30"), {"n": 30.0}) > 0
    assert violation(parse("n > 30"), {"n": math.nan}) > 0


def test_strings_and_membership() -> None:
    condition = parse('kind == "ema" or kind in ("sma", "wma")', ["kind"])
    assert condition({"kind": "wma"})
    assert not condition({"kind": "hull"})


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "a.real", "a[0]", "lambda: 1", "[x for x in (1,)]", "f'{a}'", "a := 3",
        "open('x')",
        "a <", "", "a, *b", "b'x'", "None", "max(a, key=abs)", "abs(*a)", "a & b", "...", "1j",
    ],
)  # fmt: skip
def test_nothing_else_is_an_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(ExpressionError, match="'slow_windw', which is unknown; did you mean 'slow_window'"):
        parse("fast_window < slow_windw", ["fast_window", "slow_window"])


def test_powers_stay_bounded() -> None:
    with pytest.raises(OverflowError):
        parse("9 ** 9 ** 9")({})
