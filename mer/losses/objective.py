"""The loss of a training step: the classification loss and, by configuration, one contrastive loss."""

# Suffixes: N batch rows, C classes, D width of h.

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mer.config import APCLConfig, EACLConfig, LossConfig, SPCLConfig, SupConConfig
from mer.losses.classification import ClassificationLoss
from mer.losses.contrastive import decoupled_loss, prototype_contrastive_loss, supcon_loss
from mer.losses.distillation import Lesson
from mer.losses.eacl import EACL, label_words
from mer.losses.prototypes import AdaptivePrototypes, ClassPools

POOL_SUPPORT, POOL_ENTRY = 32, 33  # places of random draws; those of dropout layers are lower


class Drawing(Protocol):
    """Whoever draws random bits by place: `mer.training.draws.Draws`."""

    def bits(self, place: int, *shape: int) -> Tensor: ...
    def table(self, place: int, rows: int, columns: int) -> Tensor: ...


class Outputs(NamedTuple):
    """Outputs of a model for a batch, as the objectives read them."""

    h_ND: Tensor  # representation that the contrastive losses act on
    logits_NC: Tensor  # class scores
    anchors_CD: Tensor | None = None  # representation of the label words by the same model; EACL only
    lesson: Lesson | None = None  # outputs of a teacher for these rows; students only
    students: Mapping[str, tuple[Tensor, Outputs]] = {}  # modality -> (rows it can read, its outputs for them)
    states_NSPD: Tensor | None = None  # hidden states of stages, averaged over parts of time; students only


class Objective(nn.Module):
    """The classification loss alone, and the base class of all objectives.

    Order of calls: `start_epoch` before the first step of an epoch; in each step forward, backward, optimiser step,
    `after_step`. All state is in parameters and saved buffers. Do not measure a dev loss with an objective: some draw
    random numbers (SPCL), and logit adjustment is for training only.
    """

    draws: Drawing | None = None  # gives random bits; None: torch's global generator
    needs_centers = False  # start_epoch needs the class means of all training features
    stage_two_epochs = 0  # number of last epochs that train the anchors only
    supervised = "classification"  # name of the part that compares outputs with labels

    def __init__(self, config: LossConfig, counts_C: Tensor) -> None:
        super().__init__()
        self.classification = ClassificationLoss(config.classification, counts_C)
        self.weights = {"classification": 1.0}

    def forward(self, outputs: Outputs, y_N: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss to backpropagate (scalar fp32), and its unweighted parts by name, detached."""
        parts = self.parts(outputs, y_N)
        total = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        """Compute the unweighted losses by name; `weights` weighs them in the total."""
        return {"classification": self.classification(outputs.logits_NC, y_N)}

    def start_epoch(self, centers_CD: Tensor | None) -> None:
        """Begin an epoch. `centers_CD`: class means of all training features if `needs_centers`, else None."""

    def after_step(self, outputs: Outputs, y_N: Tensor) -> None:
        """Update prototypes with the batch, after the optimiser's step."""

    def begin_stage_two(self, anchors_CD: Tensor) -> None:
        """Start training the anchors only. Raises: ValueError if the objective has no anchors."""
        raise ValueError("only loss.contrastive.kind 'eacl' with stage_two_epochs > 0 has a stage two")

    def anchor_scores(self, outputs: Outputs) -> Tensor:
        """Score each class by its anchor, (N, C). Raises: ValueError if the objective has no anchors."""
        raise ValueError("anchor scores need loss.contrastive.kind 'eacl'")

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the objective's own parameters by group name; groups without parameters are left out."""
        return {}


class SupConObjective(Objective):
    """Classification + w SupCon (Khosla et al. 2020)."""

    def __init__(self, config: LossConfig, contrastive: SupConConfig, counts_C: Tensor) -> None:
        super().__init__(config, counts_C)
        self.temperature = contrastive.temperature
        self.weights["contrastive"] = contrastive.weight

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        contrastive = supcon_loss(outputs.h_ND, y_N, temperature=self.temperature)
        return {**super().parts(outputs, y_N), "contrastive": contrastive}


class SPCLObjective(Objective):
    """Classification + w SPCL (Song et al. 2022): prototypes are means of random members of class pools."""

    needs_centers = True

    def __init__(self, config: LossConfig, contrastive: SPCLConfig, width: int, counts_C: Tensor) -> None:
        super().__init__(config, counts_C)
        self.config = contrastive
        self.weights["contrastive"] = contrastive.weight
        self.pools = ClassPools(len(counts_C), contrastive.pool_size, width)

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        contrastive = prototype_contrastive_loss(
            outputs.h_ND,
            y_N,
            self.pools.prototypes(self.config.support_size, self.config.small_pool, self._lottery(POOL_SUPPORT)),
            temperature=self.config.temperature,
            form=self.config.form,
            hinge=self.config.hinge,
        )
        return {**super().parts(outputs, y_N), "contrastive": contrastive}

    def start_epoch(self, centers_CD: Tensor | None) -> None:
        """Empty the pools and put the class centre into each. Raises: ValueError without centres."""
        if centers_CD is None:
            raise ValueError("loss.contrastive.kind 'spcl' starts an epoch from class centres, got None")
        self.pools.reset(centers_CD)

    def after_step(self, outputs: Outputs, y_N: Tensor) -> None:
        lottery_N = None if self.draws is None else self.draws.bits(POOL_ENTRY, len(y_N))
        self.pools.push(outputs.h_ND, y_N, lottery_N)

    def _lottery(self, place: int) -> Tensor | None:
        """A number for each slot of each pool (C, Q)."""
        return None if self.draws is None else self.draws.table(place, *self.pools.pool.shape[:2])


class APCLObjective(Objective):
    """Classification + w APCL (methods 2.3, ours): orthonormal prototypes follow the class means."""

    def __init__(
        self, config: LossConfig, contrastive: APCLConfig, width: int, counts_C: Tensor, anchors_CD: Tensor | None
    ) -> None:
        super().__init__(config, counts_C)
        from_labels = contrastive.proto_init == "label_text"
        if from_labels and anchors_CD is None:
            raise ValueError("loss.contrastive.proto_init 'label_text' needs anchors_CD: one label vector per class")
        self.config = contrastive
        self.weights["contrastive"] = contrastive.weight
        self.prototypes = AdaptivePrototypes(
            len(counts_C),
            width,
            beta=contrastive.beta,
            gamma=contrastive.gamma,
            orthogonalize=contrastive.orthogonalize,
            init_CD=anchors_CD if from_labels else None,
            each=contrastive.prototypes,
        )

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        contrastive = decoupled_loss(
            outputs.h_ND,
            y_N,
            self.prototypes.mu,
            temperature=self.config.temperature,
            anchors=self.config.anchors,
            hinge=self.config.hinge,
            each=self.prototypes.each,
            assigned_N=None if self.prototypes.each == 1 else self.prototypes.assigned(outputs.h_ND, y_N),
        )
        return {**super().parts(outputs, y_N), "contrastive": contrastive}

    def after_step(self, outputs: Outputs, y_N: Tensor) -> None:
        self.prototypes.update(outputs.h_ND, y_N)


class EACLObjective(Objective):
    """lambda classification + (1 - lambda) (contrastive + eta angle) (Yu et al. 2024); in stage two, adaptation."""

    def __init__(self, config: LossConfig, contrastive: EACLConfig, width: int, counts_C: Tensor) -> None:
        super().__init__(config, counts_C)
        self.stage_two_epochs = contrastive.stage_two_epochs
        rest = 1 - contrastive.ce_weight
        self.weights = {
            "classification": contrastive.ce_weight,
            "contrastive": rest,
            "angle": rest * contrastive.angle_weight,
            "adaptation": 1.0,
        }
        self.eacl = EACL(contrastive, width, len(counts_C))

    def parts(self, outputs: Outputs, y_N: Tensor) -> dict[str, Tensor]:
        if self.eacl.in_stage_two:
            return {"adaptation": self.eacl.adaptation_loss(outputs.h_ND, y_N)}
        contrastive, angle = self.eacl(outputs.h_ND, y_N, label_words(outputs.anchors_CD))
        return {**super().parts(outputs, y_N), "contrastive": contrastive, "angle": angle}

    def begin_stage_two(self, anchors_CD: Tensor) -> None:
        self.eacl.begin_stage_two(anchors_CD)

    def anchor_scores(self, outputs: Outputs) -> Tensor:
        return self.eacl.anchor_scores(outputs.h_ND, outputs.anchors_CD)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        groups = {"loss": list(self.eacl.mapper.parameters())}
        if self.eacl.adapted_anchors is not None:
            groups["anchors"] = [self.eacl.adapted_anchors]
        return groups


def build_objective(config: LossConfig, *, width: int, counts_C: Tensor, anchors_CD: Tensor | None = None) -> Objective:
    """Build the objective that a configuration asks for.

    Args:
        width: of h.
        counts_C: training samples per class.
        anchors_CD: label-word vectors of that width, read by APCL with proto_init 'label_text' only.
    Raises: ValueError if label vectors are needed and missing or of another shape, or APCL's prototypes do not fit.
    """
    match config.contrastive:
        case SupConConfig() as contrastive:
            return SupConObjective(config, contrastive, counts_C)
        case SPCLConfig() as contrastive:
            return SPCLObjective(config, contrastive, width, counts_C)
        case APCLConfig() as contrastive:
            return APCLObjective(config, contrastive, width, counts_C, anchors_CD)
        case EACLConfig() as contrastive:
            return EACLObjective(config, contrastive, width, counts_C)
        case _:
            return Objective(config, counts_C)
