"""Read files that others may have written: regular files only, of bounded size; JSON that is as its reader expects it.

A pipe would hang whoever opens it and a device has no end. JSON may nest without end, name a key twice, or hold numbers
of a million digits and halves of characters; none of them reaches a caller.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mer.errors import MerError
from mer.terminal.escapes import neutral
from mer.validation_words import allowed_words

if TYPE_CHECKING:  # --help does not wait for pydantic
    from pydantic import BaseModel, ValidationError

    Model = TypeVar("Model", bound=BaseModel)

LARGEST_JSON_BYTES = 32 * 2**20  # the record of 10 000 prepared clips has 6 MB
MOST_LEVELS = 64  # of nesting; our own files have ten
MOST_DIGITS = 40
_SHOWN_CHARACTERS, _LONGEST_KEY = 60, 200

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_JSON_WORDS = {  # where JSON has other words than YAML
    "string_type": "text", "dict_type": "an object", "model_type": "an object",
    "string_pattern_mismatch": "text of another form",
}  # fmt: skip


class NoRegularFile(OSError):
    """A folder, a pipe, a socket or a device where a file should be. It was not opened."""

    def __init__(self, kind: str, path: object) -> None:
        super().__init__(errno.EINVAL, f"not a file but {kind}", str(path))
        self.kind, self.path = kind, path

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, self.path)


class Unreadable(MerError, ValueError):
    """A file whose content is not what it should be."""


def require_regular(path: Path) -> os.stat_result:
    """Return the status of a regular file; a link is followed. Raises: OSError; NoRegularFile for anything else."""
    return _regular(path.stat(), path)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file to read its bytes. Never waits. Raises: OSError; NoRegularFile for anything else."""
    require_regular(path)  # first, since opening a device may do something
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _regular(os.fstat(handle), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path, *, largest: int, then: str = "") -> bytes:
    """Read a whole file. Raises: OSError; Unreadable for a file of more than `largest` bytes."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > largest:
            raise Unreadable(path, f"has {size} bytes", allowed=f"at most {largest}", then=then)
        return stream.read()


def read_json(path: Path, *, then: str = "", largest: int = LARGEST_JSON_BYTES) -> Any:
    """Read a JSON file of at most `largest` bytes.

    Args: then: what to do about a fault.
    Raises: OSError; Unreadable saying what is wrong with it.
    """
    return parse_json(read_bytes(path, largest=largest, then=then), path, then=then)


def parse_json(content: bytes | str, where: object, *, then: str = "") -> Any:
    """Read JSON of bounded depth, each key once, without halves of characters.

    Args: where: the place of the content, for the message.
    Raises: Unreadable.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = json.loads(text, parse_int=_whole, object_pairs_hook=_once)
        if fault := _fault_in(value, may_have_halves="\\ud" in text or "\\uD" in text):
            raise ValueError(fault)
    except UnicodeDecodeError as fault:
        raise Unreadable(where, f"not JSON: byte {fault.start} is not UTF-8", then=then) from None
    except json.JSONDecodeError as fault:
        found = f"not JSON: {fault.msg.removesuffix(' at')} at line {fault.lineno}, column {fault.colno}"
        raise Unreadable(where, found, then=then) from None
    except RecursionError:
        raise Unreadable(where, _TOO_DEEP, then=then) from None
    except ValueError as fault:
        raise Unreadable(where, str(fault), then=then) from None
    return value


def read_object(path: Path, *, then: str = "", largest: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """`read_json` of a file that holds an object."""
    return as_object(read_json(path, then=then, largest=largest), path, then=then)


def as_object(value: Any, where: object, *, then: str = "") -> dict[str, Any]:
    """Return a JSON value that is an object. Raises: Unreadable for any other."""
    if not isinstance(value, dict):
        raise Unreadable(where, f"is {shown(value)}", allowed="a JSON object", then=then)
    return value


def read_model(path: Path, model: type[Model], *, then: str = "") -> Model:
    """Read a JSON file as a Pydantic model. Raises: OSError; Unreadable naming the first key at fault."""
    return as_model(read_json(path, then=then), model, path, then=then)


def as_model(value: Any, model: type[Model], where: object, *, then: str = "") -> Model:
    """Check a JSON value by a Pydantic model. Raises: Unreadable naming the first key at fault."""
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError as error:
        found, allowed = complaint(error)
        raise Unreadable(where, found, allowed=allowed, then=then) from None


def complaint(error: ValidationError) -> tuple[str, str]:
    """Word the first fault that Pydantic found: what is wrong with which key, and what is allowed ("" if unknown)."""
    fault = error.errors(include_url=False)[0]
    place = [str(part) for part in fault["loc"] if part != "[key]"]  # pydantic's mark of a key itself
    key, kind = neutral(".".join(place))[:_LONGEST_KEY] or "the whole", fault["type"]
    if kind == "missing":
        return f"{key} is missing", ""
    if kind == "extra_forbidden":
        return f"{key} is unknown", ""
    if kind in ("value_error", "assertion_error"):
        why = str(fault.get("ctx", {}).get("error", fault["msg"]))
        return (f"{key}: {why}" if place else why), ""
    allowed = _JSON_WORDS.get(kind) or allowed_words(fault)
    return f"{key} is {shown(fault['input'])}", allowed


def shown(value: Any) -> str:
    """Write a JSON value for a message: in short, and without characters that a terminal would obey."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        text = repr(value[: 2 * _SHOWN_CHARACTERS])
    else:
        text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


_TOO_DEEP = f"its values are nested more than {MOST_LEVELS} levels deep"


def _regular(status: os.stat_result, path: Path) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode):
        raise NoRegularFile(KINDS.get(stat.S_IFMT(status.st_mode), "something else"), path)
    return status


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits, at most {MOST_DIGITS} are read")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} is there twice")
    return found


def _fault_in(value: Any, *, may_have_halves: bool) -> str:
    """Say what no reader of ours expects in a value: too many levels, halves of characters; "" if there is nothing."""
    inside = [value]
    for _ in range(MOST_LEVELS + 1):
        if may_have_halves and any(_has_half(one) for one in inside):
            return "it holds half of a character (a lone surrogate), which is no text"
        if not any(isinstance(one, dict | list) for one in inside):
            return ""
        inside = [part for one in inside for part in _parts(one)]
    return _TOO_DEEP


def _parts(value: Any) -> list[Any]:
    return [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def _has_half(value: Any) -> bool:
    return isinstance(value, str) and any(0xD800 <= ord(character) <= 0xDFFF for character in value)
