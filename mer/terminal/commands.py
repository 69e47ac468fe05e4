"""Commands that are printed for the user to paste: every word quoted for the shell, whatever folders are called."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def command(module: str, *words: object) -> str:
    """Write `python -m MODULE WORD ...`.

    Args: words: options, their values, and places as Path objects, which no leading dash may turn into an option.
    """
    return " ".join(["python -m", module, *(quoted(word) for word in words)])


def quoted(word: object) -> str:
    """Quote a word for the shell; a place that begins with a dash becomes one under `./`."""
    text = str(word)
    return shlex.quote(f"./{text}" if isinstance(word, Path) and text.startswith("-") else text)


def changed(options: Mapping[str, tuple[object, object]]) -> list[object]:
    """List the words of options that differ from their defaults.

    Args: options: name -> (value, default).
    """
    return [word for name, (value, usual) in options.items() if str(value) != str(usual) for word in (name, value)]
