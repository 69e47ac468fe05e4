"""Random draws from a search space without Optuna, for checks and estimates before a study begins."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from mer.study.space.choices import encode
from mer.study.space.spec import StudySpec

_ATTEMPTS = 2000  # to keep the constraints; `check` refuses a space in which so many do not do


def random_params(spec: StudySpec, rng: random.Random, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Draw a trial's parameters uniformly, again and again until they keep the constraints.

    Args: given: values that are not drawn, by key: those of a point.
    """
    drawn = spec.space.suggest(RandomDraw(rng, given))
    for _ in range(_ATTEMPTS):
        if spec.keeps_constraints(drawn):
            break
        drawn = spec.space.suggest(RandomDraw(rng, given))
    return drawn


class RandomDraw:
    """Draw uniformly, without Optuna.

    Args:
        given: values that are not drawn, by key: those of a point.
        ends_only: draw one of the two ends of each range.
    """

    def __init__(self, rng: random.Random, given: Mapping[str, Any] | None = None, *, ends_only: bool = False) -> None:
        self.rng, self.given, self.ends_only = rng, given or {}, ends_only

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        if self.ends_only:
            drawn = self.rng.choice([low, high])
        elif step is not None:
            drawn = low + step * self.rng.randrange(round((high - low) / step) + 1)
        else:
            drawn = self.rng.uniform(low, high)
        return self.given.get(name, drawn)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool, step: int) -> int:
        values = [low, high] if self.ends_only else range(low, high + 1, step)
        return self.given.get(name, self.rng.choice(values))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return encode(self.given[name]) if name in self.given else self.rng.choice(choices)
