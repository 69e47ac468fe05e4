"""Paths as users write them: `~` is a home, `${SCRATCH}` a variable of the environment; and as others may see them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mer.errors import MerError, brief
from mer.redaction import names_a_secret

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<otherwise>[^{}$]*))?\}")
_LONGEST = 4096  # bytes of a path, by Linux
_FORM = "${NAME}, or ${NAME:-what to take when it is not set}"


def expanded(text: str, where: object) -> str:
    """Put values of the environment into a path: `${NAME}`, or `${NAME:-otherwise}`, as a shell would.

    A variable that is set to nothing counts as not set. One whose name speaks of a secret is refused: paths are printed
    and recorded.

    Args: where: the key or option that has the path, for messages.
    Raises: MerError naming the variable.
    """
    if len(text) > _LONGEST:
        raise MerError(where, f"got a path of {len(text)} characters", allowed=f"at most {_LONGEST}")

    def value(found: re.Match[str]) -> str:
        name, otherwise = found["name"], found["otherwise"]
        if names_a_secret(name):
            raise MerError(where, f"the variable {name} looks like a secret, which no path may hold")
        if given := os.environ.get(name):
            return given
        if otherwise is None:
            raise MerError(
                where,
                f"the environment variable {name} is not set",
                allowed=f"${{{name}:-DEFAULT}} where it may be missing",
                then=f"export {name}=... and run the command again",
            )
        return otherwise

    without = _VARIABLE.sub("", text)
    if "${" in without:
        raise MerError(where, f"got {brief(text)}", allowed=_FORM)
    return _VARIABLE.sub(value, text)


def home(path: str | Path, where: object = "") -> Path:
    """Return a path in which `~` and `~user` are replaced. Raises: MerError when there is no such user, or no home.

    Args: where: the key or option that has the path, for messages; "" for the path itself.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = Path(path).parts[0]
        found = f"{brief(name, quoted=False)} is nobody's home on this machine"
        raise MerError(where or path, found, allowed="~ for your own, or a path without ~") from None


def shown_place(place: Path | str) -> str:
    """Return a path as others may see it: a relative one as it is, of any other its last name.

    `/home/me/exports/spcl` becomes `spcl`.
    """
    text = str(place)
    return last_name(text) if text.startswith(("/", "~", "..")) else text


def last_name(place: str) -> str:
    return Path(place).name or "root"
