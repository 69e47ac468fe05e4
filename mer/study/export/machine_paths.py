"""Leave out of shared texts where files lie on this machine: a path from the root or the home keeps its last name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_QUOTED = re.compile(r"(?P<quote>['\"`])(?P<place>(?:~[\w.-]*)?/[^'\"`\n]*)(?P=quote)")
_PLACE = re.compile(r"(?:(?<![\w.~/:$}%-])|(?<=\bfile:))(?:~[\w.-]*)?/(?!/)[^\s'\"`,;:()|<>]+")


def shown_place(place: Path | str) -> str:
    """Return a relative path as it is, and of any other its last name: `/home/me/exports/spcl` -> `spcl`."""
    text = str(place)
    return _last(text) if text.startswith(("/", "~", "..")) else text


def without_places(text: str) -> str:
    """Return a text in which every path from the root or a home is replaced by its last name."""
    text = _QUOTED.sub(lambda found: f"{found['quote']}{_last(found['place'])}{found['quote']}", text)
    return _PLACE.sub(lambda found: _last(found[0]), text)


def json_without_places(value: Any) -> Any:
    """Return JSON data in which every text is one `without_places`."""
    if isinstance(value, str):
        return without_places(value)
    if isinstance(value, dict):
        return {key: json_without_places(part) for key, part in value.items()}
    return [json_without_places(part) for part in value] if isinstance(value, list | tuple) else value


def _last(place: str) -> str:
    return Path(place).name or "root"
