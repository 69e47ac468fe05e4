"""Leave out of shared texts where files lie on this machine: a path from the root or the home keeps its last name."""

from __future__ import annotations

import re
from typing import Any

from mer.places import last_name

_QUOTED = re.compile(r"(?P<quote>['\"`])(?P<place>(?:~[\w.-]*)?/[^'\"`\n]*)(?P=quote)")
_PLACE = re.compile(r"(?:(?<![\w.~/:$}%-])|(?<=\bfile:))(?:~[\w.-]*)?/(?!/)[^\s'\"`,;:()|<>]+")


def without_places(text: str) -> str:
    """Return a text in which every path from the root or a home is replaced by its last name."""
    text = _QUOTED.sub(lambda found: f"{found['quote']}{last_name(found['place'])}{found['quote']}", text)
    return _PLACE.sub(lambda found: last_name(found[0]), text)


def json_without_places(value: Any) -> Any:
    """Return JSON data in which every text is one `without_places`."""
    if isinstance(value, str):
        return without_places(value)
    if isinstance(value, dict):
        return {key: json_without_places(part) for key, part in value.items()}
    return [json_without_places(part) for part in value] if isinstance(value, list | tuple) else value
