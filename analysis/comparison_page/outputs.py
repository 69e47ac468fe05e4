"""What was predicted of a split, in the form in which two results are paired, whatever the task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.evaluation_page.classes import alike as of_classes
from analysis.stores.evaluation import Evaluation
from analysis.stores.study import Study


@dataclass(frozen=True)
class Outputs:
    """Outputs on the same rows.

    Args:
        ids: of the N utterances.
        names: of the C classes, numbers or labels.
        outputs: an array (N, C) for each seed.
        truth: classes (N,), or numbers or labels (N, C).
    """

    ids: list[str]
    names: list[str]
    outputs: list[np.ndarray]
    truth: np.ndarray

    @property
    def dialogues(self) -> list[str]:
        """The dialogue of each utterance: its id up to the utterance's number."""
        return [one.rpartition("_utt")[0] or one for one in self.ids]

    def fits(self, other: Outputs) -> bool:
        """Tell whether both are of the same utterances, names and labels."""
        equal_nan = self.truth.dtype.kind == "f"
        alike = (self.ids, self.names) == (other.ids, other.names)
        return alike and np.array_equal(self.truth, other.truth, equal_nan=equal_nan)


def of_evaluation(one: Evaluation) -> Outputs | None:
    """Read what the seeds predicted, as far as they are of the same utterances; None where nothing is there."""
    if one.kind == "class":
        found = of_classes(one)
        scores = [of.scores_NC for of in found]
        return Outputs(found[0].ids, found[0].class_names, scores, found[0].true_N) if found else None
    told = list(one.targets.values())
    same = [of for of in told if (of.ids, of.names) == (told[0].ids, told[0].names)]
    return Outputs(same[0].ids, same[0].names, [of.output_NT for of in same], same[0].true_NT) if same else None


def of_study(study: Study) -> Outputs | None:
    """Read what the best trial predicted of dev; None where it was not kept."""
    if not study.best:
        return None
    if study.task == "class":
        found = study.predictions(study.best)
        return None if found is None else Outputs(found.ids, found.class_names, [found.scores_NC], found.true_N)
    told = study.targets(study.best)
    return None if told is None else Outputs(told.ids, told.names, [told.output_NT], told.true_NT)
