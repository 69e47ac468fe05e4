"""Read YAML that others may have written: of bounded size and depth, aliases counted; only plain values come out.

A file of one kilobyte can stand for a billion values: nine lists, each of nine aliases of the one before. Tags make a
parser build other things than text and numbers. `1e-4` is a number here; by YAML 1.1 it is text, and `1.0e-4` a number.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mer.errors import Faults, MerError, brief
from mer.read_files import read_bytes

KeyPath = tuple[str | int, ...]

LARGEST_BYTES = 2**20
MOST_VALUES = 100_000  # aliases count wherever they stand
MOST_LEVELS = 40
MOST_FAULTS = 100  # who reads a hundred faults mends the cause of most with the first

_TAG = "tag:yaml.org,2002:"
_NOT_YAML = "is not YAML"
_PLAIN_TAGS = {"scalar": ("str", "int", "float", "bool", "null"), "list": ("seq",), "mapping": ("map",)}
_TEXT_TAGS = ("str", "merge", "value")
_BOMS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}  # fmt: skip
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]")
_EXACT = 2**53  # whole numbers beyond it are not exact in floating point, and none of our settings needs them
_MOST_DIGITS = 40  # underscores and colons among them
_WHOLE = f"whole numbers up to {_EXACT}, or text in quotes"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times faster with libyaml
    """Gives events and resolves what a bare scalar is. Nothing is composed or constructed by it."""


_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass
class Document:
    """A parsed document.

    Args:
        data: dictionaries with text as keys, lists, text, whole and finite numbers, true, false and None.
        lines: path of a key or item -> its line, from 1.
        faults: what is wrong with it and did not keep the rest from being read.
        unread: path of what is wrong; its value is None, or left out.
    """

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[MerError] = field(default_factory=list)
    unread: list[KeyPath] = field(default_factory=list)


def read_yaml_file(path: Path, *, largest: int = LARGEST_BYTES) -> Document:
    """Read a YAML file. Raises: OSError; MerError when it is too large, not text, or not YAML."""
    content = read_bytes(path, largest=largest)
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as fault:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise MerError(
            path, f"is not {name} text ({fault.reason} at byte {fault.start})", then="save it as UTF-8"
        ) from fault
    return parse_yaml(text, path)


def parse_yaml(text: str, where: object) -> Document:
    """Parse one document. Raises: MerError naming the line when it is not YAML, or goes beyond the bounds.

    Args: where: the file, for messages.
    """
    document = Document()
    try:
        node = _Composer(_Loader(text), where).compose()
        if node is not None:
            document.data = _Builder(document, where).build(node, ())
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        words = ", ".join(part for part in (fault.context, fault.problem) if part)
        raise MerError(f"{where}:{line}", f"{_NOT_YAML}: {words}", then="mind indentation, colons, quotes") from fault
    except yaml.YAMLError as fault:  # a character that no YAML may hold
        line = text.count("\n", 0, getattr(fault, "position", 0)) + 1
        raise MerError(f"{where}:{line}", f"{_NOT_YAML}: {str(fault).splitlines()[0]}", then="take it out") from fault
    except UnicodeEncodeError as fault:  # of a command line: bytes that are no text in this locale
        raise MerError(where, f"{_NOT_YAML}: not UTF-8 text") from fault
    return document


def plain_value(text: str, where: object) -> Any:
    """Read the YAML value that a user typed on a command line. Raises: MerError, `where` naming the option."""
    try:
        document = parse_yaml(text, where)
        faults = document.faults
    except Faults as several:
        faults = several.faults
    except MerError as fault:
        if not fault.found.startswith(_NOT_YAML):
            faults = [fault]
        else:
            raise MerError(where, "the value is not YAML", allowed="a number, text, true, [1, 2]") from fault
    if faults:
        raise MerError(where, faults[0].found, allowed=faults[0].allowed, then=faults[0].then)
    return document.data


@dataclass(slots=True, eq=False)
class _Node:
    kind: str  # scalar, list or mapping
    tag: str
    line: int
    text: str = ""
    items: list[_Node] = field(default_factory=list)  # of a mapping: key, value, key, value, ...


class _Composer:
    """Makes a tree of nodes out of events; an alias is the very node that it names."""

    def __init__(self, loader: Any, where: object) -> None:
        self.loader, self.where = loader, where
        self.anchors: dict[str, _Node] = {}
        self.count = 0

    def compose(self) -> _Node | None:
        """Return the root of the only document; None when there is none."""
        self.loader.get_event()
        if isinstance(self.loader.get_event(), yaml.StreamEndEvent):
            return None
        root = self._node(self.loader.get_event(), 0)
        self.loader.get_event()
        event = self.loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._error("expected a single document in the stream", "found another one", event)
        return root

    def _node(self, event: Any, level: int) -> _Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise self._error(None, f"found undefined alias {brief(event.anchor)}", event)
            return self.anchors[event.anchor]
        self.count += 1
        if self.count > MOST_VALUES:
            raise _too_many(self.where, line)
        if isinstance(event, yaml.ScalarEvent):
            explicit = event.tag not in (None, "!")
            tag = str(event.tag) if explicit else self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            return self._anchored(event, _Node("scalar", tag, line, event.value))
        if level >= MOST_LEVELS:
            raise _too_deep(self.where, line)
        kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        default = f"{_TAG}{'seq' if kind == 'list' else 'map'}"
        node = self._anchored(event, _Node(kind, default if event.tag in (None, "!") else event.tag, line))
        while not isinstance(inner := self.loader.get_event(), yaml.SequenceEndEvent | yaml.MappingEndEvent):
            node.items.append(self._node(inner, level + 1))
        return node

    def _error(self, context: str | None, problem: str, event: Any) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(context, None, problem, event.start_mark)

    def _anchored(self, event: Any, node: _Node) -> _Node:
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node


class _Builder:
    """Builds plain data from nodes, noting lines and faults on the way. An alias is built again wherever it stands."""

    def __init__(self, document: Document, where: object) -> None:
        self.document, self.where = document, where
        self.open: list[_Node] = []
        self.count = 0

    def build(self, node: _Node, keys: KeyPath) -> Any:
        self.document.lines.setdefault(keys, node.line)
        self._count(1, node.line)
        if any(node is outer for outer in self.open):
            self._fault(keys, node.line, "the anchor contains itself", then="write the value out")
            return None
        if len(self.open) > MOST_LEVELS:
            raise _too_deep(self.where, node.line)
        self.open.append(node)
        try:
            name = node.tag.removeprefix(_TAG)
            if node.kind != "scalar" and name not in _PLAIN_TAGS[node.kind]:
                self._tag_fault(keys, node, name)
                return None
            if node.kind == "list":
                return [self.build(child, (*keys, index)) for index, child in enumerate(node.items)]
            return self._mapping(node, keys) if node.kind == "mapping" else self._scalar(node, keys)
        finally:
            self.open.pop()

    def _scalar(self, node: _Node, keys: KeyPath) -> Any:
        name = node.tag.removeprefix(_TAG)
        if name in _TEXT_TAGS:
            if what := _no_text(node.text):
                self._fault(keys, node.line, f"got {brief(node.text)}, which holds {what}", then="take it out")
                return None
            return node.text
        if name == "timestamp":
            found = f"got {brief(node.text, quoted=False)}, which YAML reads as a date"
            self._fault(keys, node.line, found, then="put it in quotes")
            return None
        if name not in _PLAIN_TAGS["scalar"]:
            self._tag_fault(keys, node, name)
            return None
        if name == "int" and len(node.text) > _MOST_DIGITS:
            found = f"got {node.text[:12]}..., a number of {len(node.text)} digits"
            self._fault(keys, node.line, found, allowed=_WHOLE)
            return None
        try:
            value = _READERS[name](node.text)
        except (ValueError, LookupError, OverflowError, ArithmeticError):
            found = f"got {brief(node.text, quoted=not node.text)}, which YAML cannot read as {_NAMES[name]}"
            self._fault(keys, node.line, found, then="put it in quotes, without a tag, if it is text")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._fault(keys, node.line, f"got {brief(node.text, quoted=False)}", allowed="a finite number")
            return None
        if type(value) is int and abs(value) > _EXACT:
            self._fault(keys, node.line, f"got {brief(node.text, quoted=False)}", allowed=_WHOLE)
            return None
        return value

    def _mapping(self, node: _Node, keys: KeyPath) -> dict[str, Any]:
        document, mapping = self.document, dict[str, Any]()
        written: set[str] = set()  # keys of this mapping itself; they override merged ones
        for key_node, value_node, own in self._pairs(node, keys):
            line = key_node.line
            if why := _no_key(key_node):
                self._note_at(keys, line, why, allowed="names, in quotes if they look like numbers")
                continue
            key = key_node.text
            path = (*keys, key)
            if own and key in written:
                found = f"repeated key, first on line {document.lines[path]}"
                self._fault(path, line, found, allowed="each key once", then="remove one of the two")
                continue
            if own:
                written.add(key)
            document.lines[path] = line
            mapping[key] = self.build(value_node, path)
        return mapping

    def _pairs(self, node: _Node, keys: KeyPath, level: int = 0) -> Iterator[tuple[_Node, _Node, bool]]:
        """Yield (key, value, whether it stands in the mapping itself); what `<<` brings in comes first."""
        pairs = list(zip(node.items[::2], node.items[1::2], strict=True))
        self._count(len(pairs), node.line)
        if level > MOST_LEVELS:
            raise _too_deep(self.where, node.line)
        for key, value in pairs:
            if not _is_merge(key):
                continue
            for other in reversed(value.items) if value.kind == "list" else [value]:
                if other.kind != "mapping":
                    found = f"{_NOT_YAML}: << brings in a {other.kind}"
                    raise MerError(
                        f"{self.where}:{key.line}", found, allowed="an alias of a mapping, or a list of them"
                    )
                if any(other is outer for outer in self.open):
                    self._fault(keys, key.line, "the anchor contains itself", then="write the value out")
                    continue
                yield from ((one, two, False) for one, two, _ in self._pairs(other, keys, level + 1))
        yield from ((key, value, True) for key, value in pairs if not _is_merge(key))

    def _count(self, more: int, line: int) -> None:
        self.count += more
        if self.count > 2 * MOST_VALUES:  # the file itself may have as many: then its aliases as many again
            raise _too_many(self.where, line)

    def _tag_fault(self, keys: KeyPath, node: _Node, name: str) -> None:
        tag = f"!!{name}" if node.tag.startswith(_TAG) else node.tag
        allowed = "text, numbers, true, false, null, lists and mappings, without tags"
        self._fault(keys, node.line, f"the tag {brief(tag, quoted=False)} has no meaning here", allowed=allowed)

    def _fault(self, keys: KeyPath, line: int, found: str, *, allowed: str = "", then: str = "") -> None:
        """Note a fault of a value, which is not read."""
        self.document.unread.append(keys)
        self._note_at(keys, line, found, allowed=allowed, then=then)

    def _note_at(self, keys: KeyPath, line: int, found: str, *, allowed: str = "", then: str = "") -> None:
        name = brief(".".join(map(str, keys)), quoted=False)
        place, words = f"{self.where}:{line}", f"{name}: {found}" if name else found
        self.document.faults.append(MerError(place, words, allowed=allowed, then=then))
        if len(self.document.faults) >= MOST_FAULTS:
            raise Faults(self.where, self.document.faults)


def _no_text(text: str) -> str:
    """Say what in a text no setting may hold; "" when there is nothing."""
    sign = _NO_TEXT.search(text)
    return "" if sign is None else "a control character" if sign.group() < "\ud800" else "half of a character"


def _no_key(node: _Node) -> str:
    """Say why a node is no name of anything; "" when it is one."""
    if node.kind != "scalar":
        return "a key that is a list or mapping is not text"
    if node.tag.removeprefix(_TAG) not in _TEXT_TAGS:
        return f"the key {brief(node.text, quoted=not node.text)} is not text"
    what = _no_text(node.text)
    return f"the key {brief(node.text)} holds {what}" if what else ""


def _is_merge(key: _Node) -> bool:
    return key.kind == "scalar" and key.tag == f"{_TAG}merge"


def _too_many(where: object, line: int) -> MerError:
    found = f"holds more than {MOST_VALUES} values; an alias (*name) counts for all that it stands for"
    return MerError(f"{where}:{line}", found, then="take out what no study needs")


def _too_deep(where: object, line: int) -> MerError:
    return MerError(f"{where}:{line}", f"lists and mappings are nested more than {MOST_LEVELS} levels deep")


def _whole(text: str) -> int:
    return int(yaml.SafeLoader.construct_yaml_int(yaml.SafeLoader(""), yaml.ScalarNode("", text)))


def _number(text: str) -> float:
    return float(yaml.SafeLoader.construct_yaml_float(yaml.SafeLoader(""), yaml.ScalarNode("", text)))


_READERS: dict[str, Any] = {
    "int": _whole,
    "float": _number,
    "bool": lambda text: yaml.SafeLoader.bool_values[text.lower()],
    "null": lambda text: None,
}
_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false", "null": "null"}
