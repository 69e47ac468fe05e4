"""The hidden states that a head reads: from the setting `encoders.*.layers` to indices."""

from __future__ import annotations

from typing import Literal

from mer.config import EncoderConfig
from mer.errors import MerError


def select_layers(
    layers: Literal["last", "all"] | tuple[int, ...], count: int, key: str = "encoders.text.layers"
) -> list[int]:
    """Turn `encoders.*.layers` into indices.

    Args:
        layers: 'last', 'all', or indices; 0 is the embedding layer, negatives count from the end.
        count: stored hidden states (the backbone's layers + 1; 1 for signal statistics).
        key: of the configuration, for messages.
    Returns: indices in [0, count), in the order asked for.
    Raises: MerError when an index is out of range, or two of them mean the same layer.
    """
    if layers == "last":
        return [count - 1]
    if layers == "all":
        return list(range(count))
    allowed = f"'last', 'all', or integers from {-count} to {count - 1} (0 = embeddings, {count - 1} = last layer)"
    outside = [index for index in layers if not -count <= index < count]
    if outside:
        raise MerError(key, f"{outside} of a backbone with {count} hidden states", allowed=allowed)
    indices = [index % count for index in layers]
    if len(set(indices)) != len(indices):
        raise MerError(key, f"{list(layers)} names a layer twice: {indices}", allowed=allowed)
    return indices


def check_depth(config: EncoderConfig, depth: int) -> None:
    """Check that a tuned encoder has layers to tune, and that its head reads tuned ones.

    Args: depth: transformer layers of the backbone.
    Raises: MerError when no layer is left to tune, or the head reads a layer that is not tuned.
    """
    reads = select_layers(config.layers, depth + 1)
    if min(reads) <= config.freeze_layers:
        allowed = f"hidden states from {config.freeze_layers + 1} to {depth}"
        raise MerError(
            f"encoders.{config.modality}.layers",
            f"the head reads hidden state {min(reads)}, which is not tuned: freeze_layers is {config.freeze_layers}",
            allowed=allowed if config.freeze_layers < depth else f"freeze_layers below {depth}, the number of layers",
        )
