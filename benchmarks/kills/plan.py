"""Which disturbances a seed means, and when they come."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.kills.disturb import KINDS

_MOST_HARMLESS = 2  # disturbances in a row that the driver outlives: the third loss fails a trial, and rightly
_EARLY, _STARTING_S, _JITTER_S = 0.15, 6.0, 0.3
_MOMENTS = ("", "", "training", "saving")
_BETWEEN = 0.15  # share of gaps between two drivers in which the folder is moved or copied

# One of these sets for each study: starting a Ray or a server for every driver costs seconds.
FLAVOURS = {
    "shared Ray": (30, ("driver killed", "driver asked to stop", "all killed at once", "worker killed", "worker frozen",
                       "driver frozen", "second driver", "disk full")),
    "own Ray": (3, ("driver killed", "all killed at once", "worker killed", "raylet killed", "GCS killed")),
    "MLflow server": (1, ("driver killed", "worker killed", "MLflow stopped")),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One disturbance.

    Args:
        kind: its name.
        share: it comes when the journal has so much of the lines that it will have, 0 to 1; None: while the driver
            starts.
        wait_s: and so many seconds later.
        moment: and then, when the study is at this; "" at once.
    """

    kind: str
    share: float | None
    wait_s: float = 0.0
    moment: str = ""


@dataclass(frozen=True)
class Plan:
    """What happens to one study."""

    seed: int
    flavour: str
    steps: tuple[Step, ...]


def plan_of(seed: int, steps: int, allowed: Mapping[str, bool]) -> Plan:
    """Draw the disturbances of a seed.

    Args: allowed: kinds that cannot be done here, with False.
    """
    chance = random.Random(seed)
    flavour = chance.choices(list(FLAVOURS), [weight for weight, _ in FLAVOURS.values()])[0]
    kinds = [kind for kind in FLAVOURS[flavour][1] if allowed.get(kind, True)]
    shares = sorted(chance.uniform(0, 1.05) for _ in range(steps))
    found: list[Step] = []
    harmless = 0
    for share in shares:
        kind = chance.choice(kinds)
        while harmless >= _MOST_HARMLESS and not KINDS[kind].ends:
            kind = chance.choice(kinds)
        harmless = 0 if KINDS[kind].ends else harmless + 1
        if KINDS[kind].ends and chance.random() < _EARLY:
            found.append(Step(kind, None, chance.uniform(0, _STARTING_S)))
        else:
            found.append(Step(kind, min(share, 1.0), chance.uniform(0, _JITTER_S), chance.choice(_MOMENTS)))
        if KINDS[kind].ends and chance.random() < _BETWEEN:
            found.append(Step(chance.choice(["studies copied", "studies moved"]), None, 0.0))
    return Plan(seed, flavour, tuple(found))
