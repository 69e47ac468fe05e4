"""Read the results of `mer.evaluate`, on test or on dev alone, and the predictions of its seeds."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.stores.files import BROKEN, inner, number, read_text, reason, whole
from analysis.stores.predictions import Predictions, read_predictions
from analysis.stores.targets import TargetPredictions, read_targets
from mer.config import metrics
from mer.errors import MerError
from mer.study.paths import ARTIFACTS, DEV_PREDICTIONS, trial_folder

FORMAT = 1
RESULTS, DEV_RESULTS, TEST_PREDICTIONS = "results.json", "dev_results.json", "test_predictions.csv"
MAIN = ("accuracy", "weighted_f1")
_MAIN_OF = {"class": MAIN, "regression": ("ccc", "mae"), "multilabel": ("macro_f1", "micro_f1")}
_SHOWN_OF = {
    "class": ("weighted_f1", "accuracy", "macro_f1", "unweighted_accuracy"),
    "regression": ("ccc", "pearson", "acc2_has0", "acc2_non0", "acc7"),
    "multilabel": ("macro_f1", "micro_f1", "samples_f1", "jaccard"),
}
_AGAIN = "run python -m mer.evaluate again: seeds that are done are not redone"


@dataclass(frozen=True)
class Evaluation:
    """One configuration over its seeds.

    Args:
        path: of its results file; beside it lie the trials of its seeds.
        split: test, or dev where there is no test split.
        told: the file.
        unreadable: file of a seed -> why it cannot be read.
    """

    path: Path
    split: str
    told: dict[str, Any]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The export that was evaluated, by its folder."""
        return Path(str(self.told.get("export") or self.path.parent.name)).name

    @property
    def method(self) -> str:
        return str(self.told["method"])

    @property
    def kind(self) -> str:
        """What is predicted: class, regression or multilabel."""
        return str(self.told.get("kind", "class"))

    @property
    def main(self) -> str:
        """The metric that stands for a model; larger is better."""
        return next((main for task, main in metrics.MAIN.items() if task == self.kind), metrics.MAIN["class"])

    @property
    def shown(self) -> tuple[str, ...]:
        """The metrics of the page, the main one first; of numbers those that are larger when better."""
        found = _SHOWN_OF.get(self.kind, _SHOWN_OF["class"])
        return tuple(metric for metric in found if self.kind == "class" or self.values(metric))

    @property
    def group(self) -> tuple[str, str, str]:
        """What must be equal of two evaluations that are compared: dataset, task and split."""
        return str(self.told.get("dataset", "")), str(self.told.get("task", "")), self.split

    @property
    def unit(self) -> str:
        """What the bootstrap resampled. Files written before datasets named their unit resampled dialogues."""
        return str(self.told.get("unit", "dialogue"))

    @property
    def unit_of_row(self) -> list[str]:
        """The unit of each row of the predictions, as a number; [] where that is its dialogue, and in older files."""
        return str(self.told.get("unit_of_row") or "").split()

    @property
    def repeated(self) -> str:
        """What there is several times: a seed, of an ensemble a group of seeds."""
        return "group" if "ensemble" in self.told else "seed"

    @property
    def seeds(self) -> list[int]:
        return [row["seed"] for row in self.told["seeds"]]

    def values(self, metric: str) -> dict[int, float]:
        """Return seed -> metric. Args: metric: without its split, e.g. weighted_f1."""
        key = f"{self.split}_{metric}"
        rows = [(row["seed"], number(inner(row, self.split).get(key))) for row in self.told["seeds"]]
        return {seed: value for seed, value in rows if value is not None}

    def summary(self, metric: str) -> dict[str, Any]:
        """Return mean, sd, n, note and intervals of a metric, those that are such; empty where there is no mean."""
        told = inner(self.told, "summary", f"{self.split}_{metric}")
        if number(told.get("mean")) is None:
            return {}
        found: dict[str, Any] = {key: number(told.get(key)) for key in ("mean", "sd")}
        found |= {key: interval(told.get(key)) for key in ("t_interval", "bootstrap_interval")}
        return found | {"n": whole(told.get("n")) or len(self.seeds), "note": str(told.get("note") or "")}

    @property
    def comparisons(self) -> list[str]:
        """Sentences that compare it with other evaluations."""
        said = self.told.get("comparisons")
        items = said if isinstance(said, list) else []
        return [str(item.get("verdict", "")) if isinstance(item, dict) else str(item) for item in items if item]

    @property
    def temperature_words(self) -> str:
        """What the temperatures that dev chose make of the probabilities; "" for an export without one."""
        return str(inner(self.told, "at_temperature").get("words") or "")

    @cached_property
    def targets(self) -> dict[int, TargetPredictions]:
        """Seed -> its predictions of numbers or of several labels."""
        found: dict[int, TargetPredictions] = {}
        for row in self.told["seeds"] if self.kind != "class" else ():
            if whole(row.get("trial")) is None or row["trial"] < 0:
                continue
            folder = trial_folder(self.path.parent, row["trial"])
            path = folder / TEST_PREDICTIONS if self.split == "test" else folder / ARTIFACTS / DEV_PREDICTIONS
            try:
                if path.exists() and (read := read_targets(path)) is not None:
                    found[row["seed"]] = read
            except BROKEN as fault:
                self.unreadable[f"{path.name} of seed {row['seed']}"] = reason(fault)
        return found

    @cached_property
    def predictions(self) -> dict[int, Predictions]:
        """Seed -> its predictions; seeds whose file is missing or garbage are left out (`unreadable`)."""
        found: dict[int, Predictions] = {}
        for row in self.told["seeds"]:
            if whole(row.get("trial")) is None or row["trial"] < 0:
                continue
            folder = trial_folder(self.path.parent, row["trial"])
            path = folder / TEST_PREDICTIONS if self.split == "test" else folder / ARTIFACTS / DEV_PREDICTIONS
            try:
                if path.exists() and (read := read_predictions(path)) is not None:
                    found[row["seed"]] = read
            except BROKEN as fault:
                self.unreadable[f"{path.name} of seed {row['seed']}"] = reason(fault)
        return found


def interval(found: Any) -> tuple[float, float] | None:
    """Return the two ends of an interval; None for anything else."""
    ends = [number(end) for end in found] if isinstance(found, list) else []
    return (ends[0], ends[1]) if len(ends) == 2 and None not in ends else None  # type: ignore[return-value]


def evaluation_in(place: Path) -> Path | None:
    """Return the results file that a path means: itself, or the one in this folder; None for anything else."""
    if place.suffix == ".json" and place.is_file():
        return place
    return next((place / name for name in (RESULTS, DEV_RESULTS) if (place / name).is_file()), None)


def load_evaluation(path: Path) -> Evaluation:
    """Read one evaluation. Raises: MerError when the file holds none, or its summary does not follow from its rows."""
    try:
        found = json.loads(read_text(path))
    except FileNotFoundError:
        raise MerError(path, "No such file", allowed="results.json of an evaluation", then=_AGAIN) from None
    except (ValueError, RecursionError) as fault:
        raise MerError(path, f"is no JSON: {reason(fault)}", then=_AGAIN) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        what = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise MerError(path, f"is no results file of mer.evaluate: format {what!r}", allowed=f"format {FORMAT}")
    split = "dev" if found.get("split") == "dev" else "test"
    needed = ("method", "dataset", "seeds") if split == "dev" else ("method", "dataset", "task", "seeds")
    missing = [key for key in needed if not found.get(key)]
    told = found.get("seeds")
    missing += ["seeds"] if told and not isinstance(told, list) else []
    rows = [row if isinstance(row, dict) else {} for row in told] if isinstance(told, list) else []
    for index, row in enumerate(rows):
        missing += [] if whole(row.get("seed")) is not None else [f"seeds[{index}].seed"]
        scores = inner(row, split)
        keys = [f"{split}_{metric}" for metric in _MAIN_OF.get(str(found.get("kind", "class")), MAIN)]
        missing += [f"seeds[{index}].{split}.{key}" for key in keys if number(scores.get(key)) is None]
    if missing:
        raise MerError(path, f"lacks {', '.join(missing)}", then=_AGAIN)
    evaluation = Evaluation(path, split, found | {"seeds": rows})
    _check_means(evaluation)
    return evaluation


def _check_means(evaluation: Evaluation) -> None:
    """Compare the means of the summary with the rows. Raises: MerError when one does not follow from them."""
    for key in inner(evaluation.told, "summary"):
        metric = key.removeprefix(f"{evaluation.split}_")
        told, values = evaluation.summary(metric).get("mean"), evaluation.values(metric)
        if not values or told is None:
            continue
        mean = sum(values.values()) / len(values)
        if not math.isclose(told, mean, abs_tol=1e-9):
            words = f"the mean of {key} is {told:.6f}, its rows give {mean:.6f}"
            raise MerError(evaluation.path, words, then=_AGAIN)
