"""Encoder features -> representation h -> class scores: the base of all models, and the model of one modality.

Shape suffixes: N utterances, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import Dialogue, HeadConfig, NoDialogue, TargetKind
from mer.models.dialogue.encoder import dialogue_encoder
from mer.models.dropout import Dropout
from mer.models.fused_batch import FusedBatch, each_alone
from mer.models.inputs import InputNorm, fit_norm
from mer.models.layers import Linear, beside
from mer.models.pooling import build_mix
from mer.models.sequence_batch import SequenceBatch
from mer.models.states import padded
from mer.models.weight_names import ENCODERS

if TYPE_CHECKING:
    from mer.models.tuned import TunedEncoder

_HEAD, _FIRST_BLOCK, INPUT = 0, 1, 24  # places of the dropout layers: each draws masks of its own


class Classifier(nn.Module):
    """h and the linear classifier on it. Subclasses say how features become the vector that h is made of.

    A model of numbers (`task` regression) computes them in standard deviations of the training split, and gives them in
    their own unit; its scores are these numbers. One of several labels gives a score for each.

    Args:
        probe: the classifier reads detached h, so its loss does not train h.
        encoders: modality -> encoder that is trained too. The state holds only those of its weights that are trained.
        task: what its outputs are.
    """

    class_centers_CH: Tensor
    target_mean_C: Tensor
    target_scale_C: Tensor

    def __init__(
        self, *, probe: bool, encoders: Mapping[str, TunedEncoder] | None = None, task: TargetKind = "class"
    ) -> None:
        super().__init__()
        self.probe, self.task = probe, task
        self.encoders = nn.ModuleDict(dict(encoders or {}))

    @property
    def tuned(self) -> dict[str, Any]:
        """Encoders that are trained, by modality."""
        return dict(self.encoders.items())

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters but those of the encoders."""
        return (weight for name, weight in self.named_parameters() if ENCODERS not in name.split("."))

    def encoded(self, modality: str, x: Any) -> Any:
        """Features (N, L, D): given ones as they are; those of a SequenceBatch by the tuned encoder.

        Where no encoder is tuned, a SequenceBatch holds states already: they come padded, as States.
        """
        if not isinstance(x, SequenceBatch):
            return x
        return self.encoders[modality].pooled(x) if modality in self.encoders else padded(x)  # type: ignore[operator]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load what `state_dict` gave. Raises: RuntimeError if a weight is missing or is not of this model."""
        if wrong := sorted(self.state_dict().keys() ^ state_dict.keys()):
            raise RuntimeError(f"{len(wrong)} weights are missing or unknown, e.g. {wrong[0]}")
        return super().load_state_dict(state_dict, strict=False)

    def build_head(self, config: HeadConfig, mixed: int, classes: int) -> None:
        """Create the blocks from a vector of width `mixed` to h, the dropout, the classifier and the class centres."""
        blocks: list[nn.Module] = []
        for block in range(config.depth if config.hidden else 0):
            blocks += [Dropout(config.dropout, _FIRST_BLOCK + block)] if block else []
            blocks += [Linear(mixed if block == 0 else config.hidden, config.hidden), nn.GELU()]
        self.blocks = nn.Sequential(*blocks)
        self.width = config.hidden or mixed
        self.dropout = Dropout(config.dropout, _HEAD)
        self.classifier = Linear(self.width, classes)
        self.register_buffer("class_centers_CH", torch.zeros(classes, self.width))
        if self.task == "regression":
            self.register_buffer("target_mean_C", torch.zeros(classes))
            self.register_buffer("target_scale_C", torch.ones(classes))

    def fit_unit(self, mean_C: Tensor, scale_C: Tensor) -> None:
        """Set mean and standard deviation of the training split's numbers."""
        self.target_mean_C.copy_(mean_C)
        self.target_scale_C.copy_(scale_C)

    def in_unit(self, scores_NC: Tensor) -> Tensor:
        """Bring outputs from standard deviations into the numbers' own unit; scores of classes and labels stay."""
        if self.task != "regression":
            return scores_NC
        return scores_NC * beside(self.target_scale_C, scores_NC) + beside(self.target_mean_C, scores_NC)

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """Compute h (N, H), which the classifier reads and contrastive losses act on."""
        raise NotImplementedError

    def classify(self, h_NH: Tensor) -> Tensor:
        """Compute class scores (N, C) of h."""
        return self.in_unit(self.classifier(self.dropout(h_NH.detach() if self.probe else h_NH)))

    def forward(self, x: Any, present_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute h (N, H) and class scores (N, C). Arguments as in `represent`."""
        h_NH = self.represent(x, present_N)
        return h_NH, self.classify(h_NH)

    def auxiliary(self, labels_N: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return further losses of the last training batch, already weighted, and numbers to log, those included.

        A number is NaN where the batch has nothing to take it of.
        """
        return {}, {}

    def center_scores(self, h_NH: Tensor, temperature: float) -> Tensor:
        """Score each class by the cosine to its centre, divided by `temperature`, (N, C)."""
        return center_scores(h_NH, self.class_centers_CH, temperature)


def center_scores(h_NH: Tensor, centers_CH: Tensor, temperature: float) -> Tensor:
    """Compute the cosine of each h to each class centre over `temperature`: (N, C); members may stand in front."""
    return F.normalize(h_NH, dim=-1) @ F.normalize(centers_CH, dim=-1).mT / temperature


class UtteranceClassifier(Classifier):
    """One modality: norm, layer mix, `depth` blocks to h, a dialogue encoder on h, a linear classifier on h.

    Args:
        config: widths, dropout, how layers are mixed.
        layers: hidden states per utterance.
        width: encoder width D.
        classes: C.
        probe: the classifier reads detached h, so that only the contrastive loss shapes h (SPCL's reference code).
        encoder: an encoder that is trained too; None: the model is given features.
        keeps_states: the model is given states of tokens or steps of time (pooler none), and pools them.
        dialogue: how an utterance's h reads those of its dialogue.
        task: as for Classifier.
    """

    def __init__(
        self,
        config: HeadConfig,
        *,
        layers: int,
        width: int,
        classes: int,
        probe: bool = False,
        encoder: TunedEncoder | None = None,
        keeps_states: bool = False,
        dialogue: Dialogue | None = None,
        task: TargetKind = "class",
    ) -> None:
        super().__init__(probe=probe, encoders={} if encoder is None else {encoder.modality: encoder}, task=task)
        self.modality = "" if encoder is None else encoder.modality
        self.input_norm = InputNorm(config.input_norm, layers, width)
        self.layer_mix = build_mix(config, layers, width, keeps_states=keeps_states)
        self.input_dropout = Dropout(config.input_dropout, INPUT)
        self.build_head(config, self.layer_mix.width(layers, width), classes)
        self.dialogue = dialogue_encoder(dialogue or NoDialogue(), self.width)

    def fit_norm(self, split: Any, layers: Any, rows_N: np.ndarray) -> None:
        """Set the statistics of the input norm from the given training rows, those that are there.

        Args: split, layers: of this modality; or of a split of dialogues, whose only part it is.
        """
        if isinstance(layers, dict):
            (split,), (layers,) = split.parts.values(), layers.values()
        fit_norm(self.input_norm, split, layers, rows_N, self.tuned.get(self.modality))

    def staged(self, x: Any, parts: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """`forward`, and the hidden states of a tuned encoder from the first to the last: (N, L, P, D).

        Args: parts: of time, over which they are averaged; 0: they are not wanted, None is returned.
        """
        if not parts:
            return *self(x), None
        encoder: Any = self.encoders[self.modality]
        batch = next(iter(x.parts.values())) if isinstance(x, FusedBatch) else x
        pooled_NLD, states_NLPD = encoder.staged(batch, parts)
        features = x._replace(parts={self.modality: pooled_NLD}) if isinstance(x, FusedBatch) else pooled_NLD
        order = sorted(range(len(encoder.reads)), key=encoder.reads.__getitem__)
        return *self(features), states_NLPD[:, order]

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """Compute h (N, H) of features (N, L, D), or of a SequenceBatch where the encoder is tuned or keeps states.

        Args:
            x: a FusedBatch of this modality alone where dialogues are read; without one each row is read as a dialogue
                of its own.
            present_N: bool; an absent row is read as zeros, the average of standardised features.
        """
        layout = None
        if isinstance(x, FusedBatch):
            layout, present_N, x = x.layout, x.present_BM[..., 0], next(iter(x.parts.values()))
        mixed = self.layer_mix(self.input_norm(self.encoded(self.modality, x)))
        if present_N is not None:
            mixed = mixed.masked_fill(~present_N.unsqueeze(-1), 0.0)
        h_NH = self.blocks(self.input_dropout(mixed))
        if self.dialogue is None:
            return h_NH
        return self.dialogue(h_NH, layout or each_alone(h_NH.shape[-2], h_NH.device))
