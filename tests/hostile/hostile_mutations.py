"""Mutate whole files: bytes, lines, and values inside JSON or YAML trees, by values that readers stumble over."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

BYTES = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x1b[2J",
    b"\x1b]0;x\x07",
    b"\r",
    b"\t",
    b"\n\n",
    b"{",
    b"]",
    b'"',
    b":",
]
HUGE_INTEGER = 10**400
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, HUGE_INTEGER, -HUGE_INTEGER, 0.5, -0.0, 1e308, 5e-324,
    float("inf"), float("nan"), "", " ", "5", "true", "nan", "json:", "json:[1", "a" * 100_000, "\x00", "\x1b[2J",
    "\u202eabc", "../../etc/passwd", "~nosuchuser/x", "=cmd|' /C calc'!A0", [], [[]], [None], [1, "a", None], {},
    {"": 0}, {"a": {"b": {}}}, {"kind": "none"},
]  # fmt: skip


def deep(levels: int) -> Any:
    """Return a list inside a list, so many times."""
    tree: Any = 0
    for _ in range(levels):
        tree = [tree]
    return tree


def mutated_bytes(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Change one place of a file. Returns what was done, and the new content."""
    what = rng.choice(("cut", "byte", "insert", "remove", "repeat line", "remove line", "swap lines", "repeat all"))
    place, other = (rng.randrange(len(content) + 1) for _ in range(2))
    if what == "cut":
        return what, content[:place]
    if what == "byte":
        return what, content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    if what == "insert":
        return what, content[:place] + rng.choice(BYTES) + content[place:]
    if what == "remove":
        return what, content[: min(place, other)] + content[max(place, other) :]
    lines = content.splitlines(keepends=True) or [b""]
    one, two = (rng.randrange(len(lines)) for _ in range(2))
    if what == "repeat line":
        lines.insert(two, lines[one])
    elif what == "remove line":
        lines.pop(one)
    elif what == "swap lines":
        lines[one], lines[two] = lines[two], lines[one]
    else:
        lines += lines
    return what, b"".join(lines)


def mutated_tree(tree: Any, rng: random.Random) -> tuple[str, Any]:
    """Change one value or key of a JSON-like tree. Returns what was done, and a copy with the change."""
    changed = copy.deepcopy(tree)
    node, key = rng.choice(list(_places(changed)) or [(None, None)])
    if node is None:
        return "whole replaced", rng.choice(VALUES)
    what = rng.choice(("value", "value", "value", "removed", "wrapped", "renamed", "deep"))
    value = node[key]
    if what == "value":
        new = rng.choice(VALUES)
        node[key] = new
        return f"value {_word(new)}", changed
    if what == "removed":
        del node[key]
    elif what == "wrapped":
        node[key] = rng.choice([[value], {"x": value}, json.dumps(value, default=str)])
    elif what == "renamed" and isinstance(node, dict):
        del node[key]
        node[rng.choice([f"{key}x", "", "\x1b[2J", "a" * 5000, f"{key}.{key}"])] = value
    else:
        node[key] = deep(rng.choice([50, 400, 3000]))
        return "deep value", changed
    return what, changed


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value inside a tree."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def _word(value: Any) -> str:
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 65 else "10**400"
    return text if len(text) < 25 else f"{text[:20]}..."


def json_bytes(tree: Any) -> bytes:
    """Write a tree as JSON, however deep it is and whatever numbers it holds."""
    if isinstance(tree, dict):
        return b"{" + b", ".join(_text(key) + b": " + json_bytes(value) for key, value in tree.items()) + b"}"
    if not isinstance(tree, list):
        return (
            str(tree).encode()
            if isinstance(tree, int) and not isinstance(tree, bool)
            else json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")
        )
    levels = 0
    while isinstance(tree, list) and len(tree) == 1:
        tree, levels = tree[0], levels + 1
    inside = b", ".join(map(json_bytes, tree)) if isinstance(tree, list) else json_bytes(tree)
    inside = b"[" + inside + b"]" if isinstance(tree, list) else inside
    return b"[" * levels + inside + b"]" * levels


def _text(key: Any) -> bytes:
    return json.dumps(str(key), ensure_ascii=False).encode("utf-8", "surrogatepass")
