"""YAML as a user writes it: every key knows its line, repeated keys are faults, `1e-4` is a number."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mer.errors import Faults, MerError

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads `1e-4` as a float; YAML 1.1 wants `1.0e-4` and would hand over text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass
class YamlFile:
    """A parsed file: plain data, and the line (1-based) on which each key or item stands."""

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[MerError] = field(default_factory=list)

    def where(self, keys: KeyPath) -> str:
        """`file:line` of the closest known ancestor of `keys`."""
        for length in range(len(keys), -1, -1):
            if keys[:length] in self.lines:
                return f"{self.path}:{self.lines[keys[:length]]}"
        return str(self.path)

    def fault(self, keys: KeyPath, found: str, *, allowed: str = "", then: str = "") -> None:
        named = ".".join(map(str, keys))
        self.faults.append(
            MerError(self.where(keys), f"{named}: {found}" if named else found, allowed=allowed, then=then)
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
    file = YamlFile(path)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            file.data = _construct(loader, node, (), file)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise MerError(
            f"{path}:{line}", f"is not YAML: {fault.problem}", then="mind indentation, colons, quotes"
        ) from fault
    except yaml.YAMLError as fault:
        raise MerError(path, f"is not YAML: {fault}") from fault
    finally:
        loader.dispose()
    return file


def _construct(loader: _Loader, node: yaml.Node, keys: KeyPath, file: YamlFile) -> Any:
    """Build plain data from a node tree, noting lines and repeated keys on the way."""
    file.lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, child, (*keys, index), file) for index, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    loader.flatten_mapping(node)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        path, line = (*keys, key), key_node.start_mark.line + 1
        if not isinstance(key, str):
            file.fault(
                keys, f"the key {key!r} (line {line}) is not text", allowed="names, in quotes if they look like numbers"
            )
            continue
        if key in mapping:
            file.faults.append(
                MerError(
                    f"{file.path}:{line}",
                    f"{'.'.join(map(str, path))}: repeated key, first on line {file.lines[path]}",
                    allowed="each key once",
                    then="remove one of the two",
                )
            )
            continue
        file.lines[path] = line
        mapping[key] = _construct(loader, value_node, path, file)
    return mapping


def parse_value(text: str) -> Any:
    """A `--set key=value` value, read as YAML reads it. Raises MerError when it is not YAML."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as fault:
        raise MerError(f"--set ...={text}", "the value is not YAML", allowed="a number, text, true, [1, 2]") from fault
