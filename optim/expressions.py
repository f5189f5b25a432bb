"""Small safe expressions over named values: constraints, conditions, objectives.

An expression is Python syntax reduced to names, literals, arithmetic, comparisons, `and`/`or`/`not`, `in`, a
conditional and a few functions. It is parsed once with `ast` and evaluated by walking the tree: nothing is ever
compiled or executed as Python code.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "min": min, "max": max, "round": round, "sqrt": math.sqrt, "log": math.log, "exp": math.exp,
}  # fmt: skip
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


class ExpressionError(ValueError):
    """The text is no expression of this small language, or it names something unknown."""


class Expression(NamedTuple):
    """A parsed expression; equal texts are equal expressions."""

    text: str
    names: frozenset[str]
    body: ast.expr

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Value of the expression; KeyError for a missing name, arithmetic errors as Python raises them."""
        return _evaluate(self.body, values)


def parse(text: str, known: Collection[str] | None = None) -> Expression:
    """Parse `text`; with `known`, every name must be one of them.

    Raises ExpressionError with the reason and, for a misspelt name, the nearest known one.
    """
    try:
        body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ExpressionError(f"{text!r} is not an expression: {getattr(error, 'msg', error)}") from None
    names: set[str] = set()
    _check(body, text, names)
    for name in sorted(names):
        if known is not None and name not in known:
            raise ExpressionError(f"{text!r} names {name!r}, which is unknown{suggestion(name, known)}")
    return Expression(text, frozenset(names), body)


def violation(expression: Expression, values: Mapping[str, Any]) -> float:
    """How far `values` are from satisfying a condition.

    <= 0 where it holds, > 0 where it does not (Optuna's convention).
    """
    return _violation(expression.body, values)


def suggestion(name: str, known: Collection[str]) -> str:
    """`; did you mean 'x'?` for a near miss, else the known names when they are few."""
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= 12 else ""


def _check(node: ast.expr, text: str, names: set[str]) -> None:
    match node:
        case ast.Name(id=name):
            names.add(name)
        case ast.Constant(value=bool() | int() | float() | str()):
            pass
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, text, names)
            _check(right, text, names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            _check(operand, text, names)
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                _check(part, text, names)
        case ast.Compare(left=left, ops=ops, comparators=parts) if all(type(op) in _COMPARE for op in ops):
            for part in (left, *parts):
                _check(part, text, names)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            for part in (test, body, orelse):
                _check(part, text, names)
        case ast.Call(func=ast.Name(id=function), args=parts, keywords=[]):
            if function not in FUNCTIONS:
                raise ExpressionError(f"{text!r} calls {function!r}, which is unknown{suggestion(function, FUNCTIONS)}")
            for part in parts:
                _check(part, text, names)
        case _:
            raise ExpressionError(
                f"{text!r} contains {ast.unparse(node)!r}; only names, numbers, strings, arithmetic, comparisons, "
                f"and/or/not and {', '.join(FUNCTIONS)} are allowed"
            )


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Compare(left=left, ops=[op], comparators=[right]):  # the usual constraint, asked for every point
            return bool(_COMPARE[type(op)](_evaluate(left, values), _evaluate(right, values)))
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _power_safe(op, _evaluate(left, values), _evaluate(right, values))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_evaluate(operand, values))
        case ast.BoolOp(op=op, values=parts):
            test = all if isinstance(op, ast.And) else any
            return test(_evaluate(part, values) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=parts):
            terms = [_evaluate(part, values) for part in (left, *parts)]
            return all(_COMPARE[type(op)](a, b) for op, a, b in zip(ops, terms, terms[1:], strict=False))
        case ast.IfExp(test=test_node, body=body, orelse=orelse):
            return _evaluate(body if _evaluate(test_node, values) else orelse, values)
        case ast.Call(func=ast.Name(id=function), args=parts):
            return FUNCTIONS[function](*(_evaluate(part, values) for part in parts))
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return tuple(_evaluate(part, values) for part in parts)
    raise AssertionError(ast.dump(node))  # _check admits nothing else


def _power_safe(op: ast.operator, left: Any, right: Any) -> Any:
    """Arithmetic on numbers only, with powers bounded: a search space may not hang or fill the memory."""
    if isinstance(left, str) or isinstance(right, str):
        raise TypeError(f"arithmetic on the string {left if isinstance(left, str) else right!r}")
    if isinstance(op, ast.Pow):
        return math.pow(left, right)
    return _BINARY[type(op)](left, right)


def _violation(node: ast.expr, values: Mapping[str, Any]) -> float:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return max(_violation(part, values) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return min(_violation(part, values) for part in parts)
        case ast.Compare(left=left, ops=ops, comparators=parts):
            terms = [_evaluate(part, values) for part in (left, *parts)]
            return max(_distance(op, a, b) for op, a, b in zip(ops, terms, terms[1:], strict=False))
    return 0.0 if _evaluate(node, values) else 1.0


def _distance(op: ast.cmpop, a: Any, b: Any) -> float:
    holds = _COMPARE[type(op)](a, b)
    if isinstance(a, str | tuple) or isinstance(b, str | tuple) or isinstance(op, ast.NotEq):
        return 0.0 if holds else 1.0
    gap = abs(float(a) - float(b))
    if holds:
        return -gap if math.isfinite(gap) else -1.0
    return max(gap, 1e-12) if math.isfinite(gap) else 1.0  # a strict bound missed by nothing, or NaN: still infeasible
