"""Expressions of `derive`: arithmetic over hyperparameters, and nothing else.

simpleeval evaluates them and bounds what they may cost; before that, only the syntax that
is listed here is let through: no attribute of a Python object is ever looked up, no method
called, no text formatted.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "float": float,
    "floor": math.floor,
    "int": int,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}
MAX_LENGTH = 500

_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call,
    ast.Name, ast.Attribute, ast.Constant, ast.Load, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop,
)  # fmt: skip


class ExpressionError(Exception):
    """An expression that cannot be read or computed; the message says why."""


def find_names(expression: str) -> tuple[str, ...]:
    """The dotted names that an expression reads, each once.

    Raises ExpressionError where it is more than arithmetic over names.
    """
    return tuple(dict.fromkeys(_walk_names(_parse(expression))))


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """The value of an expression over nested values.

    Raises ExpressionError where a name is unknown or the arithmetic fails.
    """
    from simpleeval import InvalidExpression, NumberTooHigh, SimpleEval

    tree = _parse(expression)
    names = {f"v{i}": look_up(values, name) for i, name in enumerate(find_names(expression))}
    places = {name: f"v{i}" for i, name in enumerate(find_names(expression))}
    plain = ast.unparse(_Renamer(places).visit(tree))
    try:
        return SimpleEval(functions=FUNCTIONS, names=names).eval(plain)
    except ZeroDivisionError as error:
        raise ExpressionError("a division by zero") from error
    except NumberTooHigh as error:
        raise ExpressionError("a number is too high") from error
    except (InvalidExpression, ArithmeticError, TypeError, ValueError, MemoryError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExpressionError(reason) from error


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name.

    Raises ExpressionError where there is none.
    """
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise ExpressionError(f"there is no {name}")
        found = found[part]
    return found


def _parse(expression: str) -> ast.Expression:
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"it is longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError("no expression such as 32000 * batch_size // 128") from error
    for node in ast.walk(tree):
        _check(node)
    return tree


def _check(node: ast.AST) -> None:
    if not isinstance(node, _ALLOWED):
        kind = type(node).__name__
        raise ExpressionError(f"{kind} is not allowed: write arithmetic over hyperparameters")
    if isinstance(node, ast.Call) and (
        not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords
    ):
        raise ExpressionError(f"only these can be called: {', '.join(FUNCTIONS)}")
    if isinstance(node, ast.Attribute) and _spell(node) is None:
        raise ExpressionError("a dot may only stand within the name of a hyperparameter")


def _walk_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        spelled = _spell(node)
        assert spelled is not None
        yield spelled
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.Call) and child is node.func:
            continue
        yield from _walk_names(child)


def _spell(node: ast.AST) -> str | None:
    """`a.b` of an attribute of a name; None of an attribute of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _spell(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return None


class _Renamer(ast.NodeTransformer):
    """Puts a plain name in the place of each dotted one."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = places

    def visit_Call(self, node: ast.Call) -> ast.AST:
        arguments = [self.visit(argument) for argument in node.args]
        return ast.Call(func=node.func, args=arguments, keywords=[])

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=self.places[node.id], ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        spelled = _spell(node)
        assert spelled is not None
        return ast.Name(id=self.places[spelled], ctx=node.ctx)
