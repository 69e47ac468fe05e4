"""The studies of the simulated world: one worker that learns from results, several, and packs that share workers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mer.study.space.load import load_spec
from mer.study.space.spec import StudySpec

_SPACE = """study: small
trainable: text
objective: {{metric: dev_weighted_f1, mode: max}}
budget: {{trials: {trials}, epochs: {epochs}}}
sampler: {{kind: {sampler}, seed: {seed}}}
scheduler: {scheduler}
resources: {{pack: {pack}}}
fixed:
  encoders: {{text: {{backbone: minilm}}}}
params:
  optim.head_lr: {{float: [1e-4, 1e-2], log: true}}
  head.hidden: {{choice: [8, 16]}}
points:
  - {{optim.head_lr: 1e-3, head.hidden: 8}}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of study. With several workers it has no sampler and no rule that the order of results would lead.

    Args:
        nodes: places for workers on each node.
        keep_weights: as the search space has it.
    """

    name: str
    nodes: tuple[int, ...]
    sampler: str
    scheduler: str
    pack: int = 1
    keep_weights: int | None = None

    def spec(self, trials: int, epochs: int, seed: int = 0) -> StudySpec:
        """Return its search space."""
        return _spec(self, trials, epochs, seed)


ALONE = Kind("alone", (1,), "tpe", "{kind: asha, grace_epochs: 1, reduction: 2}")
SEVERAL = Kind("several", (2, 1), "random", "{kind: none}", keep_weights=3)
PACKS = Kind("packs", (1, 1), "random", "{kind: none}", pack=3)
KINDS = {kind.name: kind for kind in (ALONE, SEVERAL, PACKS)}


@cache
def _spec(kind: Kind, trials: int, epochs: int, seed: int) -> StudySpec:
    text = _SPACE.format(
        trials=trials, epochs=epochs, sampler=kind.sampler, seed=seed, scheduler=kind.scheduler, pack=kind.pack
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.yaml"
        path.write_text(text + (f"keep_weights: {kind.keep_weights}\n" if kind.keep_weights else ""), encoding="utf-8")
        return load_spec(path)
