"""Compare a study's seeds with logistic regression and an SVM on the same cached features.

    python -m benchmarks.logistic_regression features/ravdess/audio/melstats [--against studies/eval-ravdess-...]

Reads train and dev only. Features are standardised by train; C is chosen on dev, as generously as our search is.
`--against` takes a folder that `mer.evaluate` trained its seeds in, and compares dev predictions seed by seed (t) and
over resampled dialogues.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mer.data.registry import find_dataset
from mer.features import load_features
from mer.statistics import describe, paired_by_unit

GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def newest(folder: Path, split: str) -> Path:
    return max(folder.glob(f"{split}-*.safetensors"), key=lambda path: path.stat().st_mtime)


def seed_logits(study: Path, ids: tuple[str, ...]) -> list[np.ndarray]:
    """Read the dev class scores (N, C) of every seed, in the order of `ids`."""
    found = []
    for path in sorted(study.glob("trials/*/artifacts/dev_predictions.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            rows = {row[0]: [float(value) for value in row[3:]] for row in list(csv.reader(stream))[1:]}
        found.append(np.array([rows[name] for name in ids]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path, help="folder of one backbone's feature files")
    parser.add_argument("--task", default="emotion")
    parser.add_argument("--layer", type=int, default=-1)
    parser.add_argument("--against", type=Path, help="folder of a seeds study")
    asked = parser.parse_args()

    train, dev = (load_features(newest(asked.features, split)) for split in ("train", "dev"))
    truth = dev.labels[asked.task]
    scale = StandardScaler().fit(train.features[train.present, asked.layer].astype(np.float32))
    x, x_dev = (scale.transform(t.features[:, asked.layer].astype(np.float32)) for t in (train, dev))
    labels = train.labels[asked.task][train.present]
    best: dict[str, tuple[float, float, np.ndarray]] = {}
    for name, build in (("logistic regression", lambda c: LogisticRegression(C=c, max_iter=5000)), ("SVM", SVC)):
        for c in GRID:
            model = build(C=c) if build is SVC else build(c)
            predicted = model.fit(x[train.present], labels).predict(x_dev)
            score = f1_score(truth, predicted, average="weighted")
            print(f"{name:20} C {c:<6} dev weighted-F1 {100 * score:.2f}")
            if score > best.get(name, (-1.0, 0.0, predicted))[0]:
                best[name] = (score, c, predicted)
    for name, (score, c, _) in best.items():
        print(f"best {name}: {100 * score:.2f} at C {c} (chosen on dev)")
    if asked.against:
        ours = seed_logits(asked.against, dev.ids)
        told = describe([f1_score(truth, logits.argmax(axis=1), average="weighted") for logits in ours])
        low, high = told.t_interval or (float("nan"), float("nan"))
        sd = float("nan") if told.sd is None else told.sd
        print(
            f"ours: {100 * told.mean:.2f} +- {100 * sd:.2f}, {told.n} seeds, 95 % [{100 * low:.2f}, {100 * high:.2f}]"
        )
        unit = find_dataset(dev.card["ingredients"]["dataset"]).unit
        units = [unit.of(name) for name in dev.ids]
        for name, (_, _, predicted) in best.items():
            theirs = [np.eye(len(train.label_names[asked.task]))[predicted]] * len(ours)
            paired = paired_by_unit("weighted_f1", ours, theirs, truth, units)
            gap = 100 * (paired.difference or 0.0)
            print(f"ours - {name}: {gap:+.2f} points, p {paired.p:.3f} over {paired.n} {unit.name}s")


if __name__ == "__main__":
    main()
