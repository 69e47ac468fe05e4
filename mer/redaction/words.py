"""The words of a command without its secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mer.redaction.names import names_a_secret
from mer.redaction.text import SECRET, without_secrets

_COUNT = re.compile(r"[\d.]{0,5}")  # a number, such as a switch or a limit; nobody's password
_USER = re.compile(r"(?P<user>[^:\s]+):(?!\d*$)\S+")
_WITH_USER = ("-u", "--user", "--proxy-user")  # of curl: NAME:PASSWORD


def words_without_secrets(words: Sequence[str]) -> list[str]:
    """Return the words of a command without secrets: values of `--set` keys and options with telling names, too."""
    kept: list[str] = []
    for index, word in enumerate(words):
        option = words[index - 1] if index else ""
        if _takes_a_secret(option) and not word.startswith("-") and not _COUNT.fullmatch(word):
            kept.append(SECRET)
        elif option in _WITH_USER and (match := _USER.fullmatch(word)):
            kept.append(f"{match['user']}:{SECRET}")
        else:
            kept.append(_without(word))
    return kept


def _takes_a_secret(option: str) -> bool:
    return option.startswith("-") and "=" not in option and names_a_secret(option.lstrip("-"))


def _without(word: str) -> str:
    """Clean one word: `KEY=VALUE`, also behind `--set=`, or any text."""
    keys = word.split("=")
    for count, key in enumerate(keys[:-1], start=1):
        value = "=".join(keys[count:])
        if re.fullmatch(r"[\w.-]+", key) and names_a_secret(key) and not _COUNT.fullmatch(value):
            return f"{'='.join(keys[:count])}={SECRET}"
    return without_secrets(word)[0]
