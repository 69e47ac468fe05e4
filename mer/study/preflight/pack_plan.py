"""Say before a study which trials will share a worker, and why others cannot."""

from __future__ import annotations

import random
from collections import Counter

from mer.config import TrialConfig
from mer.study.search.pack_sizes import PackSizes
from mer.study.space.check import RandomDraw
from mer.study.space.spec import StudySpec
from mer.training.packed import shape_of

_DRAWS = 64


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
    sizes = PackSizes(spec.resources, workers, lambda: spec.budget.trials)
    together = {shape.key: sizes(config) for shape, config in zip(shapes, configs, strict=True) if shape.is_packable}
    counts = Counter(shape.key for shape in shapes if shape.is_packable)
    lines = []
    if together:
        few, most = min(together.values()), max(together.values())
        size = f"{most}" if few == most else f"{few} to {most}"
        shares = ", ".join(f"{100 * count / len(configs):.0f} %" for _, count in counts.most_common(5))
        kinds = (
            f"{len(counts)} shapes, of {shares}{', ...' if len(counts) > 5 else ''} of"
            if len(counts) > 1
            else "one shape,"
        )
        lines.append(f"up to {size} trials of one shape share a worker; {kinds} {len(configs)} draws")
    for reason, count in Counter(shape.reason for shape in shapes if shape.reason).most_common():
        lines.append(f"{100 * count / len(configs):.0f} % of the trials train alone: {reason}")
    return lines
