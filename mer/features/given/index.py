"""From a name to the place of an utterance's features in a folder or a table."""

from __future__ import annotations

from dataclasses import dataclass, field

from mer.features.given.names import Names, plain
from mer.features.given.unfit import Unfit


@dataclass
class Index:
    """Places of features. Its names are compared as `plain` writes them.

    Args: at: (part of the data, or "", name) -> place.
    """

    at: dict[tuple[str, str], str] = field(default_factory=dict)
    _parts: dict[str, list[str]] = field(default_factory=dict)

    def add(self, part: str, name: str, place: str) -> None:
        """Note where a name's features lie. Raises: Unfit when they lie in two places."""
        key = (part, plain(name))
        if self.at.setdefault(key, place) != place:
            inside = f" in {part}" if part else ""
            raise Unfit(f"holds {key[1]!r} twice{inside}: {self.at[key]} and {place}")
        self._parts.setdefault(key[1], []).append(part)

    def find(self, names: Names) -> str | None:
        """Return the place of an utterance's features; None if there is none."""
        keys = [(names.split, name) for name in (*names.own, *names.placed)]
        keys += [("", name) for name in names.own]
        found = next((self.at[key] for key in keys if key in self.at), None)
        if found is not None:
            return found
        # A corpus may be divided otherwise than the features: an id of the data means the same in every part.
        for name in names.own:
            if len(set(parts := self._parts.get(name, []))) == 1:
                return self.at[parts[0], name]
        return None

    @property
    def by_place(self) -> dict[str, tuple[str, str]]:
        """Name each place by the first (part, name) that leads to it."""
        named: dict[str, tuple[str, str]] = {}
        for key, place in self.at.items():
            named.setdefault(place, key)
        return named

    @property
    def examples(self) -> list[str]:
        """A few names, as they are compared."""
        return [f"{part}/{name}" if part else name for part, name in list(self.at)[:3]]
