"""What the model card says of the temperature that makes the model's probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def calibration(found: Mapping[str, Any] | None) -> list[str]:
    """Say at which temperature probabilities are given, and what dev says before and after; nothing without one.

    Args: found: `temperature` of the provenance.
    """
    if found is None:
        return []
    before, after = (f"{100 * found[f'ece_{when}']:.2f}" for when in ("before", "after"))
    return [
        f"Probabilities are those at temperature {found['value']:.4f} (Guo et al. 2017): class scores are divided by "
        f"it. Dev chose it by its negative log-likelihood: {found['nll_after']:.4f} nats there, "
        f"{found['nll_before']:.4f} before; expected calibration error over {found['bins']} equal bins "
        f"{after} % there, {before} % before. No answer changes by it. All other scores on this card are those "
        "before it. The gain was fitted to dev: `python -m mer.evaluate` fits a temperature to dev for each seed and "
        "says what test gains."
    ]


def scores_words(provenance: Mapping[str, Any]) -> str:
    """Say of class scores in a table that they are not yet divided."""
    return ", before the temperature" if "temperature" in provenance else ""
