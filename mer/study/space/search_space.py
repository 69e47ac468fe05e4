"""Draw from a search space, or list it: parameters whose conditions may depend on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mer.study.space.choices import place_of
from mer.study.space.params import Param, Suggests

MOST_CELLS = 100_000  # of a grid; they are tried one after another, and counted at every start
_MOST_LOOKED_THROUGH = 20_000
_UNCOUNTED, _MOST_STEPS = 10**15, 50_000  # of counting
_NO_VALUE = object()  # stands for all values that no condition names


class SearchSpace:
    """All parameters of a study, in an order in which each comes after those that its condition names.

    Args:
        params: dotted config key -> parameter.
        base: values that conditions may read besides parameters: fixed keys and defaults.
        keeps: tells whether what was drawn keeps the constraints of the study; None when it has none.
    Raises: ValueError when conditions go in a circle.
    """

    def __init__(
        self,
        params: Mapping[str, Param],
        base: Mapping[str, Any],
        keeps: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self.params, self.base, self.keeps = _ordered(params), dict(base), keeps

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """Draw every parameter whose condition holds; return dotted key -> value."""
        values = dict(self.base)
        drawn: dict[str, Any] = {}
        for name, param in self.params.items():
            if param.is_active(values):
                drawn[name] = values[name] = param.suggest(trial, name)
        return drawn

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every combination that conditions and constraints allow, in file order, each when it is asked for.

        Raises: ValueError for a continuous range, and for more than 100 000 combinations.
        """
        items = list(self.params.items())
        if (count := _Count(self.base).of(items, {})) > MOST_CELLS:
            raise ValueError(
                f"the grid has {_many(count)} combinations, at most {MOST_CELLS} are possible: write fewer choices or "
                "wider steps, or set sampler.kind: random"
            )
        yield from (cell for cell in self._grid(items, {}, frozenset()) if self.keeps is None or self.keeps(cell))

    def combinations(self, *wanted: str) -> Iterator[dict[str, Any]]:
        """Yield every combination of some parameters and of those that their conditions depend on.

        A continuous parameter that only a condition depends on takes the two ends of its range. Constraints are not
        looked at, since they may name other parameters.

        Args: wanted: keys, and parts of keys, which end with a dot: `encoders.`; none: all parameters.
        Raises: ValueError for a continuous range among `wanted`, and for more than 20 000 combinations.
        """
        parts = tuple(name for name in wanted if name.endswith("."))
        asked = {name for name in self.params if not wanted or name in wanted or name.startswith(parts)}
        names = set(asked)
        while more := {key for name in names for key in self.params[name].when if key in self.params} - names:
            names |= more
        items = [(name, param) for name, param in self.params.items() if name in names]
        by_ends = frozenset(name for name in names - asked if self.params[name].size is None)
        if (count := _Count(self.base, by_ends).of(items, {})) > _MOST_LOOKED_THROUGH:
            raise ValueError(
                f"{', '.join(name for name, _ in items)} have {_many(count)} combinations, at most "
                f"{_MOST_LOOKED_THROUGH} can be looked through"
            )
        yield from self._grid(items, {}, by_ends)

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
        for value in param.extremes() if name in by_ends else param.values():
            yield from self._grid(rest, {**drawn, name: value}, by_ends)

    def signature(self) -> dict[str, Any]:
        """Return JSON-able data that is equal for equal searches."""
        return {name: param.signature() for name, param in self.params.items()}


class _Count:
    """Counts combinations without listing the values of a parameter that no condition names.

    Args: by_ends: continuous parameters of which the two ends count.
    Raises: ValueError for another continuous range.
    """

    def __init__(self, base: Mapping[str, Any], by_ends: frozenset[str] = frozenset()) -> None:
        self.base, self.by_ends, self._steps = base, by_ends, 0

    def of(self, items: list[tuple[str, Param]], drawn: dict[str, Any]) -> int:
        """Count the combinations of `items` after `drawn`; above 10**15 the number is not exact."""
        self._steps += 1
        if not items:
            return 1
        if self._steps > _MOST_STEPS:
            return _UNCOUNTED + 1
        (name, param), rest = items[0], items[1:]
        if not param.is_active({**self.base, **drawn}):
            return self.of(rest, drawn)
        size = 2 if name in self.by_ends else param.size
        if size is None:
            raise ValueError(f"{name} is a continuous range: a grid needs 'choice', 'int', or 'float' with a step")
        wanted = [value for _, later in rest if name in later.when for value in _as_list(later.when[name])]
        named = {place_of(value): value for value in wanted if param.contains(value)}
        if not named:
            return size * self.of(rest, drawn)
        total = (size - len(named)) * self.of(rest, {**drawn, name: _NO_VALUE}) if len(named) < size else 0
        for value in named.values():
            if total > _UNCOUNTED:
                break
            total += self.of(rest, {**drawn, name: value})
        return total


def _as_list(wanted: Any) -> list[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


def _many(count: int) -> str:
    return str(count) if count <= _UNCOUNTED else f"more than {_UNCOUNTED}"


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
