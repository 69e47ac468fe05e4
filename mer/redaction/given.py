"""What a text gives to names: `NAME=VALUE`, `name: value`, `"name": "value"`, `--name value`, `<name>value</name>`.

Time grows with the length of the text, whatever it holds: every pattern begins at a fixed place and is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mer.redaction.names import Kind, kind_of
from mer.redaction.text_kinds import TextKind

_NAME = re.compile(
    r"(?<![\w.])(?P<name>(?i:(?:api|access|secret|private|pass|account)[ ](?:key|token|phrase|word|code)s?)"
    r"|[A-Za-z_][\w.-]{0,99}+)(?P<close>\\?[\"'`]?\]?)"
)
_FAR = 500  # characters of a line that are looked at on each side
_GAP = r"[ \t]{0,40}"
_IS = re.compile(rf"{_GAP}(?P<sign>=>|:=|=(?![=~])|:(?!:)){_GAP}")
_HAS_TYPE = re.compile(rf"{_GAP}:{_GAP}[A-Za-z_][\w.\[\], |]{{0,60}}?[ \t]=[ \t]{_GAP}")  # password: str = "..."
_SET_TO_TEXT = re.compile(_HAS_TYPE.pattern + r"(?=[\"'S])")
_NEXT = re.compile(rf"{_GAP},{_GAP}(?=\\?[\"'])")  # ("password", "...")
_END = re.compile(">")
_LOGIN = re.compile(r"\blogin\s{1,8}\S{1,99}\s{1,8}$")  # machine h login ann password ...
_SPACE = re.compile(r"[ \t]{1,8}(?![-\s])")  # --password ...
_QUOTED = re.compile(
    r"(?:Secret(?:Str|Bytes)\(|str\(|bytes\(|[\[(]){0,2}[rbufRBUF]{0,2}"
    r"(?:(?P<three>\"\"\"|''')(?P<long>[^\n]{0,4000}?)(?P=three)"
    r"|\\(?P<escaped>[\"'])(?P<within>(?:(?!\\?[\"'])[^\n]){0,4000})\\(?P=escaped)"
    r"|(?P<quote>[\"'])(?P<value>(?:\\[^\n]|(?!(?P=quote))[^\\\n]){0,4000}+)(?P=quote))"
)
_WORD = re.compile(r"[^\s\"'`,;&|<>(){}\[\]\\]{1,4000}+")
_RUN = re.compile(r"[^\s\"'`]{1,4000}+")
_REST = re.compile(r"[^\s\"'`{\[|>&*!#](?:(?![ \t]#)[^\n\"`]){0,4000}+")
_FLOW = re.compile(r"[^\s\"'`,{}\[\]](?:[^\n\"'`,{}\[\]]){0,4000}+")
_BLOCK = re.compile(r"[|>][-+\d]{0,2}[ \t]*\n[-+ ]?[ \t]+(?P<value>[^\n]{1,4000})")
_ELEMENT = re.compile(r"[^<>\n]{1,4000}+(?=</)")


@dataclass(frozen=True)
class Given:
    """Something that is given to a name that speaks of a secret.

    Args:
        name, kind: the name, and how it speaks.
        start, end: where the value stands in its text.
        value: what stands there.
        quoted: in quotes, which are not part of it.
        how: "=" without spaces around it, " = " with them, ":", "," in a pair of quoted words, "--" after an option,
            "<>" in an element.
        before: what stands before the name on its line.
        after: what follows the value on its line.
    """

    name: str
    kind: Kind
    start: int
    end: int
    value: str
    quoted: bool
    how: str
    before: str
    after: str


def givens(text: str, kind: TextKind) -> Iterator[Given]:
    """Yield what is given to telling names, from the front; nothing is yielded twice."""
    position = 0
    while match := _NAME.search(text, position):
        position = match.end()
        named = kind_of(match["name"])
        if not named:
            continue
        if found := _given(text, match, named, kind):
            yield found
            position = found.end


def _given(text: str, match: re.Match[str], named: Kind, kind: TextKind) -> Given | None:
    line = max(0, match.start() - _FAR, text.rfind("\n", max(0, match.start() - _FAR), match.start()) + 1)
    before = text[line : match.start()]
    if before.endswith("/"):  # /etc/passwd
        return None
    close = match["close"]
    if named != "header" and (is_ := (_SET_TO_TEXT if kind == "settings" else _HAS_TYPE).match(text, match.end())):
        how = " = "
    elif is_ := _IS.match(text, match.end()):
        how = ":" if is_["sign"] == ":" else "=" if is_[0] == "=" else " = "
    elif close and (is_ := _NEXT.match(text, match.end())):
        how = ","
    elif (before.endswith("-") or _LOGIN.search(before)) and (is_ := _SPACE.match(text, match.end())):
        how = "--"
    elif before.endswith("<") and (is_ := _END.match(text, match.end())):
        how = "<>"
    else:
        return None
    found = _value(text, is_.end(), before, how, named, kind, in_string=_inside(text[line : is_.end()]))
    if found is None:
        return None
    value, start, quoted = found
    end = start + len(value)
    after = text[end : end + _FAR].partition("\n")[0]
    return Given(match["name"], named, start, end, value, quoted, how, before, after)


def _inside(front: str) -> bool:
    """Tell whether the end of a line's front stands inside quotes: a quote there ends a text, and begins none."""
    return front.count('"') % 2 == 1 or (front.count("'") % 2 == 1 and "\\'" not in front)


def _value(
    text: str, at: int, before: str, how: str, named: Kind, kind: TextKind, *, in_string: bool
) -> tuple[str, int, bool] | None:
    """Return a value, where it begins, and whether it is in quotes."""
    if how == "<>":
        found = _ELEMENT.match(text, at)
        return (found[0], at, True) if found else None
    if (not in_string or text.startswith("\\", at)) and (found := _QUOTED.match(text, at)):
        group = "long" if found["three"] else "within" if found["escaped"] else "value"
        return (found[group], found.start(group), True) if found[group] else None
    if kind == "settings" and (found := _BLOCK.match(text, at)):
        return found["value"], found.start("value"), False
    if named == "header":
        found = _REST.match(text, at)
    elif how in ("=", "--"):
        found = (_RUN if kind == "settings" else _WORD).match(text, at)
    elif kind == "code" or in_string or (kind == "prose" and how == " = "):
        found = _WORD.match(text, at)
    elif "{" in before:
        found = _FLOW.match(text, at)
    else:
        found = _REST.match(text, at)
    if not found:
        return None
    value = found[0].rstrip()
    return (value, at, False) if value else None
