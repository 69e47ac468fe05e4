"""Bounds between parameters: `support_size <= pool_size`, in a small language over the keys of a configuration.

An expression compares (`<`, `<=`, `>`, `>=`, `==`, `!=`, `in [...]`), calculates (`+ - * /`), and joins with `and`,
`or` and `not`. It is read by Python's parser and looked through part by part; nothing of it is ever run as Python.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mer.errors import brief
from mer.study.space.choices import place_of

MOST_CHARACTERS = 300
_MOST_PARTS = 100
_LANGUAGE = "keys, numbers, 'text', true, false, null; < <= > >= == !=, in [...], + - * /, and, or, not, ( )"
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_WORDS = {"true": True, "false": False, "null": None}


class NotAConstraint(ValueError):
    """Text that is no expression of the language. Its message says why."""

    allowed = _LANGUAGE


class _Silent(Exception):
    """A key is null where a number is needed: the constraint says nothing."""


class Constraint:
    """One expression.

    Args: text: as the file has it.
    Raises: NotAConstraint.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MOST_CHARACTERS:
            raise NotAConstraint(f"has {len(text)} characters, at most {MOST_CHARACTERS} are read")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # `1 is 2`: Python warns and goes on
                self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise NotAConstraint("is no expression") from None
        if sum(1 for _ in ast.walk(self._tree)) > 4 * _MOST_PARTS:
            raise NotAConstraint(f"has more than {_MOST_PARTS} parts")
        if not _is_statement(self._tree):
            raise NotAConstraint("is a value, neither true nor false: compare it with something")
        self.keys = tuple(dict.fromkeys(_keys(self._tree)))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Tell whether a trial keeps the constraint.

        Where a trial does not have a key that is named, or has null for it where a number is needed, it does.

        Args: values: dotted key -> value.
        Raises: NotAConstraint where text is compared by size or calculated with.
        """
        if any(key not in values for key in self.keys):
            return True
        try:
            return _statement(self._tree, values)
        except _Silent:
            return True
        except ArithmeticError:  # a division by zero
            return False


def _is_statement(node: ast.AST) -> bool:
    """Look through an expression; tell whether it is true or false rather than a value. Raises: NotAConstraint."""
    match node:
        case ast.BoolOp(values=parts):
            _require_statements(parts)
            return True
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _require_statements([part])
            return True
        case ast.Compare(left=left, ops=ops, comparators=others):
            for op, other in zip(ops, others, strict=True):
                if isinstance(op, ast.In | ast.NotIn):
                    if not isinstance(other, ast.List | ast.Tuple):
                        raise NotAConstraint(f"{ast.unparse(other)} after `in` is no list in square brackets")
                    _require_values(other.elts)
                elif isinstance(op, ast.Eq | ast.NotEq) or type(op) in _ORDER:
                    _require_values([other])
                else:
                    raise NotAConstraint("compares by `is`")
            _require_values([left])
            return True
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            _require_values([left, right])
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=part):
            _require_values([part])
        case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
            if type(value) is int and abs(value) > 2**53:
                raise NotAConstraint(f"holds a number of {value.bit_length() // 3} digits")
        case ast.Name() | ast.Attribute():
            list(_keys(node))  # a dot after anything but a name
        case _:
            raise NotAConstraint(f"{ast.unparse(node)[:60]!r} is not of the language")
    return False


def _require_statements(parts: list[ast.expr]) -> None:
    for part in parts:
        if not _is_statement(part):
            raise NotAConstraint(f"{ast.unparse(part)[:60]!r} is a value, neither true nor false")


def _require_values(parts: list[ast.expr]) -> None:
    for part in parts:
        if _is_statement(part):
            raise NotAConstraint(f"{ast.unparse(part)[:60]!r} is true or false, no value")


def _keys(node: ast.AST) -> Iterator[str]:
    """Yield the dotted keys that an expression names. Raises: NotAConstraint for a dot after anything else."""
    if isinstance(node, ast.Name):
        if node.id not in _WORDS:
            yield node.id
    elif isinstance(node, ast.Attribute):
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise NotAConstraint(f"{ast.unparse(node)[:60]!r} is not of the language")
        yield ".".join([inner.id, *reversed(parts)])
    else:
        for part in ast.iter_child_nodes(node):
            yield from _keys(part)


def _statement(node: ast.AST, values: Mapping[str, Any]) -> bool:
    """Evaluate what is true or false."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_statement(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_statement(part, values) for part in parts)
        case ast.UnaryOp(operand=part):
            return not _statement(part, values)
    assert isinstance(node, ast.Compare)
    left = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        if not _compared(left, op, right, values):
            return False
        left = right
    return True


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, values: Mapping[str, Any]) -> bool:
    if compare := _ORDER.get(type(op)):
        return compare(_number(left, values), _number(right, values))
    items = right.elts if isinstance(right, ast.List | ast.Tuple) else [right]
    one = place_of(_value(left, values))
    is_there = any(one == place_of(_value(item, values)) for item in items)
    return is_there == isinstance(op, ast.Eq | ast.In)


def _number(node: ast.expr, values: Mapping[str, Any]) -> float:
    """Evaluate a part that has to be a number; as a float, which never grows beyond its 64 bits."""
    value = _value(node, values)
    if value is None:
        raise _Silent
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = (
            brief(value) if isinstance(node, ast.Constant) else f"{ast.unparse(node)[:60]} can be {brief(value)}, which"
        )
        raise NotAConstraint(f"{found} is no number")
    return float(value)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_number(left, values), _number(right, values))
        case ast.UnaryOp(op=op, operand=part):
            return -_number(part, values) if isinstance(op, ast.USub) else _number(part, values)
        case ast.Name(id=name) if name in _WORDS:
            return _WORDS[name]
    return values[next(_keys(node))]
