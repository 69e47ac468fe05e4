"""Whether what is given to a telling name is a secret.

In code most of what follows a name is an expression, in prose a sentence; a file of settings holds values.
"""

from __future__ import annotations

import re
from itertools import pairwise

from mer.redaction.forms import bits
from mer.redaction.given import Given
from mer.redaction.names import names_a_secret, set_of
from mer.redaction.text_kinds import TextKind

_NO_SECRET = set_of(
    "none null nil true false yes no on off undefined auto default required optional enabled disabled inherit include "
    "omit same-origin string str int integer float number bool boolean bytes object any dict list tuple set"
)
_STANDS_FOR = re.compile(
    r"\$\w+$|\$[{(].*|%\(.*|%[a-z]$|%\w+%$|\{.*|<.*|\[.*|(.)\1*$"
    r"|[A-Z][A-Z_-]*$|(?:your|insert|enter|the)[-_ ].*|\.{3}.*|!\w.*"
)
_PLACE = re.compile(r"(?:~|\.{1,2})?/[\w. /-]*$|(?:https?|file)://[^\s@]*$")
_TYPE = re.compile(r"(?:[A-Z][a-z]+){1,5}(?:\[.*)?$|(?:Optional|Union|Annotated|Literal|Final)\b|[A-Za-z_]\w*\[")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*$")
_CALLED = re.compile(r"\w[(\[]")
_COMMENT = re.compile(r"(?:^|\s)(?:#|//)")
_NUMBER = re.compile(r"[+-]?[\d_.,]+(?:e[+-]?\d+)?\s?[kKmMgG]?[bB]?$")
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Digest|ApiKey|Api-Key|Negotiate|AWS4-HMAC-SHA256)\s+", re.IGNORECASE)
_OF_SENTENCES = set_of(
    "a an the is are was were be been not must may can cannot of to for from in on at by with that this these it its "
    "no your our please and or if when you we as has have had do does"
)
_LEFT_OUT_BEFORE = "[left out:"
_LEAST, _LEAST_OF_TOKENS, _RANDOM_BITS, _LONG = 4, 6, 2.0, 20


def is_secret(given: Given, kind: TextKind) -> bool:
    """Tell whether a value is one to leave out."""
    value = given.value.strip()
    if kind == "code" and not given.quoted and (given.how == "--" or _COMMENT.search(given.before)):
        kind = "prose"
    if _LEFT_OUT_BEFORE in value or value.lower().rstrip(".,;)") in _NO_SECRET or _STANDS_FOR.match(value):
        return False
    if given.kind == "header":
        return _is_header(value, kind)
    if _PLACE.match(value) or len(value) < (_LEAST if kind != "settings" else _LEAST - 1):
        return False
    if given.kind == "weak" and not _is_token(value):
        return False
    if _NUMBER.match(value) and len(value) < _LEAST_OF_TOKENS:
        return False
    if " " in value:
        return _is_phrase(given, value, kind)
    if given.quoted:
        return kind == "settings" or not (re.fullmatch(r"[\w.-]+", value) and names_a_secret(value))
    if kind == "settings":
        return True
    return _is_written_out(given, value, kind)


def _is_token(value: str) -> bool:
    """Words of a text, counts and marks are no tokens of a service."""
    if " " in value or _NUMBER.match(value) or len(value) < _LEAST_OF_TOKENS or bits(value) < _RANDOM_BITS:
        return False
    if value.isalpha():
        return len(value) >= _LONG or _is_mixed(value)
    return not _CALLED.search(value)


def _is_mixed(value: str) -> bool:
    """True of letters and digits, or large and small letters, in no order of words."""
    kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" for c in value if c.isalnum()]
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes >= 4 and len(value) >= 2 * _LEAST


def _is_header(value: str, kind: TextKind) -> bool:
    bare = _SCHEME.sub("", value, count=1)
    if len(bare) < _LEAST - 1 or _STANDS_FOR.match(bare) or bare[0] in "+\"'" or bare.startswith("&"):
        return False
    if bare != value:
        return kind == "settings" or " " not in bare or "=" in bare
    one = " " not in bare and not _TYPE.match(bare) and not _DOTTED.match(bare)
    return "=" in bare.partition(" ")[0] or (one and (any(c.isdigit() for c in bare) or len(bare) >= _LONG))


def _is_phrase(given: Given, value: str, kind: TextKind) -> bool:
    """Tell a pass phrase from a sentence about one."""
    parts = value.split()
    if given.how == "=" and not given.quoted:
        return True
    if value[-1] in ".:!?" or "%s" in value or "{" in value or len(parts) > 15:
        return False
    if kind == "settings":
        return True
    plain = all(re.fullmatch(r"[\w'-]+", word) for word in parts)
    about = any(word.lower() in _OF_SENTENCES or names_a_secret(word) for word in parts)
    if given.quoted:
        is_data = kind == "prose" and given.before.endswith(('"', "'"))
        return is_data or not about
    return plain and not about and len(parts) >= 3 and "pass" in given.name.lower() and kind == "prose"


def _is_written_out(given: Given, value: str, kind: TextKind) -> bool:
    """Tell a value without quotes, in code or prose, from an expression or a word."""
    follows = given.after[:1]
    if (follows and follows in "([{") or _DOTTED.match(value):
        return False
    if given.name.isupper() and given.how == "=":  # as a shell has it
        return True
    digits = sum(c.isdigit() for c in value)
    made_up = _is_mixed(value) or (not _IDENTIFIER.match(value) and digits)
    if _TYPE.match(value):
        return False
    if made_up or given.before.endswith(("?", "&")):  # of an address
        return True
    if names_a_secret(value):
        return False
    if kind == "code":
        return given.how == ":" and digits > 0 and (given.kind == "strong" or len(value) >= 2 * _LEAST_OF_TOKENS)
    if digits and len(value) >= _LEAST_OF_TOKENS:
        return True
    if given.how == "--":
        return not re.match(r"[ \t]+[a-z]", given.after) and value.lower() not in _OF_SENTENCES
    if given.how == "=":
        return not (follows in (",", ")") and _IDENTIFIER.match(value))
    return given.how == ":" and not given.after.strip(" \t,;")
