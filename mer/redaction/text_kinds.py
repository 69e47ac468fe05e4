"""What a text is: code, settings or prose. A patch has a part for each file; other texts are prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

from mer.redaction.names import set_of

TextKind = Literal["code", "settings", "prose"]

_FILE = re.compile(r"^diff --(?:git|cc|combined) .*$", re.MULTILINE)
_CODE = set_of("py pyi ipynb js ts jsx tsx java c cc cpp cu h hpp rs go rb kt scala swift cs php lua r jl pl sql")
_PROSE = set_of("md rst txt tex html csv tsv")


def parts_of(text: str) -> Iterator[tuple[TextKind, str]]:
    """Cut a patch into what it says of each file; yields any other text whole, as prose."""
    starts = [match.start() for match in _FILE.finditer(text)]
    if not starts or starts[0]:
        yield "prose", text[: starts[0] if starts else len(text)]
    for start, end in pairwise([*starts, len(text)]):
        first, newline, rest = text[start:end].partition("\n")
        yield "prose", first + newline
        yield _kind_of_file(first), rest


def _kind_of_file(line: str) -> TextKind:
    """Args: line: `diff --git a/x.py b/x.py`, where a name with odd signs is in quotes."""
    path = PurePosixPath(line.rstrip('"').rpartition("/")[2] or line)
    ending = path.suffix.lstrip(".").lower()
    return "code" if ending in _CODE else "prose" if ending in _PROSE else "settings"
