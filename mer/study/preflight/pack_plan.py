"""Say before a study which trials will share a worker, and why others cannot."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mer.config import TrialConfig
from mer.study.search.ledger import Assignment
from mer.study.search.pack_sizes import PackSizes, learning_size, queue_room
from mer.study.search.packs import Packs
from mer.study.space.draws import random_params
from mer.study.space.spec import StudySpec
from mer.training.packed import shape_of

_DRAWS = 128


@dataclass(frozen=True)
class PackPlan:
    """The packs that will form, as far as draws of the space show.

    Args:
        words: a line on them, and one on trials that train alone for each reason.
        by_shape: members that a pack of this shape begins with, on average.
        mean: the same over all shapes; 1 when no trials can be packed.
    """

    words: list[str]
    by_shape: Mapping[str, float]
    mean: float

    @property
    def are_there(self) -> bool:
        return self.mean > 1

    def size_of(self, config: TrialConfig) -> int:
        """Return the members of the pack that a trial will train in, about; 1 for one that trains alone."""
        shape = shape_of(config)
        return max(1, round(self.by_shape.get(shape.key, self.mean))) if shape.is_packable else 1


def plan_packs(spec: StudySpec, workers: int) -> PackPlan:
    """Foresee who will share a worker, from random draws of the space."""
    rng = random.Random(spec.sampler.seed)
    configs: list[TrialConfig] = []
    for _ in range(_DRAWS):
        try:
            configs.append(spec.trial_config(random_params(spec, rng)))
        except ValueError:  # such a trial would count as failed
            continue
    shapes = [shape_of(config) for config in configs]
    able = [config for config, shape in zip(configs, shapes, strict=True) if shape.is_packable]
    counts = Counter(shape.key for shape in shapes if shape.is_packable)
    lines, begun, mean = [], {}, 1.0
    if able:
        most = learning_size(spec.sampler, spec.budget.trials, len(spec.points), workers)
        sizes = PackSizes(spec.resources, workers, lambda: spec.budget.trials, most)
        begun = _sizes_begun(able[: spec.budget.trials], sizes, spec)
        most, mean = max(map(sizes, able)), statistics.mean(size for found in begun.values() for size in found)
        commonest = 100 * max(counts.values()) / len(able)
        among = f"{len(able)} draws have {len(counts)} shapes, the commonest {commonest:.0f} %"
        lines.append(f"a worker trains about {mean:.1f} trials of one shape at once, at most {most}; {among}")
    for reason, count in Counter(shape.reason for shape in shapes if shape.reason).most_common():
        lines.append(f"{100 * count / len(configs):.0f} % of the trials train alone: {reason}")
    return PackPlan(lines, {key: statistics.mean(found) for key, found in begun.items()}, mean)


class _Draws:
    """Hands out draws as the engine hands out trials."""

    def __init__(self, configs: Sequence[TrialConfig]) -> None:
        self.bereft: list[int] = []
        self._left = list(enumerate(configs))

    @property
    def drained(self) -> bool:
        return not self._left

    def next_trial(self) -> tuple[Assignment, TrialConfig] | None:
        if not self._left:
            return None
        number, config = self._left.pop(0)
        return Assignment(number, {}), config

    def pack_limit(self, number: int) -> int | None:
        return None


def _sizes_begun(configs: Sequence[TrialConfig], sizes: PackSizes, spec: StudySpec) -> dict[str, list[int]]:
    """Return the sizes of the packs that a study of these trials begins with, by shape."""
    packs = Packs(_Draws(configs), sizes, queue_room(spec.sampler, spec.budget.trials))
    found: dict[str, list[int]] = {}
    while members := packs.start():
        found.setdefault(str(members[0].shape), []).append(len(members))
    return found
