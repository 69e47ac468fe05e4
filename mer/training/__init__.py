"""The epoch loop and what it stands on: arrays, metrics, optimiser groups, seeds."""

from mer.training.data import FusedBatch, FusedSplit, Split, SplitArrays, TrainingData
from mer.training.metrics import Scores, majority_scores
from mer.training.run import Row, TrainingRun
from mer.training.scoring import build_model, class_scores
from mer.training.seeding import derive_seed, seeded

__all__ = [
    "FusedBatch",
    "FusedSplit",
    "Row",
    "Scores",
    "Split",
    "SplitArrays",
    "TrainingData",
    "TrainingRun",
    "build_model",
    "class_scores",
    "derive_seed",
    "majority_scores",
    "seeded",
]
