"""Which names speak of a secret: of keys, options, headers and variables of the environment."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Literal

# strong: its value is a secret unless it is plainly none. weak: `token`, which is a word of text as often.
# header: of a request, whose value has words in it.
Kind = Literal["strong", "weak", "header", ""]


def set_of(text: str) -> frozenset[str]:
    """Make a set of the words of a text."""
    return frozenset(text.split())


_ALONE = set_of(
    "password passwords passwd passphrase passphrases passcode pwd pw secret secrets credential credentials apikey "
    "apikeys apitoken authtoken accesstoken accesskey secretkey privatekey authkey dsn pgpassword mysqlpwd"
)
_BEFORE_KEY = set_of(
    "api access secret private auth encryption decryption signing account master storage subscription "
    "ssh license app deploy client hmac jwt"
)
_PAIRS = frozenset(
    {("pass", "word"), ("pass", "phrase"), ("pass", "code"), ("pass", "words"), ("pass", "phrases"),
     ("connection", "string"), ("webhook", "url")}
)  # fmt: skip
_HEADERS = frozenset({"authorization", "cookie"})
_TOKENS = frozenset({"token", "tokens"})
_SECRET_TOKENS = set_of(
    "auth access api refresh bearer secret session hf github gitlab gh hub huggingface wandb bot personal deploy oauth "
    "oauth2 service user account security csrf xsrf jwt slack telegram discord npm pypi pat login"
)
_TOKENS_OF_TEXT = set_of(
    "mask pad bos eos unk sep cls special max min num n per image audio video text vision word sub prompt total new "
    "input output first last next prev previous start end begin stop blank added additional target source self"
)
_PASSES = set_of("forward backward first second third two one single multi by n num low high band full")
_FORMS = set_of("value string text plain raw")
# What comes last in names that tell of a secret without holding it.
_ABOUT = set_of(
    "path file files filename dir folder url uri name names id ids type types length len size count limit env var "
    "variable field fields prompt label hint help message messages title description policy manager provider class "
    "regex pattern ttl expiry expires expiration timeout min max required enabled mode kind store scheme format words "
    "rotation version ref index mask dropout pooling level classification classifier position positions embedding "
    "embeddings rule rules list backend source error errors page usage"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Za-z]+|\d+")


@lru_cache(maxsize=4096)
def kind_of(name: str) -> Kind:
    """Say whether what is given to a name is a secret; "": no."""
    parts = [word.lower() for word in _WORDS.findall(name[-200:])]
    while parts and parts[-1].isdigit():  # password2
        parts.pop()
    is_pair = (*parts[-2:],) in _PAIRS
    if len(parts) > 1 and parts[-1] in _FORMS and not is_pair:  # secret_value
        parts.pop()
    if not parts or (parts[-1] in _ABOUT and not is_pair):
        return ""
    if parts[-1] in _HEADERS:
        return "header"
    if parts[-1] in _TOKENS:
        return _token(name, parts)
    if parts[-1] == "pass":
        return "strong" if len(parts) > 1 and parts[-2] not in _PASSES else ""
    pairs = list(pairwise(parts))
    if any(pair in _PAIRS or (pair[1] in ("key", "keys") and pair[0] in _BEFORE_KEY) for pair in pairs):
        return "strong"
    return "strong" if _ALONE.intersection(parts) else ""


def _token(name: str, parts: list[str]) -> Kind:
    before = parts[-2] if len(parts) > 1 else ""
    if before in _TOKENS_OF_TEXT or (parts[-1] == "tokens" and before not in _SECRET_TOKENS):
        return ""
    is_variable = name.isupper() and len(parts) > 1
    return "strong" if before in _SECRET_TOKENS or is_variable or _ALONE.intersection(parts) else "weak"


def names_a_secret(name: str) -> bool:
    """Tell whether a key, an option or a variable of the environment is called like a secret."""
    return kind_of(name) != ""
