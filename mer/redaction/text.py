"""A text without its secrets: a word stands in the place of each."""

from __future__ import annotations

from mer.redaction.forms import LEFT_OUT, without_known_forms, without_random_texts
from mer.redaction.given import givens
from mer.redaction.text_kinds import TextKind, parts_of
from mer.redaction.values import is_secret

SECRET = LEFT_OUT.format("a secret")


def without_secrets(text: str) -> tuple[str, int]:
    """Return a text with a word in place of each secret, and how many there were.

    In a patch each file is read as what it is: code, settings or prose.
    """
    kept, found = [], 0
    for kind, part in parts_of(text):
        clean, count = _part_without(part, kind)
        kept.append(clean)
        found += count
    return "".join(kept), found


def _part_without(text: str, kind: TextKind) -> tuple[str, int]:
    text, known = without_known_forms(text)
    pieces, position, named = [], 0, 0
    for given in givens(text, kind):
        if is_secret(given, kind):
            pieces += [text[position : given.start], SECRET]
            position = given.end
            named += 1
    text, random = without_random_texts("".join([*pieces, text[position:]]))
    return text, known + named + random
