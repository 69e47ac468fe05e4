"""Draw from a search space, or list it: parameters whose conditions may depend on one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mer.study.space.params import Param, Suggests


class SearchSpace:
    """All parameters of a study, in an order in which each comes after those that its condition names.

    Args:
        params: dotted config key -> parameter.
        base: values that conditions may read besides parameters: fixed keys and defaults.
    Raises: ValueError when conditions go in a circle.
    """

    def __init__(self, params: Mapping[str, Param], base: Mapping[str, Any]) -> None:
        self.params, self.base = _ordered(params), dict(base)

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """Draw every parameter whose condition holds; return dotted key -> value."""
        values = dict(self.base)
        drawn: dict[str, Any] = {}
        for name, param in self.params.items():
            if param.is_active(values):
                drawn[name] = values[name] = param.suggest(trial, name)
        return drawn

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every combination that conditions allow, in file order. Raises ValueError for a continuous range."""
        yield from self._grid(list(self.params.items()), {}, frozenset())

    def combinations(self, *prefixes: str) -> Iterator[dict[str, Any]]:
        """Yield every combination of the parameters under `prefixes` and of those that their conditions depend on.

        A continuous parameter that only a condition depends on takes the two ends of its range.

        Raises: ValueError for a continuous range under `prefixes`.
        """
        asked = {name for name in self.params if not prefixes or name.startswith(prefixes)}
        names = set(asked)
        while more := {key for name in names for key in self.params[name].when if key in self.params} - names:
            names |= more
        items = [(name, param) for name, param in self.params.items() if name in names]
        yield from self._grid(items, {}, frozenset(names - asked))

    def _grid(
        self, items: list[tuple[str, Param]], drawn: dict[str, Any], by_ends: frozenset[str]
    ) -> Iterator[dict[str, Any]]:
        if not items:
            yield drawn
            return
        (name, param), rest = items[0], items[1:]
        if not param.is_active({**self.base, **drawn}):
            yield from self._grid(rest, drawn, by_ends)
            return
        values = param.grid() or (param.extremes() if name in by_ends else None)
        if values is None:
            raise ValueError(f"{name} is a continuous range: a grid needs 'choice', 'int', or 'float' with a step")
        for value in values:
            yield from self._grid(rest, {**drawn, name: value}, by_ends)

    def signature(self) -> dict[str, Any]:
        """Return JSON-able data that is equal for equal searches."""
        return {name: param.signature() for name, param in self.params.items()}


def _ordered(params: Mapping[str, Param]) -> dict[str, Param]:
    """Keep file order, but move a parameter behind those that its condition names."""
    ordered: dict[str, Param] = {}
    waiting = dict(params)
    while waiting:
        ready = [name for name, param in waiting.items() if not set(param.when) & set(waiting)]
        if not ready:
            raise ValueError(f"conditions go in a circle: {', '.join(waiting)}")
        ordered[ready[0]] = waiting.pop(ready[0])
    return ordered
