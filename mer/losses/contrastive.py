"""Contrastive losses as pure functions of features, labels and prototypes (methods 1.3, 2.3, 2.4, 3.4).

A row is an *anchor* when the loss looks at the others from it. A row without a positive contributes nothing; when no
row contributes, the loss is an exact zero that is attached to the graph.
"""

# Suffixes: N batch rows, C classes, D width, A anchors, M = N + C points.

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.losses.geometry import cosine, masked_logsumexp, masked_mean, similarity

Anchors = Literal["batch", "all"]
Form = Literal["spcl", "spdcl"]

_ARCCOS_MARGIN = 1e-6


def supcon_loss(h_ND: Tensor, y_N: Tensor, *, temperature: float) -> Tensor:
    """Pull together the utterances of a batch that share an emotion (Khosla et al. 2020, L_out).

    Args:
        h_ND: features, any scale; y_N: labels, int64.
        temperature: of the plain cosine, > 0.
    Returns: scalar, mean over anchors with at least one positive, nats.
    """
    scores_NN = cosine(h_ND, h_ND) / temperature
    others_NN = ~torch.eye(len(y_N), dtype=torch.bool, device=y_N.device)
    positive_NN = (y_N.unsqueeze(1) == y_N) & others_NN
    loss_N = masked_logsumexp(scores_NN, others_NN) - _mean_over(scores_NN, positive_NN)
    return masked_mean(loss_N, positive_NN.any(dim=1))


def prototype_contrastive_loss(
    h_ND: Tensor,
    y_N: Tensor,
    prototypes_CD: Tensor,
    *,
    temperature: float,
    form: Form = "spcl",
    anchors: Anchors = "batch",
    hinge: float = 0.0,
) -> Tensor:
    """Supervised prototypical contrastive loss: the batch plus one extra point per class (Song et al. 2022).

    With S = batch and prototypes, s = ((1 + cos) / 2) / temperature, P(i) the same label and N(i) the other labels:
    spcl:  L_i = LSE_{P+N} s - LSE_P s, without the reference's constant log |P|, so L_i > 0;
    spdcl: L_i = LSE_N s - mean_P s, which may be negative.

    Args:
        h_ND: features, any scale; y_N: labels in [0, C), int64.
        prototypes_CD: one point per class, C >= 2; gradients reach it (detach it if they must not).
        anchors: batch rows only, or also the prototypes that have a positive in the batch.
        hinge: anchors with L_i at or under it are left out of the mean; 0 leaves out none of 'spcl'.
    Returns: scalar, mean over the anchors that are kept, nats.
    """
    loss_A, valid_A = _anchor_losses(h_ND, y_N, prototypes_CD, temperature, form, anchors)
    # "Not at or under" keeps a NaN, which must reach whoever guards the loss.
    return masked_mean(loss_A, valid_A & ~(loss_A <= hinge))


def decoupled_loss(
    h_ND: Tensor,
    y_N: Tensor,
    prototypes_CD: Tensor,
    *,
    temperature: float,
    anchors: Anchors = "batch",
    hinge: float = 0.0,
) -> Tensor:
    """The loss of APCL (methods 2.3 b): mean over anchors of max(L_i - hinge, 0), L_i as in form 'spdcl'.

    Unlike `prototype_contrastive_loss`, anchors under the hinge stay in the denominator, and no gradient reaches the
    prototypes. Arguments and shapes as there.
    """
    loss_A, valid_A = _anchor_losses(h_ND, y_N, prototypes_CD.detach(), temperature, "spdcl", anchors)
    return masked_mean(F.relu(loss_A - hinge), valid_A)


def angle_loss(anchors_CD: Tensor) -> Tensor:
    """Spread the anchors: minus the mean angle to the nearest other anchor, seen from their centre (Yu et al. 2024).

    -mean_i arccos(max_{j != i} cos(a_i, a_j)) in radians, to be minimised. Lowest at the regular simplex, where it is
    -arccos(-1 / (C - 1)): 99.6 degrees for C = 7. C >= 2.
    """
    anchors_CD = anchors_CD.float()
    centred_CD = anchors_CD - anchors_CD.mean(dim=0)
    own_CC = torch.eye(len(anchors_CD), dtype=torch.bool, device=anchors_CD.device)
    nearest_C = cosine(centred_CD, centred_CD).masked_fill(own_CC, -torch.inf).amax(dim=1)
    # The slope of arccos is infinite at 1: bound the value but let the gradient through, or two anchors that nearly
    # coincide would never be pushed apart.
    bounded_C = nearest_C.clamp(-1 + _ARCCOS_MARGIN, 1 - _ARCCOS_MARGIN)
    return -torch.arccos(nearest_C + (bounded_C - nearest_C).detach()).mean()


def _anchor_losses(
    h_ND: Tensor, y_N: Tensor, prototypes_CD: Tensor, temperature: float, form: Form, anchors: Anchors
) -> tuple[Tensor, Tensor]:
    """Loss of each anchor (A,), and whether it has a positive (A,); A = N or N + C."""
    points_MD = torch.cat([h_ND.float(), prototypes_CD.float()])
    labels_M = torch.cat([y_N, torch.arange(len(prototypes_CD), device=y_N.device)])
    num_anchors = len(y_N) if anchors == "batch" else len(labels_M)

    scores_AM = similarity(points_MD[:num_anchors], points_MD, temperature)
    same_AM = labels_M[:num_anchors].unsqueeze(1) == labels_M
    positive_AM = same_AM.clone().fill_diagonal_(False)
    negative_A = masked_logsumexp(scores_AM, ~same_AM)
    if form == "spcl":
        # log((P + N) / P) = log(1 + N / P): exact where P dwarfs N, where a difference of two LSEs rounds to 0.
        loss_A = F.softplus(negative_A - masked_logsumexp(scores_AM, positive_AM))
    else:
        loss_A = negative_A - _mean_over(scores_AM, positive_AM)
    return loss_A, positive_AM.any(dim=1)


def _mean_over(scores_AM: Tensor, mask_AM: Tensor) -> Tensor:
    """Mean of each row over the mask, (A,); 0 where the mask is empty."""
    return scores_AM.where(mask_AM, 0.0).sum(dim=1) / mask_AM.sum(dim=1).clamp(min=1)
