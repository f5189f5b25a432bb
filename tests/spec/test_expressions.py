import contextlib
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optim.spec.expressions import parse, violation
from optim.spec.kinds import NUMBER, TEXT, ExpressionError

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
    assert parse(text, dict.fromkeys("ab", NUMBER))({"a": a, "b": b}) == expected


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
    condition = parse('kind == "ema" or kind in ("sma", "wma")', {"kind": TEXT})
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
        parse("fast_window < slow_windw", dict.fromkeys(["fast_window", "slow_window"], NUMBER))


def test_powers_stay_bounded() -> None:
    with pytest.raises(OverflowError):
        parse("9 ** 9 ** 9")({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("min(number) > 0", "calls min with 1 arguments"),
        ("number in 3", "in the number '3'; write a list"),
        ("'a' < number", "compares the text"),
        ("number == 'a'", "which never holds"),
        ("kind in (1, 2)", "which never holds"),
        ("kind", "is a text; it must be a number or a condition"),
        ("kind + 1 > 0", "arithmetic on the text 'kind'"),
        ("-kind > 0", "arithmetic on the text"),
        ("kind and number > 0", "and/or with the text"),
        ("number if kind else 0", "a condition of the text"),
        ("'a' * 10**9 == kind", "arithmetic on the text"),
        ("(1,) * 1000000000 * 100", "lists belong behind `in`"),
        ("(number, 1) < (2, 3)", "lists belong behind `in`"),
        ("min([]) > 0", "calls min with a list"),
        ("abs([1, 2]) > 0", "calls abs with a list"),
        ("round(number, -10**14)", "digits; give a whole number up to 15"),
        ("round(number, number)", "digits; give a whole number up to 15"),
        ("-" * 900 + "1", "nested more than"),
        ("-" * 5000 + "1", "5001 characters, at most 1000"),
        ("(" * 300 + "1" + ")" * 300, "is not an expression"),
        ("1" + "0" * 500, "the largest whole number"),
        ("abs(1, 2)", "calls abs with 2 arguments"),
        ("abs()", "calls abs with 0 arguments"),
        ("number << 99999999999", "contains"),
    ],
)  # fmt: skip
def test_what_can_never_be_evaluated_is_refused_when_it_is_read(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, {"number": NUMBER, "kind": TEXT})
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_choice_of_texts_and_numbers_is_undefined_where_it_is_the_wrong_one() -> None:
    condition = parse("stop > 3", {"stop": NUMBER | TEXT})
    assert condition({"stop": 10}) is True
    with pytest.raises(ArithmeticError):
        condition({"stop": "off"})
    assert parse("stop == 'off' or stop > 3", {"stop": NUMBER | TEXT})({"stop": "off"}) is True


KNOWN = {"a": NUMBER, "b": NUMBER, "kind": TEXT, "stop": NUMBER | TEXT, "flag": NUMBER}
ATOMS = st.sampled_from(
    [*KNOWN, "1", "0", "-3", "2.5", "1e308", "1e999", "9" * 18, "9" * 40, "True", "'sma'", "''", "None", "nobody"]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    words = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!=", "in", "not in", "and", "or", "<<"]
    pair = st.tuples(inner, st.sampled_from(words), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
    call = st.tuples(
        st.sampled_from(["abs", "min", "max", "round", "sqrt", "log", "exp", "open"]), st.lists(inner, max_size=3)
    ).map(lambda t: f"{t[0]}({', '.join(t[1])})")
    listed = st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
    choice = st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})")
    chain = st.tuples(inner, inner, inner).map(lambda t: f"{t[0]} < {t[1]} <= {t[2]}")
    single = st.tuples(st.sampled_from(["-", "+", "not ", "~"]), inner).map("".join)
    return pair | call | listed | choice | chain | single


GRAMMAR = st.recursive(ATOMS, _grow, max_leaves=12)
GARBLED = st.tuples(
    GRAMMAR, st.integers(0, 60), st.text("()[]{}'\"\\,.<>=!*/-+ \t\nabkind0159_:#@é\x00", max_size=6)
).map(lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :])


@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(
    GRAMMAR | GARBLED,
    st.fixed_dictionaries(
        {
            "a": st.floats() | st.integers(-(2**53), 2**53),
            "b": st.floats(),
            "kind": st.sampled_from(["sma", ""]),
            "stop": st.sampled_from(["off", 10, 0.5]),
            "flag": st.booleans(),
        }
    ),
)
def test_any_text_is_refused_when_read_or_has_a_value_or_none(text: str, values: dict[str, Any]) -> None:
    expression = None
    with contextlib.suppress(ExpressionError):
        expression = parse(text, KNOWN)
    if expression is None:
        return
    for evaluate in (lambda: expression(values), lambda: violation(expression, values)):
        with contextlib.suppress(ArithmeticError):
            assert isinstance(evaluate(), int | float | str)
