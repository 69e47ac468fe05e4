"""Scores of seeds on another corpus, of what it has in common with the model.

Shape suffixes: N utterances, C outputs of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mer.config import DataConfig
from mer.data.types import Unit
from mer.errors import MerError
from mer.statistics import Scored, describe, unit_bootstrap
from mer.study.evaluate.label_map import OPTION, LabelMap
from mer.study.evaluate.report_on_test import HEADINGS
from mer.study.evaluate.target_map import WORDS, TargetMap
from mer.study.show.words import BAR
from mer.training import AnyScores, Split, baseline_scores, scores_of
from mer.training.label_thresholds import shifted
from mer.training.labels import has_label

Mapped = LabelMap | TargetMap


def metrics_on(own: DataConfig) -> tuple[str, ...]:
    """List the metrics of a model on another corpus, in the order of tables. Args: own: the model's data."""
    known = Scored(own.task, own.range).metrics
    return tuple(name for name in HEADINGS[own.task] if name in known)


def scores_on(
    logits: Sequence[np.ndarray],
    target: Split,
    mapped: Mapped,
    own: DataConfig,
    unit: Unit,
    *,
    split: str,
    seen_N: np.ndarray | None = None,
    above: Sequence[Mapping[str, float]] = (),
) -> dict[str, Any]:
    """Score every seed on what is shared, and without the texts that training has; of classes among all, too.

    Args:
        logits: outputs (N, C) of each seed.
        target: the rows of the other corpus.
        own: data of the model, whose task and range say how outputs are scored.
        unit: what of the corpus is independent.
        seen_N: rows whose text training has; None: the model reads none.
        above: of several labels, the thresholds that dev chose for each seed.
    Returns: the part of `on-CORPUS-SPLIT.json` that has numbers.
    Raises: MerError when no row says anything that is scored.
    """
    task, names = own.task, metrics_on(own)
    columns = [mapped.outputs.index(name) for name in mapped.shared]
    shown = [logits_NC[:, columns] for logits_NC in logits]
    truth = mapped.truth(target.labels_N)
    kept = np.flatnonzero(has_label(truth))
    if not len(kept):
        what = "has a label that is a class" if task == "class" else f"says a {WORDS[task]}"
        then = "map its labels" if task == "class" else f"map its {WORDS[task]}s"
        raise MerError(OPTION, f"no row of {split} {what} of the model", then=then)

    def scored(outputs: np.ndarray, labels: np.ndarray) -> AnyScores:
        return scores_of(own, outputs, labels, mapped.shared)

    each = [scored(outputs, truth).as_metrics("on") for outputs in shown]
    units = [unit.of(target.ids[row]) for row in kept]
    how = Scored(task, own.range)
    bounds = {
        name: unit_bootstrap(name, [outputs[kept] for outputs in shown], truth[kept], units, scored=how)
        for name in names
    }
    bar = baseline_scores(own, truth[kept], truth[kept], mapped.shared).as_metrics("on")
    told: dict[str, Any] = {
        **_of_names(mapped),
        "rows": {"scored": len(kept), "of": len(truth), "left_out": mapped.counts(target.labels_N)},
        "by_seed": [{name: one[f"on_{name}"] for name in names} for one in each],
        "summary": {
            name: {**asdict(describe([one[f"on_{name}"] for one in each])), "bootstrap_interval": bounds[name]}
            for name in names
        },
        BAR[task]: {name: bar[f"on_{name}"] for name in names},
        "unit": unit.name,
        "units": len(set(units)),
    }
    if isinstance(mapped, LabelMap):
        told |= _among_all(logits, mapped, target, own, each)
    else:
        told["each"] = _each(mapped, each, "ccc" if task == "regression" else "f1")
    if above:
        told["at_threshold"] = _at_thresholds([scored(a, truth) for a in shown], mapped.shared, above, scored, names)
    if seen_N is not None and seen_N[kept].any():
        fresh = np.where(seen_N if truth.ndim == 1 else seen_N[:, None], -1 if task == "class" else np.nan, truth)
        again = [scored(outputs, fresh).as_metrics("on") for outputs in shown] if has_label(fresh).any() else []
        told["texts_of_train"] = {
            "rows": int(seen_N[kept].sum()),
            "without": {name: describe([one[f"on_{name}"] for one in again]).mean if again else None for name in names},
        }
    return told


def _of_names(mapped: Mapped) -> dict[str, Any]:
    """Say what is shared, and which name stands for which."""
    told = {"shared": list(mapped.shared), "map": dict(mapped.pairs), "unused": list(mapped.unused)}
    if isinstance(mapped, LabelMap):
        return {"classes": told}
    return {"targets": told | ({"scale": asdict(mapped.scale)} if mapped.scale.words else {})}


def _among_all(
    logits: Sequence[np.ndarray],
    mapped: LabelMap,
    target: Split,
    own: DataConfig,
    each: Sequence[Mapping[str, float]],
) -> dict[str, Any]:
    """Score a model of classes that may also answer one that the corpus does not have; and say each class's recall."""
    free_N = mapped.numbers(target.labels_N, mapped.outputs)
    free = [scores_of(own, logits_NC, free_N, mapped.outputs).as_metrics("on") for logits_NC in logits]
    recall = {name: [one[f"on_recall_{name}"] for one in each if f"on_recall_{name}" in one] for name in mapped.shared}
    return {
        "all_classes": {name: describe([one[f"on_{name}"] for one in free]).mean for name in metrics_on(own)},
        "recall": {name: float(np.mean(values or [0.0])) for name, values in recall.items()},
    }


def _each(mapped: TargetMap, each: Sequence[Mapping[str, float]], kind: str) -> dict[str, float]:
    """Average a metric of each number or label over the seeds; {} for a single number."""
    found = {name: [one[f"on_{kind}_{name}"] for one in each if f"on_{kind}_{name}" in one] for name in mapped.shared}
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _at_thresholds(
    scores: Sequence[AnyScores],
    shared: Sequence[str],
    above: Sequence[Mapping[str, float]],
    scored: Callable[[np.ndarray, np.ndarray], AnyScores],
    names: Sequence[str],
) -> dict[str, Any]:
    """Score several labels of each seed at the thresholds that the model's own dev chose."""
    rows: list[dict[str, Any]] = []
    for one, places in zip(scores, above, strict=True):
        outputs = shifted(one.logits_NC, [places[name] for name in shared])
        told = scored(outputs, one.labels_N).as_metrics("on")
        rows.append({"above": {name: places[name] for name in shared}, **{name: told[f"on_{name}"] for name in names}})
    return {"by_seed": rows, "mean": {name: describe([row[name] for row in rows]).mean for name in names}}
