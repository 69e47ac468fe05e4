"""Contrastive losses as pure functions of features, labels and prototypes (methods 1.3, 2.3, 2.4, 3.4).

An *anchor* is a row whose similarities to all other rows enter the loss. An anchor without a positive (another row of
its label) contributes nothing. When no row contributes, the loss is an exact zero that still allows `backward`.
"""

# Suffixes: N batch rows, C classes, D width, A anchors, M = N + C points.

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mer.losses.geometry import LANES, Scalar, cosine, full_precision, masked_logsumexp, similarity_to_all, unit
from mer.tensor_math import at_least_single, masked_mean

Anchors = Literal["batch", "all"]
Form = Literal["spcl", "spdcl"]

_ARCCOS_MARGIN = 1e-6


def supcon_loss(h_ND: Tensor, y_N: Tensor, *, temperature: Scalar, there_N: Tensor | None = None) -> Tensor:
    """Pull together the utterances of a batch that share an emotion (Khosla et al. 2020, L_out).

    Args:
        h_ND: features, any scale; y_N: labels, int64.
        temperature: divides the cosine; > 0.
    Returns: scalar, mean over anchors with at least one positive, nats.
    """
    with full_precision(h_ND):
        unit_ND = unit(h_ND)
        scores_NN = unit_ND @ unit_ND.mT / temperature
    others_NN = ~torch.eye(y_N.shape[-1], dtype=torch.bool, device=y_N.device)
    if there_N is not None:
        others_NN = others_NN & there_N.unsqueeze(-2)
    positive_NN = (y_N.unsqueeze(-1) == y_N.unsqueeze(-2)) & others_NN
    loss_N = masked_logsumexp(scores_NN, others_NN) - _mean_over(scores_NN, positive_NN)
    anchor_N = positive_NN.any(dim=-1)
    return masked_mean(loss_N, anchor_N if there_N is None else anchor_N & there_N)


def prototype_contrastive_loss(
    h_ND: Tensor,
    y_N: Tensor,
    prototypes_CD: Tensor,
    *,
    temperature: Scalar,
    form: Form = "spcl",
    anchors: Anchors = "batch",
    hinge: Scalar = 0.0,
    there_N: Tensor | None = None,
) -> Tensor:
    """Contrast each utterance with the batch and one prototype per class (Song et al. 2022, SPCL).

    Let s = ((1 + cos) / 2) / temperature between anchor i and every other point (batch rows and prototypes), P the
    points with its label and N the others. Then
    spcl:  L_i = LSE_{P+N} s - LSE_P s, without the reference's constant log |P|, so L_i > 0;
    spdcl: L_i = LSE_N s - mean_P s, which may be negative.

    Args:
        h_ND: features, any scale; y_N: labels in [0, C), int64.
        prototypes_CD: one point per class, C >= 2; gradients reach it unless the caller detaches it.
        anchors: batch rows only, or also the prototypes that have a positive in the batch.
        hinge: anchors with L_i at or below it are left out of the mean; with 0 and 'spcl' none is.
    Returns: scalar, mean over the anchors that are kept, nats.
    """
    loss_A, valid_A = _anchor_losses(h_ND, y_N, prototypes_CD, temperature, form, anchors, there_N)
    # ~(loss <= hinge), not loss > hinge: a NaN must stay in the loss, where the training loop detects it
    return masked_mean(loss_A, valid_A & ~(loss_A <= hinge))


def decoupled_loss(
    h_ND: Tensor,
    y_N: Tensor,
    prototypes_CD: Tensor,
    *,
    temperature: Scalar,
    anchors: Anchors = "batch",
    hinge: Scalar = 0.0,
    there_N: Tensor | None = None,
    assigned_N: Tensor | None = None,
    each: int = 1,
) -> Tensor:
    """Average max(L_i - hinge, 0) over anchors, with L_i of form 'spdcl': APCL's loss (methods 2.3 b).

    Unlike in `prototype_contrastive_loss`, anchors below the hinge count in the mean (as 0), and no gradient reaches
    the prototypes. Arguments and shapes are the same.

    Args:
        each: prototypes of a class, side by side.
        assigned_N: int64, where that is several: the one of each row. The others of its class are neither positive nor
            negative for it.
    """
    prototypes_CD = prototypes_CD.detach()
    loss_A, valid_A = _anchor_losses(h_ND, y_N, prototypes_CD, temperature, "spdcl", anchors, there_N, assigned_N, each)
    return masked_mean(F.relu(loss_A - hinge), valid_A)


def angle_loss(anchors_CD: Tensor) -> Tensor:
    """Spread the anchors around their centre (Yu et al. 2024, EACL).

    Minimises -mean_i arccos(max_{j != i} cos(a_i, a_j)), a centred: minus the mean angle to the nearest other anchor.
    The minimum is the regular simplex, at -arccos(-1 / (C - 1)); for C = 7 that is an angle of 99.6 degrees.

    Args:
        anchors_CD: C >= 2 anchors.
    Returns: scalar, radians.
    """
    anchors_CD = at_least_single(anchors_CD)
    centred_CD = anchors_CD - anchors_CD.mean(dim=-2, keepdim=True)
    own_CC = torch.eye(anchors_CD.shape[-2], dtype=torch.bool, device=anchors_CD.device)
    nearest_C = cosine(centred_CD, centred_CD).masked_fill(own_CC, -torch.inf).amax(dim=-1)
    # The slope of arccos is infinite at 1, so its argument is bounded. The gradient passes the bound unchanged:
    # otherwise two anchors that nearly coincide would never be pushed apart.
    bounded_C = nearest_C.clamp(-1 + _ARCCOS_MARGIN, 1 - _ARCCOS_MARGIN)
    cosine_C = nearest_C + (bounded_C - nearest_C).detach()
    angle_C = torch.arccos(F.pad(cosine_C, (0, -cosine_C.shape[-1] % LANES)))[..., : cosine_C.shape[-1]]
    return -angle_C.mean(dim=-1)


def _anchor_losses(
    h_ND: Tensor,
    y_N: Tensor,
    prototypes_CD: Tensor,
    temperature: Scalar,
    form: Form,
    anchors: Anchors,
    there_N: Tensor | None,
    assigned_N: Tensor | None = None,
    each: int = 1,
) -> tuple[Tensor, Tensor]:
    """Compute each anchor's loss (A,) and whether it has a positive (A,); A = N or N + C."""
    points_MD = torch.cat([at_least_single(h_ND), at_least_single(prototypes_CD)], dim=-2)
    classes_C = torch.arange(prototypes_CD.shape[-2], device=y_N.device) // each
    labels_M = torch.cat([y_N, classes_C.expand(*y_N.shape[:-1], -1)], dim=-1)
    if anchors == "all" and h_ND.ndim == 3:  # of several members: fill up to whole lanes with points of no class
        filling = -labels_M.shape[-1] % LANES
        there_N = torch.ones_like(y_N, dtype=torch.bool) if there_N is None else there_N
        points_MD, labels_M = F.pad(points_MD, (0, 0, 0, filling)), F.pad(labels_M, (0, filling), value=-1)
    num_anchors = y_N.shape[-1] if anchors == "batch" else labels_M.shape[-1]

    scores_AM = similarity_to_all(points_MD, num_anchors, temperature)
    same_AM = labels_M[..., :num_anchors, None] == labels_M[..., None, :]
    itself_AM = torch.eye(num_anchors, labels_M.shape[-1], dtype=torch.bool, device=y_N.device)
    positive_AM, negative_AM = same_AM & ~itself_AM, ~same_AM
    if assigned_N is not None:
        positive_AM = positive_AM & _joined(assigned_N, prototypes_CD.shape[-2], num_anchors, labels_M.shape[-1])
    there_A: Tensor | None = None
    if there_N is not None:
        there_M = torch.cat([there_N, labels_M[..., y_N.shape[-1] :] >= 0], dim=-1)
        there_A = there_M[..., :num_anchors]
        positive_AM, negative_AM = positive_AM & there_M.unsqueeze(-2), negative_AM & there_M.unsqueeze(-2)
    negative_A = masked_logsumexp(scores_AM, negative_AM)
    if form == "spcl":
        # log((P + N) / P) = log(1 + N / P): exact for P >> N, where the difference of two LSEs would round to 0
        loss_A = F.softplus(negative_A - masked_logsumexp(scores_AM, positive_AM))
    else:
        loss_A = negative_A - _mean_over(scores_AM, positive_AM)
    valid_A = positive_AM.any(dim=-1)
    return loss_A, valid_A if there_A is None else valid_A & there_A


def _joined(assigned_N: Tensor, prototypes: int, num_anchors: int, points: int) -> Tensor:
    """Say which pairs are two rows, or a row and its own prototype: bool (A, M). Prototypes are no pairs."""
    rows, device = assigned_N.shape[-1], assigned_N.device
    numbers_R = torch.arange(prototypes, device=device).expand(*assigned_N.shape[:-1], -1)
    own_M = F.pad(torch.cat([assigned_N, numbers_R], dim=-1), (0, points - rows - prototypes), value=-1)
    is_row_M = torch.arange(points, device=device) < rows
    is_row_A1 = is_row_M[:num_anchors, None]
    own_AM = own_M[..., :num_anchors, None] == own_M[..., None, :]
    return (is_row_A1 & is_row_M) | ((is_row_A1 != is_row_M) & own_AM)


def _mean_over(scores_AM: Tensor, mask_AM: Tensor) -> Tensor:
    """Average each row over the mask, (A,); 0 where the mask is empty."""
    return scores_AM.where(mask_AM, 0.0).sum(dim=-1) / mask_AM.sum(dim=-1).clamp(min=1)
