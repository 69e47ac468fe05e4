"""A search-space file as it was read: every key knows its line, and faults are collected to be raised together."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mer.errors import Faults, MerError, brief, did_you_mean
from mer.read_files import NoRegularFile
from mer.read_yaml import MOST_FAULTS, KeyPath, read_yaml_file

__all__ = ["KeyPath", "YamlFile", "read_yaml"]
_MOST_PARTS = 12  # of a dotted key; those of a configuration have five


@dataclass
class YamlFile:
    """A parsed file.

    Args:
        data: dictionaries, lists and scalars.
        lines: path of a key or item -> its line, from 1.
        overrides: path of a key that the command line set -> the option as it was typed.
        faults: all that is wrong with the file, in the order in which it was found.
        unread: paths whose values could not be read, each with a fault that says so.
    """

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[MerError] = field(default_factory=list)
    unread: list[KeyPath] = field(default_factory=list)

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

    @cached_property
    def fixed_spellings(self) -> dict[str, list[KeyPath]]:
        """Dotted key -> the paths below `fixed` that spell it, in the order of the file."""
        found: dict[str, list[KeyPath]] = {}
        for path in self.lines:
            if len(path) > 1 and path[0] == "fixed" and all(isinstance(part, str) for part in path):
                found.setdefault(".".join(map(str, path[1:])), []).append(path)
        return found

    @cached_property
    def _fixed_groups(self) -> dict[str, KeyPath]:
        """Dotted key -> the first path below `fixed` that spells a key below it."""
        groups: dict[str, KeyPath] = {}
        for name, paths in self.fixed_spellings.items():
            parts = name.split(".", _MOST_PARTS)
            for length in range(1, len(parts)):
                groups.setdefault(".".join(parts[:length]), paths[0])
        return groups

    def fixed_path(self, key: str) -> KeyPath:
        """Return the path of a dotted key, or of the first key below it, in `fixed`, which may nest it in any way."""
        if ("fixed", key) in self.overrides:
            return "fixed", key
        below = self._fixed_groups.get(key)
        return below or next(iter(self.fixed_spellings.get(key, ())), ("fixed", key))

    def fault(self, keys: KeyPath, found: str, *, allowed: str = "", then: str = "") -> None:
        """Note a fault at `keys`."""
        self.fault_named(keys, ".".join(map(str, keys)), found, allowed=allowed, then=then)

    def fault_named(self, keys: KeyPath, name: str, found: str, *, allowed: str = "", then: str = "") -> None:
        """Note a fault at `keys` whose message calls the place `name`, unless what it is about could not be read.

        Raises: Faults when there are very many.
        """
        if any(keys[: len(path)] == path or path[: len(keys)] == keys for path in self.unread if keys):
            return
        place = brief(name, quoted=False)
        self.faults.append(
            MerError(self.where(keys), f"{place}: {found}" if place else found, allowed=allowed, then=then)
        )
        if len(self.faults) >= MOST_FAULTS:
            self.raise_faults()

    def raise_faults(self) -> None:
        if self.faults:
            raise Faults(self.path, self.faults)


def read_yaml(path: Path) -> YamlFile:
    """Parse `path`. Raises MerError when it is absent, not text, or not YAML; repeated keys are kept as faults."""
    try:
        document = read_yaml_file(path)
    except FileNotFoundError:
        spaces = sorted({*map(str, path.parent.glob("[!.]*.y*ml")), *map(str, Path("search_spaces").glob("*.yaml"))})
        meant = did_you_mean(str(path), spaces) or _same_name(path, spaces)
        raise MerError(
            path, f"no such file{'.' if meant else ''}{meant}", allowed=", ".join(spaces) or "a YAML file with a study"
        ) from None
    except NoRegularFile as fault:
        raise MerError(path, f"is {fault.kind}", allowed="a YAML file with a study") from None
    except OSError as fault:
        raise MerError(path, f"cannot be read: {fault.strerror}") from fault
    return YamlFile(path, document.data, document.lines, faults=document.faults, unread=document.unread)


def _same_name(path: Path, spaces: list[str]) -> str:
    """Ask for a search space of that name in another folder, or with its ending left out."""
    by_name = {Path(space).stem: space for space in spaces}
    meant = difflib.get_close_matches(path.stem[:200], list(by_name), n=1, cutoff=0.6)
    return f" Did you mean {by_name[meant[0]]!r}?" if meant else ""
