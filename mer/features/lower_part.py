"""The frozen first layers of a tuned encoder, which run once."""

from __future__ import annotations

import torch
from torch import Tensor

from mer.config import EncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, modality_of
from mer.features.partial import BaseWeights, PartialBackbone, base_weights

_COMPOSITION = 1e-3  # of the largest value: the lower and the upper part against the whole


def lower_part(
    encoder: EncoderConfig, found: BackboneFolder, base: BaseWeights | None, start: int, example: Tensor
) -> PartialBackbone:
    """From raw input to hidden state `start`, in eval mode.

    Args:
        base: weights of the whole; None: they are read from the folder.
        example: raw input of one row, for which this part and the one above it must give what the whole gives.
    Raises: MerError when they do not.
    """
    base = base_weights(encoder, found) if base is None else base
    lower = PartialBackbone(encoder, found, base, start=None, reads=[start]).eval()
    upper = PartialBackbone(encoder, found, base, start=start, reads=[lower.depth]).eval()
    whole = PartialBackbone(encoder, found, base, start=None, reads=[lower.depth]).eval()
    with torch.inference_mode():
        (wanted,) = whole(example, torch.ones(example.shape[:2], dtype=torch.long))
        (states,) = lower.unreduced(example, torch.ones(example.shape[:2], dtype=torch.long))
        (reached,) = upper(states, torch.ones(states.shape[:2], dtype=torch.long))
    if not (wanted - reached).abs().max() <= _COMPOSITION * wanted.abs().max():
        raise MerError(
            found.folder,
            f"its layers above {start} do not continue what those below give",
            then=f"set encoders.{modality_of(encoder)}.split_cache: false, and freeze_layers: 0 if that is refused too",
        )
    return lower
