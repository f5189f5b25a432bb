"""Small safe expressions over named values: constraints, conditions, objectives.

An expression is Python syntax reduced to names, literals, arithmetic, comparisons, `and`/`or`/`not`, `in`, a
conditional and a few functions. It is parsed once with `ast` and evaluated by walking the tree: nothing is ever
compiled or executed as Python code. What can never be evaluated (a number compared with a text) is refused when it is
parsed, and no text takes more than a moment or a few kilobytes to evaluate.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from optim.errors import cut, shown
from optim.spec.kinds import NUMBER, TEXT, ExpressionError, Kinds, kinds

_LENGTH, _DEPTH, _LITERAL = 1000, 60, 10**18  # of a text, its tree, a whole number in it


def _round(value: float, digits: int | None = None) -> float:
    return round(value, digits)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "min": min, "max": max, "round": _round, "sqrt": math.sqrt, "log": math.log, "exp": math.exp,
}  # fmt: skip
_ARGUMENTS = {"log": (1, 2), "round": (1, 2), "min": (2, _LENGTH), "max": (2, _LENGTH)}  # at least, at most; else one
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: math.pow,
}  # fmt: skip
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}


class UndefinedError(ArithmeticError):
    """An expression has no value here: the root of a negative number, or a text where this point has a number."""


class Expression(NamedTuple):
    """A parsed expression; equal texts are equal expressions."""

    text: str
    names: frozenset[str]
    body: ast.expr

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """Value of the expression; KeyError for a missing name, an ArithmeticError where it has no value."""
        return _defined(_evaluate, self.body, values)


def parse(text: str, known: Mapping[str, Kinds] | None = None) -> Expression:
    """Parse `text`; with `known`, every name must be one of them and is what that says.

    Raises ExpressionError with the reason and, for a misspelt name, the nearest known one.
    """
    if len(text) > _LENGTH:
        raise ExpressionError(f"{shown(text)} has {len(text)} characters, at most {_LENGTH} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's opinions on what it parses; what is allowed is said below
            body = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deep
        raise ExpressionError(f"{shown(text)} is not an expression: {getattr(error, 'msg', error)}") from None
    _check_depth(body, text)
    called = {id(part.func) for part in ast.walk(body) if isinstance(part, ast.Call)}
    names = {part.id for part in ast.walk(body) if isinstance(part, ast.Name) and id(part) not in called}
    try:
        for part in ast.walk(body):
            _check_allowed(part)
        for name in sorted(names):
            if known is not None and name not in known:
                raise ExpressionError(f"names {shown(name)}, which is unknown{suggestion(name, known)}")
        if not kinds(body, dict.fromkeys(names, NUMBER | TEXT) if known is None else known) & NUMBER:
            raise ExpressionError("is a text; it must be a number or a condition")
    except ExpressionError as error:
        raise ExpressionError(f"{shown(text)} {error}") from None
    return Expression(text, frozenset(names), body)


def violation(expression: Expression, values: Mapping[str, Any]) -> float:
    """How far `values` are from satisfying a condition; an ArithmeticError where it has no value.

    <= 0 where it holds, > 0 where it does not (Optuna's convention).
    """
    return float(_defined(_violation, expression.body, values))


def suggestion(name: str, known: Collection[str], aliases: Mapping[str, str] | None = None) -> str:
    """`; did you mean 'x'?` for a near miss or another word for it, else the known names when they are few."""
    meant = (aliases or {}).get(name.lower())
    near = [meant] if meant in known else difflib.get_close_matches(name[:200], list(known), n=1)
    near = near or [one for one in known if one.lower() == name.lower()]
    near = near or [one for one in sorted(known) if len(name) > 2 and one.startswith(name)]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {cut(', '.join(map(str, sorted(known))))}" if 0 < len(known) <= 12 else ""


def _check_depth(body: ast.expr, text: str) -> None:
    level: list[ast.AST] = [body]
    for _ in range(_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise ExpressionError(f"{shown(text)} is nested more than {_DEPTH} deep; write it in several")


def _check_allowed(node: ast.AST) -> None:
    match node:
        case ast.Call(func=ast.Name(id=function), keywords=[]) if function not in FUNCTIONS:
            raise ExpressionError(f"calls {shown(function)}, which is unknown{suggestion(function, FUNCTIONS)}")
        case ast.Call(func=ast.Name(id=function), args=parts, keywords=[]):
            least, most = _ARGUMENTS.get(function, (1, 1))
            if len(parts) < least and not isinstance(parts[0] if parts else None, ast.Tuple | ast.List):
                raise ExpressionError(f"calls {function} with {len(parts)} arguments, it takes {least} or more")
            if len(parts) > most:
                raise ExpressionError(f"calls {function} with {len(parts)} arguments, it takes {most} at the most")
        case ast.Constant(value=int() as value) if abs(value) > _LITERAL:
            raise ExpressionError(f"contains {shown(value)}; the largest whole number allowed is {_LITERAL:.0e}")
        case ast.BinOp(op=op) if type(op) in _BINARY:
            pass
        case ast.UnaryOp(op=op) if type(op) in _UNARY:
            pass
        case ast.Compare(ops=ops) if all(type(op) in _COMPARE for op in ops):
            pass
        case ast.Constant(value=bool() | int() | float() | str()):
            pass
        case ast.Name() | ast.BoolOp() | ast.Tuple() | ast.List() | ast.IfExp():
            pass
        case ast.expr():
            raise ExpressionError(
                f"contains {shown(ast.unparse(node))}; only names, numbers, strings, arithmetic, comparisons, "
                f"and/or/not and {', '.join(FUNCTIONS)} are allowed"
            )


def _defined(function: Callable[..., Any], body: ast.expr, values: Mapping[str, Any]) -> Any:
    try:
        return function(body, values)
    except (TypeError, ValueError) as error:  # parse() leaves these to parameters that are text or number, and to roots
        raise UndefinedError(str(error)) from None


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return values[name]
        case ast.Compare(left=left, ops=[op], comparators=[right]):  # the usual constraint, asked for every point
            return bool(_COMPARE[type(op)](_evaluate(left, values), _evaluate(right, values)))
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _evaluate(left, values), _evaluate(right, values))
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
    raise AssertionError(ast.dump(node))  # parse() admits nothing else


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    """On numbers only: a text times a number could fill the memory."""
    if isinstance(left, str) or isinstance(right, str):
        raise UndefinedError(f"arithmetic on the text {left if isinstance(left, str) else right!r}")
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
