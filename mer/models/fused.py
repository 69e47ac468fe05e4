"""Encoder features of several modalities -> one representation h -> class scores.

Shape suffixes: N utterances, M modalities, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mer.config import CrossModalConfig, Dialogue, Fusion, HeadConfig, TargetKind
from mer.models.classifier import INPUT, Classifier
from mer.models.cross_modal import CrossModal
from mer.models.dialogue.encoder import dialogue_encoder
from mer.models.dialogue.layout import Layout
from mer.models.dropout import Dropout, number_places
from mer.models.fusion import Fused, build_fusion
from mer.models.inputs import InputNorm, fit_norm
from mer.models.layers import Linear, Number, beside
from mer.models.pooling import build_mix
from mer.models.states import States
from mer.tensor_math import masked_mean

_FUSION = 64  # first place of its random layers

if TYPE_CHECKING:
    from mer.models.tuned import TunedEncoder


class Joined(Classifier):
    """A fusion of one vector per modality, and the head on its output. Subclasses say how the vectors are made.

    As in a fusion, axes are counted from the last one: several models can be stacked.

    Args:
        config: of the head; `hidden: 0` puts the classifier on the fused vector itself.
        fusion: how modalities meet.
        dialogue: how fused utterances read others of their dialogue; batches need a layout unless it is 'none'.
        widths: modality -> width of its vector, in the order text, audio, video.
        classes: C.
        probe, encoders, task: as for Classifier.
        cross_modal: contrast between the vectors of the modalities, which then have one width; None: there is none.
    """

    varies = ("own_loss",)  # numbers that may differ between the members of a pack

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        dialogue: Dialogue,
        *,
        widths: Mapping[str, int],
        classes: int,
        probe: bool,
        encoders: Mapping[str, TunedEncoder] | None = None,
        cross_modal: CrossModalConfig | None = None,
        task: TargetKind = "class",
    ) -> None:
        super().__init__(probe=probe, encoders=encoders, task=task)
        self.own_loss: Number = getattr(fusion, "own_loss", 0.0)
        self.adds_own_losses = bool(self.own_loss)
        self.fusion = build_fusion(fusion, widths, classes, task)
        number_places(self.fusion, _FUSION)
        self.dialogue = dialogue_encoder(dialogue, fusion.width)
        self.build_head(config, fusion.width, classes)
        self.cross_modal = CrossModal(cross_modal) if cross_modal is not None and cross_modal.weight else None
        self._met: tuple[Tensor, Tensor] | None = None  # the contrast of the last batch, likewise
        self._last: Fused | None = None  # of the last batch, for `auxiliary`, which is called after the forward
        self._counted_B: Tensor | None = None  # likewise

    def read(self, x: Any) -> dict[str, Any]:
        """Compute one vector (N, D_m) per modality of a FusedBatch; States for a fusion that reads sequences."""
        raise NotImplementedError

    def join(
        self,
        parts: Mapping[str, Any],
        present_BM: Tensor,
        layout: Layout | None = None,
        counted_B: Tensor | None = None,
    ) -> Tensor:
        """Compute h (N, H) of one vector per modality. A row without any modality counts as having its first one.

        Args:
            layout: where the rows stand in their dialogues.
            counted_B: as in a FusedBatch.
        """
        nothing_B1 = ~present_BM.any(dim=-1, keepdim=True)  # such rows are scored, and are never part of a loss
        present_BM = torch.cat([present_BM[..., :1] | nothing_B1, present_BM[..., 1:]], dim=-1)
        if self.cross_modal is not None and self.training:
            there_BM = present_BM if counted_B is None else present_BM & counted_B.unsqueeze(-1)
            self._met = self.cross_modal(parts, there_BM)
        self._last, self._counted_B = self.fusion(parts, present_BM, counted_B), counted_B
        if self.dialogue is None:
            return self.blocks(self._last.h_BD)
        return self.blocks(self.dialogue(self._last.h_BD, layout))

    def represent(self, x: Any, present_N: Tensor | None = None) -> Tensor:
        """Compute h (N, H) of a FusedBatch."""
        return self.join(self.read(x), x.present_BM, x.layout, x.counted_B)

    def forward(self, x: Any, present_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute h (N, H) and class scores (N, C) of a FusedBatch."""
        return self.scored(self.represent(x))

    def scored(self, h_NH: Tensor) -> tuple[Tensor, Tensor]:
        """Return h and the class scores (N, C) of the batch that `join` was last given."""
        assert self._last is not None
        logits_BC = self._last.logits_BC
        return h_NH, self.classify(h_NH) if logits_BC is None else self.in_unit(logits_BC)

    @property
    def last(self) -> tuple[Fused, Tensor | None] | None:
        """What the fusion gave for the last batch, and its rows that count (None: all); None after `auxiliary`."""
        return None if self._last is None else (self._last, self._counted_B)

    def auxiliary(self, labels_N: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        last, self._last = self._last, None  # lets go of the batch's graph, so that its memory can be freed
        if last is None:
            return {}, {}
        losses, shown = dict(last.losses), {f"loss_{name}": loss.detach() for name, loss in last.losses.items()}
        for modality, (logits_NC, there_N) in last.own_logits.items() if self.adds_own_losses else ():
            there_N = there_N if self._counted_B is None else there_N & self._counted_B
            own = self.own_loss * self._own_loss(logits_NC, labels_N, there_N)
            losses[f"own_{modality}"] = own
            shown[f"loss_own_{modality}"] = own.detach().where(there_N.any(dim=-1), torch.nan)
        if self.cross_modal is not None and self._met is not None:
            (met, is_compared), self._met = self._met, None
            losses["cross_modal"] = self.cross_modal.weight * met
            shown["loss_cross_modal"] = met.detach().where(is_compared, torch.nan)
        return losses, shown | last.monitors

    def _own_loss(self, logits_NC: Tensor, labels_N: Tensor, there_N: Tensor) -> Tensor:
        """Compute the loss of one modality's own outputs: cross-entropy, of labels binary, of numbers squared."""
        if self.task == "class":
            loss_N = -logits_NC.log_softmax(dim=-1).gather(-1, labels_N.unsqueeze(-1)).squeeze(-1)
            return masked_mean(loss_N, there_N)
        said_NC = ~labels_N.isnan() & there_N.unsqueeze(-1)
        y_NC = labels_N.nan_to_num().to(logits_NC)
        if self.task == "multilabel":
            loss_NC = F.binary_cross_entropy_with_logits(logits_NC, y_NC, reduction="none")
        else:
            mean, scale = beside(self.target_mean_C, logits_NC), beside(self.target_scale_C, logits_NC)
            loss_NC = (logits_NC - (y_NC - mean) / scale).square()
        return masked_mean(loss_NC.flatten(-2), said_NC.flatten(-2))


class FusedClassifier(Joined):
    """Input norm and layer mix per modality, then fusion, dialogue encoder, head.

    With a contrast between modalities a Linear-GELU of each stands before the fusion: what it gives is contrasted.

    Args: as for Joined, and
        layers: modality -> number of hidden states, in the order text, audio, video.
        width: modality -> encoder width D.
        keep_states: modalities of which states of tokens or steps of time are given (pooler none).
    """

    def __init__(
        self,
        config: HeadConfig,
        fusion: Fusion,
        dialogue: Dialogue,
        *,
        layers: Mapping[str, int],
        width: Mapping[str, int],
        classes: int,
        probe: bool = False,
        encoders: Mapping[str, TunedEncoder] | None = None,
        keep_states: Collection[str] = (),
        cross_modal: CrossModalConfig | None = None,
        task: TargetKind = "class",
    ) -> None:
        mixes = {
            m: build_mix(config, layers[m], width[m], keeps_states=m in keep_states, pools=not fusion.reads_sequences)
            for m in layers
        }
        widths = {m: mixes[m].width(layers[m], width[m]) for m in layers}
        norms = {m: InputNorm(config.input_norm, layers[m], width[m]) for m in layers}
        meets = cross_modal is not None and cross_modal.weight > 0
        super().__init__(
            config,
            fusion,
            dialogue,
            widths=dict.fromkeys(widths, fusion.width) if meets else widths,
            classes=classes,
            probe=probe,
            encoders=encoders,
            cross_modal=cross_modal,
            task=task,
        )
        meeting = {m: nn.Sequential(Linear(wide, fusion.width), nn.GELU()) for m, wide in widths.items() if meets}
        self.meeting = nn.ModuleDict(meeting)
        self.input_norms, self.layer_mixes = nn.ModuleDict(norms), nn.ModuleDict(mixes)
        self.input_dropouts = nn.ModuleDict({m: Dropout(config.input_dropout, INPUT + i) for i, m in enumerate(layers)})

    def fit_norm(self, split: Any, layers: Mapping[str, list[int]], rows_N: np.ndarray) -> None:
        """Set the statistics of each modality's input norm from those of the given training rows that have it."""
        for modality, part in split.parts.items():
            there = rows_N if part.present_N is None else rows_N[part.present_N[rows_N]]
            norm = self.input_norms[modality]
            assert isinstance(norm, InputNorm)
            fit_norm(norm, part, layers[modality], there, self.tuned.get(modality))

    def read(self, x: Any) -> dict[str, Any]:
        """Scale features and mix layers. A row without any modality gets zeros, the average, for its first one."""
        parts: dict[str, Any] = {}
        for modality, given in x.parts.items():
            read = self.layer_mixes[modality](self.input_norms[modality](self.encoded(modality, given)))
            dropout = self.input_dropouts[modality]
            parts[modality] = read._replace(x_BTD=dropout(read.x_BTD)) if isinstance(read, States) else dropout(read)
        first, nothing_B1 = next(iter(parts)), ~x.present_BM.any(dim=-1, keepdim=True)
        if isinstance(parts[first], States):
            parts[first] = parts[first].average_for(nothing_B1)
        else:
            parts[first] = parts[first].masked_fill(nothing_B1, 0.0)
        if not len(self.meeting):
            return parts
        return {
            m: self.meeting[m](part.masked_fill(~x.present_BM[..., [i]], 0.0))
            for i, (m, part) in enumerate(parts.items())
        }
