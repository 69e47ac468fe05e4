"""The plain values of a pickle: numbers, texts, lists, dictionaries and arrays of numbers. Nothing in it is run.

Two guards. Before anything is loaded, every instruction is looked at: only those that build plain values are allowed,
with a bound on their number. While it is loaded, the five names by which NumPy writes arrays lead to stand-ins of ours,
which keep what they are given; every other name is refused. So neither a function of a stranger nor the code with which
NumPy restores arrays is called; an array is made of its bytes at last, once its type and its size were checked.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from mer.errors import MerError
from mer.read_files import open_regular

LARGEST_BYTES = 2**35
MOST_INSTRUCTIONS = 50_000_000  # MOSEI's 23 000 ids, texts and labels take less than a million
MOST_LEVELS = 16
NEWEST = 5  # protocol
_THEN = "ask whoever made it for .npz or .safetensors; mer never runs a pickle"
_ALLOWED = "NumPy arrays of numbers, texts, numbers, lists and dictionaries"
_PLAIN = {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG",
    "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "APPEND",
    "APPENDS", "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM",
    "SETITEMS", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GLOBAL", "STACK_GLOBAL",
    "REDUCE", "BUILD",
}  # fmt: skip
_KINDS = "biuf"


class _Refused(Exception):
    """A pickle that holds more than plain values; str() says what."""


def read_plain(path: Path) -> Any:
    """Read the plain values of a pickle. Raises: MerError for everything else, before it is made."""
    try:
        with open_regular(path) as stream:
            if (size := path.stat().st_size) > LARGEST_BYTES:
                raise _Refused(f"has {size} bytes, at most {LARGEST_BYTES} are read")
            _look_through(stream)
            stream.seek(0)
            return _made(_Plain(stream, encoding="latin1").load(), {})
    except _Refused as fault:
        raise MerError(path, f"a pickle that is not read: {fault}", allowed=_ALLOWED, then=_THEN) from fault
    except OSError as fault:
        raise MerError(path, f"cannot be read: {fault.strerror or fault}", then=_THEN) from fault
    except (RecursionError, MemoryError) as fault:
        raise MerError(path, "a pickle that is not read: it is too large or too deep", then=_THEN) from fault
    except Exception as fault:  # a pickle that is broken on purpose raises whatever it likes
        raise MerError(path, "no pickle of plain values, or not a whole one", allowed=_ALLOWED, then=_THEN) from fault


def _look_through(stream: IO[bytes]) -> None:
    """Look at every instruction; make nothing. Raises: _Refused; ValueError for what is no pickle."""
    for number, (code, argument, _) in enumerate(pickletools.genops(stream)):
        name = code.name
        if name not in _PLAIN:
            raise _Refused(f"it has the instruction {name}, which plain values do not need")
        if number > MOST_INSTRUCTIONS:
            raise _Refused(f"it has more than {MOST_INSTRUCTIONS} instructions")
        if name == "PROTO" and int(argument or 0) > NEWEST:
            raise _Refused(f"it is written in protocol {argument}, at most {NEWEST} is read")
        if (
            name.endswith("PUT") and int(argument or 0) > number
        ):  # the memory of this table grows with the largest number
            raise _Refused(f"it numbers value {argument} before there are so many")
        if name == "GLOBAL":
            _stand_in(*str(argument).split(" ", 1))


class _Plain(pickle.Unpickler):  # noqa: S301 - every instruction was looked at, and every name is a stand-in
    """Loads by stand-ins alone."""

    def find_class(self, module: str, name: str) -> Any:
        return _stand_in(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("it refers to values that lie elsewhere")


class _Array:
    """What a pickle says of an array."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else ()


class _Type:
    """What a pickle says of the type of an array: `f4`, and the order of its bytes."""

    __slots__ = ("name", "order")

    def __init__(self, name: str) -> None:
        self.name, self.order = name, "="

    def __setstate__(self, state: Any) -> None:
        plain = isinstance(state, tuple) and len(state) >= 2 and state[1] in ("<", ">", "|", "=")
        if not plain or any(part is not None for part in state[2:5]):
            raise _Refused("an array in it is of a type with parts")
        self.order = state[1]


def _new_array(kind: Any = None, shape: Any = None, code: Any = None) -> _Array:
    return _Array()


def _new_type(name: Any = None, align: Any = False, copy: Any = False) -> _Type:
    if not isinstance(name, str) or len(name) > 16:
        raise _Refused(f"an array in it is of type {str(name)[:40]}")
    return _Type(name)


def _array_of_bytes(content: Any = b"", kind: Any = None, shape: Any = (), order: Any = "C") -> _Array:
    array = _Array()
    array.state = (1, shape, kind, order == "F", content)
    return array


def _scalar(kind: Any = None, content: Any = b"") -> _Array:
    array = _Array()
    array.state = (1, (), kind, False, content)
    return array


def _bytes_of(text: Any = "", encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("it encodes a text in another way than Python 2 did")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _no_array(*arguments: Any) -> Any:
    raise _Refused("it makes an array in another way than NumPy writes one")


class _StandIn:
    """Is called in the place of what a pickle names, and takes no attributes from it."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it changes a function")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"{core}.multiarray", "_reconstruct"): _new_array for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _array_of_bytes for core in ("numpy.core", "numpy._core")},
    ("numpy", "ndarray"): _no_array,  # the class is only ever an argument
    ("numpy", "dtype"): _new_type,
    ("_codecs", "encode"): _bytes_of,
    **{(builtins, "bytes"): _no_bytes for builtins in ("builtins", "__builtin__")},  # so protocol 2 writes b""
}


def _stand_in(module: str, name: str) -> Any:
    if (module, name) not in _STAND_INS:
        raise _Refused(f"it calls {module}.{name}"[:200])
    return _StandIn(_STAND_INS[module, name])


def _made(value: Any, done: dict[int, Any], level: int = 0) -> Any:
    """Replace stand-ins by arrays. Args: done: what was made, by identity: a value may be there many times."""
    if level > MOST_LEVELS:
        raise _Refused(f"its values are nested more than {MOST_LEVELS} levels deep")
    if value is None or isinstance(value, str | int | float | bool | bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    if id(value) in done:
        return done[id(value)]
    made: Any
    if isinstance(value, _Array):
        made = _array(value, done, level)
    elif isinstance(value, list | tuple):
        made = [_made(item, done, level + 1) for item in value]
    elif isinstance(value, dict):
        made = {_key(key, done): _made(item, done, level + 1) for key, item in value.items()}
    else:
        raise _Refused(f"it holds {type(value).__name__.strip('_')}, alone")
    done[id(value)] = made
    return made


def _key(key: Any, done: dict[int, Any]) -> str | int:
    made = _made(key, done)
    if isinstance(made, str | int):
        return made
    raise _Refused(f"a key in it is of type {type(made).__name__}")


def _array(stood: _Array, done: dict[int, Any], level: int) -> Any:
    """Make the array that a stand-in tells of: numbers from bytes; texts and lists of plain values as a list."""
    if len(stood.state) != 5:
        raise _Refused("an array in it has no content")
    _, shape, kind, fortran, content = stood.state
    if isinstance(shape, int):
        shape = (shape,)
    sides = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if not sides or not isinstance(kind, _Type):
        raise _Refused("an array in it has no shape or no type")
    if kind.name[:1] == "O":
        return _plain_objects(content, shape, done, level)
    if isinstance(content, str):
        content = content.encode("latin1")
    letter, digits = kind.name[:1], kind.name[1:]
    if letter not in _KINDS + "US" or not digits.isdigit() or not isinstance(content, bytes | bytearray):
        raise _Refused(f"an array in it is of type {kind.name}")
    dtype = np.dtype(f"{'=' if kind.order == '|' else kind.order}{letter}{int(digits)}")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise _Refused(f"an array of shape {shape} and type {kind.name} in it has {len(content)} bytes")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    if letter in "US":
        words = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in array.ravel().tolist()
        ]
        return _rows(words, shape) if shape else words[0]
    return array if shape else array[()].item()


def _plain_objects(content: Any, shape: tuple[int, ...], done: dict[int, Any], level: int) -> list[Any]:
    """Return an array of objects as a list, where these are texts or numbers; NumPy writes lists of texts so."""
    items = content if isinstance(content, list) else None
    if items is None or len(items) != math.prod(shape):
        raise _Refused("an array of objects in it has no content")
    made = [_made(item, done, level + 1) for item in items]
    if not all(isinstance(item, str | int | float) for item in made):
        raise _Refused("an array in it holds Python objects (dtype object)")
    return _rows(made, shape)


def _rows(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return one entry for each row: texts of several columns (video, start, end) are joined."""
    if len(shape) != 2 or not items or not all(isinstance(item, str) for item in items):
        return items
    return ["_".join(items[start : start + shape[1]]) for start in range(0, len(items), shape[1])]
