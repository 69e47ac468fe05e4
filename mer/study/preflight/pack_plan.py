"""Say before a study which trials will share a worker, and why others cannot."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from mer.config import TrialConfig
from mer.study.search.ledger import Assignment
from mer.study.search.pack_sizes import PackSizes, queue_room
from mer.study.search.packs import Packs
from mer.study.space.check import RandomDraw
from mer.study.space.spec import StudySpec
from mer.training.packed import shape_of

_DRAWS = 128


def pack_words(spec: StudySpec, workers: int) -> list[str]:
    """Return a line on the packs that will form, as far as draws of the space show, and one on trials without."""
    rng = random.Random(spec.sampler.seed)
    configs: list[TrialConfig] = []
    for _ in range(_DRAWS):
        try:
            configs.append(spec.trial_config(spec.space.suggest(RandomDraw(rng))))
        except ValueError:  # such a trial would count as failed
            continue
    shapes = [shape_of(config) for config in configs]
    able = [config for config, shape in zip(configs, shapes, strict=True) if shape.is_packable]
    counts = Counter(shape.key for shape in shapes if shape.is_packable)
    lines = []
    if able:
        sizes = PackSizes(spec.resources, workers, lambda: spec.budget.trials)
        most, mean = max(map(sizes, able)), _mean_size(able[: spec.budget.trials], sizes, spec)
        commonest = 100 * max(counts.values()) / len(able)
        among = f"{len(able)} draws have {len(counts)} shapes, the commonest {commonest:.0f} %"
        lines.append(f"a worker trains about {mean:.1f} trials of one shape at once, at most {most}; {among}")
    for reason, count in Counter(shape.reason for shape in shapes if shape.reason).most_common():
        lines.append(f"{100 * count / len(configs):.0f} % of the trials train alone: {reason}")
    return lines


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

    def losses(self, number: int) -> int:
        return 0


def _mean_size(configs: Sequence[TrialConfig], sizes: PackSizes, spec: StudySpec) -> float:
    """Return the mean size of the packs that a study of these trials begins with."""
    packs, formed = Packs(_Draws(configs), sizes, queue_room(spec.sampler, spec.budget.trials)), 0
    while packs.start():
        formed += 1
    return len(configs) / formed
