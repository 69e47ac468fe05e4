"""README.zh-CN.md says what README.md says: the same headings, commands, keys, numbers and links, in the same order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))


def headings(text: str) -> list[int]:
    """Levels of the headings, in their order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", re.sub(r"^( {4}|```).*", "", text, flags=re.M), re.M)]


def code(text: str) -> list[str]:
    """Lines of code blocks, without comments and blanks at their end."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) + re.findall(r"^ {4}\S.*", text, re.M)
    lines = [re.sub(r"(^|\s)#\s.*", "", line).rstrip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def numbers(text: str) -> list[list[str]]:
    """Numbers of each row of the tables."""
    rows = re.findall(r"^\|.*", text, re.M)
    return [re.findall(r"\d+(?:\.\d+)?", row) for row in rows]


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"}


def commands(text: str) -> list[str]:
    """Names in the first cells of the table of commands."""
    return [name for cell in re.findall(r"^\| (`[^|]*) \|", text, re.M) for name in re.findall(r"`([^`]+)`", cell)]


def fractions(text: str) -> set[str]:
    """Numbers with a decimal point anywhere: what was measured."""
    return set(re.findall(r"\d+\.\d+", text))


@pytest.mark.parametrize("what", [headings, code, numbers, links, commands, fractions], ids=lambda one: one.__name__)
def test_the_two_readmes_are_in_step(what):
    english, chinese = what(ENGLISH), what(CHINESE)
    assert english
    assert chinese == english
