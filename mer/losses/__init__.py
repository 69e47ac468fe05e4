"""What training minimises.

objective       one Objective per trial, built from its LossConfig: the only thing the training loop talks to
classification  cross-entropy, focal, class weights, logit adjustment
contrastive     SupCon, SPCL, APCL and angle losses as pure functions
prototypes      SPCL's class pools, APCL's adaptive prototypes
distillation    what a student learns from a teacher: KL, DIST, similarities
students        the objectives of one student, and of several beside their fusion
eacl            emotion anchors and their shared map
curriculum      SPCL's easy-to-hard sampling
geometry        cosines and masked sums they all use
"""

from mer.losses.classification import ClassificationLoss, class_weights
from mer.losses.curriculum import curriculum_keep_probability
from mer.losses.distillation import Distillation, Lesson
from mer.losses.objective import Objective, Outputs, build_objective
from mer.losses.students import StudentObjective, StudentsObjective

__all__ = [
    "ClassificationLoss",
    "Distillation",
    "Lesson",
    "Objective",
    "Outputs",
    "StudentObjective",
    "StudentsObjective",
    "build_objective",
    "class_weights",
    "curriculum_keep_probability",
]
