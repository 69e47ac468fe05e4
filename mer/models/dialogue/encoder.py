"""The dialogue encoder that a configuration asks for (shape suffixes: see the folder)."""

from __future__ import annotations

from torch import Tensor, nn

from mer.config import AttentionDialogue, Dialogue, GraphDialogue, GRUDialogue, NoDialogue
from mer.models.dialogue.attention import AttentionLayer
from mer.models.dialogue.graph import GraphLayer
from mer.models.dialogue.gru import GRULayer
from mer.models.dialogue.layout import Layout
from mer.models.dropout import number_places

_FIRST = 192  # place of its first random layer: those of a fusion are lower


class DialogueEncoder(nn.Module):
    """Residual layers: each adds to an utterance what it reads from the others of its dialogue.

    Args:
        config: kind, direction, depth.
        width: of the vectors that are read, and of the outputs.
    """

    def __init__(self, config: GRUDialogue | AttentionDialogue | GraphDialogue, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer(config, width) for _ in range(config.layers))
        number_places(self, _FIRST)

    def forward(self, x_NW: Tensor, layout: Layout | None) -> Tensor:
        """Let each utterance (N, W) read its dialogue; returns (N, W).

        Raises: ValueError without a layout.
        """
        if layout is None:
            raise ValueError("a dialogue encoder reads dialogues; the batch does not say which (FusedSplit.dialogue_N)")
        x_DUW = layout.spread(x_NW)
        for layer in self.layers:
            x_DUW = layer(x_DUW, layout)
        return layout.rows(x_DUW)


def _layer(config: GRUDialogue | AttentionDialogue | GraphDialogue, width: int) -> nn.Module:
    online = config.setting == "online"
    if isinstance(config, GraphDialogue):
        return GraphLayer(width, config.reach, config.dropout, online=online)
    speakers = config.speakers != "none"
    if isinstance(config, GRUDialogue):
        return GRULayer(width, config.dropout, online=online, speakers=speakers)
    return AttentionLayer(width, config.heads, config.dropout, online=online, speakers=speakers)


def dialogue_encoder(config: Dialogue, width: int) -> DialogueEncoder | None:
    """Build the encoder of a configuration; None where it reads no dialogues."""
    return None if isinstance(config, NoDialogue) else DialogueEncoder(config, width)
