"""Secrets that are known by their form: what services give out, private keys, passwords in addresses, random texts."""

from __future__ import annotations

import math
import re
from collections import Counter

LEFT_OUT = "[left out: {}]"

_AUTHORITY = r"[^\s/?#'\"<>`]"
_KNOWN = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:.|\n)*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)|\bAGE-SECRET-KEY-1[0-9A-Z]{20,}",
    "a key of AWS": r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})",
    "a token of GitLab": r"\bgl(?:pat|dt|rt|ptt|soat|cbt)-[\w-]{20,}",
    "a token of Hugging Face": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "an API key": r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\bdapi[0-9a-f]{32}\b|\bdo[opr]_v1_[0-9a-f]{40,}|\br8_[A-Za-z0-9]{30,}|\bNRAK-[A-Z0-9]{27}\b",
    "a token of a registry": r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{50,}|\bdckr_(?:pat|oat)_[\w-]{20,}"
    r"|\brubygems_[0-9a-f]{40,}",
    "a token of Slack": r"\bxox[abeoprs]-[\w-]{10,}|(?<=hooks\.slack\.com/services/)[\w/]{20,}",
    "a token of a bot": r"\b\d{8,10}:AA[\w-]{30,}|(?<=/api/webhooks/)\d{10,}/[\w-]{30,}",
    "a key of Google": r"\bAIza[\w-]{35}|\bGOCSPX-[\w-]{20,}|\bya29\.[\w-]{20,}",
    "a web token": r"\beyJ[\w-]{8,2000}\.eyJ[\w-]{8,9000}\.[\w-]*",
    "credentials": r"(?i:(?<=Bearer )[\w.~+/=-]{12,}|(?<=Basic )[\w+/=]{12,})",
    # of an address: up to the last @ before its path; or, where a password has signs of a path in it, up to the first
    "a password": rf"(?<=://)[^\s/:@'\"\[<>`]*:(?:{_AUTHORITY}+(?=@)|(?!\d{{1,5}}[/?#])[^\s'\"<>@`]{{1,200}}(?=@))"
    r"|(?<=://)(?=[A-Za-z_-]*\d)[\w-]{20,}(?=@)",
}
_FORMS = re.compile("|".join(f"(?P<f{index}>{form})" for index, form in enumerate(_KNOWN.values())))
_NAMES = list(_KNOWN)
_STANDS_FOR = re.compile(
    r"[\w.${}<>%-]*:(?:[A-Z][A-Z_]*|\$.*|\{.*|%.*|\*+|x+|\.+|(?<=\buser:)password|(?<=\busername:)password)"
)

_LITERAL = re.compile(r"(?P<quote>[\"'])(?P<value>[\w+/=.~-]{20,})(?P=quote)")
_RUN = re.compile(r"[A-Za-z0-9]{12}")  # without one it is a name of several words, or a version
_HEX, _FILE = re.compile(r"[0-9a-fA-F]+"), re.compile(r"/.*\.\w{1,11}$")
_VERY_RANDOM_BITS = 4.3


def without_known_forms(text: str) -> tuple[str, int]:
    """Return a text with a word in place of each secret of a known form, and how many there were."""
    found = 0

    def known(match: re.Match[str]) -> str:
        nonlocal found
        kind = _NAMES[int(str(match.lastgroup)[1:])]
        if kind == "a password" and _STANDS_FOR.fullmatch(match[0]):  # of an example
            return match[0]
        found += 1
        return LEFT_OUT.format(kind)

    return _FORMS.sub(known, text), found


def without_random_texts(text: str) -> tuple[str, int]:
    """Return a text with a word in place of each text in quotes that looks random, and how many there were.

    Hashes (hexadecimal digits) stay: code holds many.
    """
    found = 0

    def literal(match: re.Match[str]) -> str:
        nonlocal found
        value = match["value"]
        mixed = any(c.isdigit() for c in value) and any(c.isupper() for c in value) and any(c.islower() for c in value)
        if (
            not mixed
            or not _RUN.search(value)
            or _HEX.fullmatch(value)
            or _FILE.search(value)
            or bits(value) < _VERY_RANDOM_BITS
        ):
            return match[0]
        found += 1
        return f"{match['quote']}{LEFT_OUT.format('a random text')}{match['quote']}"

    return _LITERAL.sub(literal, text), found


def bits(text: str) -> float:
    """Shannon entropy of the characters of a text, bits a character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
