"""Score dev for all members at once, and average what prototypes begin with.

Shape suffixes: P members, N rows of a split, L stored layers, D encoder width, H width of h, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mer.losses.geometry import class_means
from mer.training.data import FusedSplit
from mer.training.draws import WORDS, Draws
from mer.training.packed.fused_rows import FusedRows
from mer.training.packed.model import PackedClassifier
from mer.training.packed.objective import PackedObjective
from mer.training.packed.rows import PackedRows
from mer.training.run import TrainingRun
from mer.training.scoring import CENTER_TEMPERATURE

Rows = PackedRows | FusedRows


class PackedScoring:
    """Pass whole splits through the models of all members, in eval mode and without gradient.

    Args:
        runs: of the members.
        model, objective: of all of them.
        train, dev: the splits as they read them.
    """

    def __init__(
        self,
        runs: Sequence[TrainingRun],
        model: PackedClassifier,
        objective: PackedObjective,
        train: Rows,
        dev: Rows,
    ) -> None:
        first = runs[0]
        self.model, self.objective, self.train, self.dev = model, objective, train, dev
        self.members, self.classes, self.prediction = (
            len(runs),
            len(first.data.class_names),
            first.config.training.prediction,
        )
        self.reads_words = first.config.loss.contrastive.kind == "eacl"
        self.words_PCLD = _label_words(runs)
        self.trained_N = torch.zeros(train.size, dtype=torch.bool)
        self.trained_N[torch.from_numpy(first.train_rows)] = True
        self.trained_N = self.trained_N.to(first.device)

    def dev_scores(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Compute class scores of dev for every member, (P, N, C) float32.

        Returns: the scores; and by modality those without it, where several are read.
        """
        logits_PNC = self._scores_of_dev()
        left_out = list(self.dev.parts) if isinstance(self.dev, FusedRows) else []
        return logits_PNC, {modality: self._scores_of_dev(modality) for modality in left_out}

    @torch.no_grad()
    def _scores_of_dev(self, dropped: str = "") -> np.ndarray:
        """Compute class scores of dev, (P, N, C).

        Args: dropped: modality that is read as absent.
        """
        if self.prediction == "nearest_center" and not dropped:
            self.model.stack["class_centers_CH"].copy_(self.centers())
        anchors_PCH = self.anchors(None) if self.prediction == "nearest_anchor" else None
        parts, dev = [], self.dev
        for x, rows_N, _ in dev.chunks(dropped) if isinstance(dev, FusedRows) else dev.chunks():
            present_N = None if dev.present_N is None else dev.present_N[rows_N]
            h_PNH, scores = self.model(x, None, present_N)
            if self.prediction == "nearest_center":
                scores = self.model.center_scores(h_PNH, CENTER_TEMPERATURE)
            elif self.prediction == "nearest_anchor":
                assert anchors_PCH is not None
                scores = self.objective.anchor_scores(h_PNH, anchors_PCH)
            parts.append(scores.float().cpu())
        scores_PNC: np.ndarray = torch.cat(parts, dim=1)[:, : dev.size].numpy()
        return scores_PNC

    @torch.no_grad()
    def centers(self) -> Tensor:
        """Average h of each class over all rows that are trained on: (P, C, H)."""
        sums: Any = 0.0
        count_C = torch.bincount(self.train.labels_N[: self.train.size][self.trained_N], minlength=self.classes)
        for x, rows_N, is_new_N in self.train.chunks():
            h_PNH = self.model.represent(x, None)
            labels_PN, there_PN = (of[rows_N].expand(self.members, -1) for of in (self.train.labels_N, self.trained_N))
            mean_PCH, rows_PC = class_means(h_PNH, labels_PN, self.classes, there_PN & is_new_N)
            sums = sums + mean_PCH * rows_PC.unsqueeze(-1)
        return sums / count_C.clamp(min=1).view(1, -1, 1)

    def anchors(self, draws: Draws | None) -> Tensor | None:
        """Represent the label words by each member's model, (P, C, H); EACL only.

        Args: draws: while training, with gradient; None: eval mode.
        """
        if not self.reads_words:
            return None
        if draws is None:
            return self.model.represent(self.words_PCLD, None)
        with draws.beside(WORDS):
            return self.model.represent(self.words_PCLD, draws)


def _label_words(runs: Sequence[TrainingRun]) -> Any:
    """Return features of the label words as each member reads them (P, C, L, D), at its scale."""
    words: list[Any] = [run.words_CLD for run in runs]
    if words[0] is None:
        return None
    norms = [run.model.input_norm for run in runs]
    scaled = [norm(own) if norm.kind == "standardize" else own for own, norm in zip(words, norms, strict=True)]
    return torch.stack(scaled)


def packed_rows(runs: Sequence[TrainingRun], splits: Sequence[Any], device: str) -> PackedRows | FusedRows:
    """Hold a split as all runs read it.

    Args: splits: each run's own, of one modality or of several.
    """
    layers = [run.layers for run in runs]
    if isinstance(splits[0], FusedSplit):
        return FusedRows(splits, layers, [run.model.input_norms for run in runs], device)
    return PackedRows(splits, layers, [run.model.input_norm for run in runs], device)
