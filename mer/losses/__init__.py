"""The losses that training minimises: one Objective per trial, built from its LossConfig.

    objective       classification loss plus one contrastive loss: all that the training loop talks to
    students        the objective of one student, and of several students beside their fusion
    classification  cross-entropy, focal loss, class weights, logit adjustment
    targets         losses on numbers (MSE, MAE, Huber, CCC) and on several labels (binary cross-entropy)
    contrastive     SupCon, SPCL, APCL and angle loss as pure functions
    eacl            EACL: a learned map, and anchors made of the label words
    prototypes      SPCL's pools of past features, APCL's moving prototypes
    distillation    terms that compare a student with a teacher: KL, DIST, similarities
    adversarial     h moved so that the loss becomes worse
    review          knowledge review: stages of a student against those of its teacher
    unimodal        labels of single modalities, made while training (Self-MM)
    curriculum      SPCL's easy-to-hard choice of samples
    geometry        unit vectors, cosines, class means and masked sums that the losses share

Shape suffixes in these files: N rows of the batch, C classes, D width of h.
"""

from mer.losses.classification import ClassificationLoss, class_weights
from mer.losses.curriculum import curriculum_keep_probability
from mer.losses.distillation import Distillation, Lesson
from mer.losses.objective import Objective, Outputs, build_objective
from mer.losses.students import StudentObjective, StudentsObjective
from mer.losses.targets import Frequency, Known, Spread, build_target_objective

__all__ = [
    "ClassificationLoss",
    "Distillation",
    "Frequency",
    "Known",
    "Lesson",
    "Objective",
    "Outputs",
    "Spread",
    "StudentObjective",
    "StudentsObjective",
    "build_objective",
    "build_target_objective",
    "class_weights",
    "curriculum_keep_probability",
]
