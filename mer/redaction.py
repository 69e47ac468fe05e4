"""Leave secrets out of what is stored: keys, tokens and passwords in commands and in changes of the code.

What services give out is known by its form (GitHub, GitLab, Hugging Face, AWS, Google, OpenAI, Anthropic, Slack,
Stripe, private keys, JSON web tokens, passwords in addresses); what else is given to a name such as `api_key`, or looks
random, is a secret too. The library for this, detect-secrets, names lines of a repository; it does not mend a text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

LEFT_OUT = "[left out: {}]"

_KNOWN = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.|\n)*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    "a key of AWS": r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})",
    "a token of GitLab": r"\bglpat-[\w-]{20,}",
    "a token of Hugging Face": r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "an API key": r"\b(?:sk|pk|rk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{20,}",
    "a token of Slack": r"\bxox[abeoprs]-[\w-]{10,}",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a web token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",
    "credentials": r"(?<=Bearer )[\w.~+/=-]{12,}|(?<=Basic )[\w+/=]{12,}",
    "a password": r"(?<=://)[^\s/:@'\"]*:[^\s/@'\"]+(?=@)",
}
_KNOWN_FORMS = re.compile("|".join(f"(?P<f{index}>{form})" for index, form in enumerate(_KNOWN.values())))
_NAMES = list(_KNOWN)

_SECRET_NAME = r"(?:pass(?:word|wd|phrase)|pwd|secret|token|api_?key|access_?key|private_?key|auth_?key|credential)s?"
_NAMED = re.compile(
    rf"(?P<name>\b[\w.-]*{_SECRET_NAME}[\w-]*)(?P<is>[\"']?\s*(?:=|:|=>)\s*[rbu]?)(?P<quote>[\"'])(?P<value>[^\"'\n]+)(?P=quote)",
    re.IGNORECASE,
)
_LITERAL = re.compile(r"(?P<quote>[\"'])(?P<value>[\w+/=.~-]{20,})(?P=quote)")
_KEY = re.compile(rf"(?:^|[._-]){_SECRET_NAME}(?:$|[._-])", re.IGNORECASE)
_HEX, _FILE = re.compile(r"[0-9a-fA-F]+"), re.compile(r"/.*\.\w{1,11}$")
_LEAST_CHARACTERS, _RANDOM_BITS, _VERY_RANDOM_BITS = 6, 2.5, 4.3


def without_secrets(text: str) -> tuple[str, int]:
    """Return a text with a word in place of each secret, and how many there were.

    Hashes (hexadecimal digits that no telling name is given) stay: code holds many.
    """
    found = 0

    def known(match: re.Match[str]) -> str:
        nonlocal found
        found += 1
        return LEFT_OUT.format(_NAMES[int(str(match.lastgroup)[1:])])

    def named(match: re.Match[str]) -> str:
        nonlocal found
        value = match["value"]
        plain = len(value) < _LEAST_CHARACTERS or _bits(value) < _RANDOM_BITS or " " in value
        if plain or value[0] in "<{[":  # a mask token, a format, what was left out before
            return match[0]
        found += 1
        return f"{match['name']}{match['is']}{match['quote']}{LEFT_OUT.format('a secret')}{match['quote']}"

    def literal(match: re.Match[str]) -> str:
        nonlocal found
        value = match["value"]
        mixed = any(c.isdigit() for c in value) and any(c.isupper() for c in value) and any(c.islower() for c in value)
        if not mixed or _HEX.fullmatch(value) or _FILE.search(value) or _bits(value) < _VERY_RANDOM_BITS:
            return match[0]
        found += 1
        return f"{match['quote']}{LEFT_OUT.format('a random text')}{match['quote']}"

    return _LITERAL.sub(literal, _NAMED.sub(named, _KNOWN_FORMS.sub(known, text))), found


def names_a_secret(name: str) -> bool:
    """Tell whether a key, an option or a variable of the environment is called like a secret."""
    return _KEY.search(name) is not None


def words_without_secrets(words: Sequence[str]) -> list[str]:
    """Return the words of a command without secrets: values of `--set` keys and options with telling names, too."""
    kept = []
    for word in words:
        key, separator, value = word.partition("=")
        secret = bool(separator and names_a_secret(key)) and not re.fullmatch(r"[\d.]*", value)
        kept.append(f"{key}={LEFT_OUT.format('a secret')}" if secret else without_secrets(word)[0])
    return kept


def _bits(text: str) -> float:
    """Shannon entropy of the characters of a text, bits a character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
