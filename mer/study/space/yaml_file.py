"""Read YAML as users write it: every key knows its line, repeated keys are faults, `1e-4` is a number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mer.errors import Faults, MerError

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """A SafeLoader that reads `1e-4` as a float. By YAML 1.1 that is text, and only `1.0e-4` a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass
class YamlFile:
    """A parsed file.

    Args:
        data: dictionaries, lists and scalars.
        lines: path of a key or item -> its line, from 1.
        overrides: path of a key that the command line set -> the option as it was typed.
        faults: all that is wrong with the file, in the order in which it was found.
    """

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[MerError] = field(default_factory=list)

    def where(self, keys: KeyPath) -> str:
        """Return `file:line` of `keys` or of its closest ancestor that has a line, or the option that set it."""
        ancestors = [keys[:length] for length in range(len(keys), -1, -1)]
        for ancestor in ancestors:
            if ancestor in self.overrides:
                return self.overrides[ancestor]
        for ancestor in ancestors:
            if ancestor in self.lines:
                return f"{self.path}:{self.lines[ancestor]}"
        return str(self.path)

    def fault(self, keys: KeyPath, found: str, *, allowed: str = "", then: str = "") -> None:
        """Note a fault at `keys`."""
        self.fault_named(keys, ".".join(map(str, keys)), found, allowed=allowed, then=then)

    def fault_named(self, keys: KeyPath, name: str, found: str, *, allowed: str = "", then: str = "") -> None:
        """Note a fault at `keys` whose message calls the place `name`."""
        self.faults.append(
            MerError(self.where(keys), f"{name}: {found}" if name else found, allowed=allowed, then=then)
        )

    def raise_faults(self) -> None:
        if self.faults:
            raise Faults(self.path, self.faults)


def read_yaml(path: Path) -> YamlFile:
    """Parse `path`. Raises MerError when it is absent, not text, or not YAML; repeated keys are kept as faults."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        spaces = sorted(str(p) for p in Path("search_spaces").glob("*.yaml"))
        raise MerError(path, "no such file", allowed=", ".join(spaces) or "a YAML file with a study") from None
    except IsADirectoryError:
        raise MerError(path, "is a folder", allowed="a YAML file with a study") from None
    except UnicodeDecodeError as fault:
        raise MerError(path, f"is not UTF-8 text ({fault.reason} at byte {fault.start})") from fault
    except OSError as fault:
        raise MerError(path, f"cannot be read: {fault.strerror}") from fault
    file = YamlFile(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            file.data = _Builder(loader, file).build(node, ())
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        words = ", ".join(part for part in (fault.context, fault.problem) if part)
        raise MerError(f"{path}:{line}", f"is not YAML: {words}", then="mind indentation, colons, quotes") from fault
    except yaml.YAMLError as fault:
        raise MerError(path, f"is not YAML: {str(fault).splitlines()[0]}") from fault
    return file


class _Builder:
    """Builds plain data from a node tree, noting lines and repeated keys on the way."""

    def __init__(self, loader: _Loader, file: YamlFile) -> None:
        self.loader, self.file = loader, file
        self.open: list[yaml.Node] = []

    def build(self, node: yaml.Node, keys: KeyPath) -> Any:
        self.file.lines.setdefault(keys, node.start_mark.line + 1)
        if any(node is outer for outer in self.open):
            self.file.fault(keys, "the anchor contains itself", then="write the value out")
            return None
        self.open.append(node)
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*keys, index)) for index, child in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, keys)
            return self._scalar(node, keys)
        finally:
            self.open.pop()

    def _scalar(self, node: yaml.Node, keys: KeyPath) -> Any:
        try:
            return self.loader.construct_object(node)
        except ValueError as fault:  # e.g. 2024-13-45, which YAML takes for a date
            self.file.fault(keys, f"got {node.value}, which YAML cannot read ({fault})", then="put it in quotes")
            return None

    def _mapping(self, node: yaml.MappingNode, keys: KeyPath) -> dict[str, Any]:
        loader, file = self.loader, self.file
        own = {id(key_node) for key_node, _ in node.value}
        merged = yaml.MappingNode(node.tag, list(node.value), node.start_mark, node.end_mark)
        loader.flatten_mapping(merged)  # on a copy: the node may be built again through an alias
        mapping: dict[str, Any] = {}
        written: set[str] = set()  # keys of this mapping itself; they override merged ones
        for key_node, value_node in merged.value:
            key = self._scalar(key_node, keys) if isinstance(key_node, yaml.ScalarNode) else key_node.tag
            path, line = (*keys, key), key_node.start_mark.line + 1
            if not isinstance(key, str) or not isinstance(key_node, yaml.ScalarNode):
                what = (
                    f"the key {key!r}" if isinstance(key_node, yaml.ScalarNode) else "a key that is a list or mapping"
                )
                allowed = "names, in quotes if they look like numbers"
                file.faults.append(
                    MerError(
                        f"{file.path}:{line}", f"{'.'.join([*map(str, keys), ''])}{what} is not text", allowed=allowed
                    )
                )
                continue
            if key in written and id(key_node) in own:
                file.faults.append(
                    MerError(
                        f"{file.path}:{line}",
                        f"{'.'.join(map(str, path))}: repeated key, first on line {file.lines[path]}",
                        allowed="each key once",
                        then="remove one of the two",
                    )
                )
                continue
            if id(key_node) in own:
                written.add(key)
            file.lines[path] = line
            mapping[key] = self.build(value_node, path)
        return mapping


def parse_value(text: str) -> Any:
    """A `--set key=value` value, read as YAML reads it. Raises MerError when it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader subclass
    except (yaml.YAMLError, ValueError) as fault:
        raise MerError(f"--set ...={text}", "the value is not YAML", allowed="a number, text, true, [1, 2]") from fault
