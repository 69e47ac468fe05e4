"""Train one trial: the epoch loop, and the arrays, optimiser groups, seeds and scores it uses.

    run               TrainingRun: one trial, advanced an epoch at a time
    state             what a run changes while it trains, saved and put back
    epoch_row         means over the steps of an epoch, and the failures of one
    member            history, best epoch and state of one trial
    data              arrays of features and labels that a run reads
    augmented         samples beside the rows of a training split
    batches           rows of each training step of an epoch
    optimizer         parameter groups and learning rates
    draws             random numbers that belong to one trial, whoever trains beside it
    folds             one trial over all folds of its data
    packed            many trials trained as one batched program
    memory            failed allocations, told from other faults
    averaging         averages of the weights: moving, and SWA
    unimodal          labels of single modalities, made while training (Self-MM)
    tuning            runs that also train encoders
    scaling           scaled gradients of float16, and GPUs without bfloat16
    compiling         torch.compile: whether there is a compiler
    eight_bits        AdamW with moments of 8 bits
    distillation      runs that train students of a teacher
    scoring           model building, and class scores of a trained model
    labels            labels of any task: which rows have one, what losses must know of them
    scores            scores of one split, by its task
    metrics           F1, accuracy and confusion matrix of classes
    per_class         what scores say of each class or label
    said              which numbers or labels the rows of a split say
    number_scores     CCC, Pearson, MAE of numbers, and the accuracies of the papers on MOSI and CH-SIMS
    label_scores      F1 and Jaccard of several labels
    label_thresholds  decision thresholds of several labels, chosen on dev
    ensemble          the mean of several models
    calibration       temperature of probabilities, fitted to dev
    threshold         decision threshold of two classes, chosen on dev
    seeding           random seeds derived from names

`build_run` makes the run that a configuration asks for.
"""

from __future__ import annotations

from mer.config import TrialConfig
from mer.training.data import (
    FusedBatch,
    FusedSplit,
    Layers,
    SequenceSplit,
    Split,
    SplitArrays,
    TeacherOutputs,
    TrainingData,
)
from mer.training.member import Best, Member, Row
from mer.training.metrics import Scores, majority_scores
from mer.training.run import TrainingRun
from mer.training.scores import AnyScores, baseline_scores, scores_of
from mer.training.scoring import build_model, class_scores, outputs_of
from mer.training.seeding import derive_seed, seeded

__all__ = [
    "AnyScores",
    "Best",
    "FusedBatch",
    "FusedSplit",
    "Layers",
    "Member",
    "Row",
    "Scores",
    "SequenceSplit",
    "Split",
    "SplitArrays",
    "TeacherOutputs",
    "TrainingData",
    "TrainingRun",
    "baseline_scores",
    "build_model",
    "build_run",
    "class_scores",
    "derive_seed",
    "majority_scores",
    "outputs_of",
    "scores_of",
    "seeded",
]


def build_run(config: TrialConfig, data: TrainingData, layers: Layers, device: str = "cpu") -> TrainingRun:
    """The run that a configuration asks for: with a teacher where it has `distill`, with its encoders where some of
    them are tuned."""
    kind: type[TrainingRun] = TrainingRun
    if config.distill is not None:
        from mer.training.distillation import DistillationRun

        kind = DistillationRun
    if config.tuned:
        from mer.training.tuning import TunedDistillationRun, TuningRun

        kind = TuningRun if config.distill is None else TunedDistillationRun
    return kind(config, data, layers, device)
