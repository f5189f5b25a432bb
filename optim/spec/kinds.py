"""What an expression can be, a number or a text, told from its tree; what can never have a value is refused."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from optim.errors import shown

Kinds = frozenset[str]  # what a name can stand for
NUMBER, TEXT = frozenset({"number"}), frozenset({"text"})
_DIGITS = 15  # of round()


class ExpressionError(ValueError):
    """The text is no expression of this small language, it names something unknown or can never be evaluated."""


def kinds_of(values: Iterable[Any]) -> Kinds:
    """What a name that takes these values stands for: numbers (booleans are such), texts, or both."""
    return frozenset("text" if isinstance(value, str) else "number" for value in values)


def kinds(node: ast.expr, known: Mapping[str, Kinds]) -> Kinds:
    """What a part can be; ExpressionError where an operation can never have a value."""
    match node:
        case ast.Name(id=name):
            return known[name]
        case ast.Constant(value=value):
            return kinds_of([value])
        case ast.BinOp(left=left, right=right):
            _need_numbers((left, right), "arithmetic on", known)
        case ast.UnaryOp(operand=operand):
            _need_numbers((operand,), "arithmetic on", known)
        case ast.BoolOp(values=parts):
            _need_numbers(parts, "and/or with", known)
        case ast.Compare(left=left, ops=ops, comparators=parts):
            for op, one, other in zip(ops, (left, *parts), parts, strict=False):
                _check_comparison(op, one, other, known)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            _need_numbers((test,), "a condition of", known)
            return kinds(body, known) | kinds(orelse, known)
        case ast.Call(func=ast.Name(id=function), args=parts):
            if function == "round" and len(parts) == 2:
                _check_digits(parts[1])
            inner = parts[0].elts if len(parts) == 1 and isinstance(parts[0], ast.Tuple | ast.List) else parts
            if not inner or (inner is not parts and function not in ("min", "max")):
                raise ExpressionError(f"calls {function} with a list it cannot take")
            _need_numbers(inner, f"{function} of", known)
        case _:
            raise ExpressionError("has a list where a single value must stand: lists belong behind `in`")
    return NUMBER


def _need_numbers(parts: Iterable[ast.expr], what: str, known: Mapping[str, Kinds]) -> None:
    for part in parts:
        if not kinds(part, known) & NUMBER:
            raise ExpressionError(f"has {what} the text {shown(ast.unparse(part))}, which has no value")


def _check_comparison(op: ast.cmpop, one: ast.expr, other: ast.expr, known: Mapping[str, Kinds]) -> None:
    left = kinds(one, known)
    right = TEXT  # `in` looks for a text in a text, or for a value in a list
    if isinstance(op, ast.In | ast.NotIn) and isinstance(other, ast.Tuple | ast.List):
        right = frozenset[str]().union(*(kinds(part, known) for part in other.elts)) or left
    elif not isinstance(op, ast.In | ast.NotIn):
        right = kinds(other, known)
    elif not kinds(other, known) & TEXT:
        raise ExpressionError(f"looks for something in the number {shown(ast.unparse(other))}; write a list: (1, 2)")
    if not left & right:
        pair = f"the {min(left)} {shown(ast.unparse(one))} with the {min(right)} {shown(ast.unparse(other))}"
        raise ExpressionError(f"compares {pair}, which never holds")


def _check_digits(node: ast.expr) -> None:
    number = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    value = number.value if isinstance(number, ast.Constant) else None
    if type(value) is not int or value > _DIGITS:
        raise ExpressionError(f"rounds to {shown(ast.unparse(node))} digits; give a whole number up to {_DIGITS}")
