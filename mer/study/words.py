"""How metrics and sampled values are worded, wherever a person reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def show(metric: str, value: float | None) -> str:
    """A metric as people print it: fractions in percent, the loss in nats."""
    if value is None or value != value:
        return "-"
    return f"{value:.4f}" if metric.endswith("_loss") else f"{100 * value:.2f}"


def short(value: object) -> str:
    """A sampled value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "")


def brief(keys: Iterable[str]) -> dict[str, str]:
    """Config keys by their last word; by the last two where several end alike: dialogue.kind, fusion.kind."""
    ends = {key: key.split(".")[-1] for key in keys}
    counts = Counter(ends.values())
    return {key: end if counts[end] == 1 else ".".join(key.split(".")[-2:]) for key, end in ends.items()}
