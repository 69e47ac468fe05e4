"""Time one merged distillation against TelME's sequence of runs, with the same data, heads, batches and losses.

    python -m benchmarks.distillation TEACHER --root datasets/sample [--epochs 10] [--pairs 3]

TEACHER is an export that reads text. Students are heads on melstats and framestats. Three ways, in turn, K times:
    sequence, teacher in every step   one run per student, each asking the teacher's encoder at every step, then a run
                                      that trains the fusion: TelME's recipe, with the students' features cached
    sequence, teacher cached          the same runs reading the teacher's cached outputs
    merged                            one run: all students and the fusion, cached outputs
All train for the same number of epochs with the loop of `mer.training`; features of the students are cached in all
three. The cost of caching the teacher once is timed separately. All of it runs on one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from mer.checkpoints.export_folder import read_export
from mer.config import DataConfig, TrialConfig, student_config
from mer.data import Dialogue, load_corpus
from mer.losses import Lesson
from mer.model_outputs import ensure_outputs
from mer.predictor.opening import open_predictor
from mer.predictor.predictor import Predictor
from mer.study.preflight.feature_plan import ensure_config
from mer.training import TrainingData, TrainingRun, build_run
from mer.training.distillation import DistillationRun
from trainables.shared_table import SharedTable, as_training_data, read_table

STUDENTS = ("audio", "video")


class LiveTeacher(DistillationRun):
    """Runs the teacher's encoder and head for every batch, as TelME does."""

    predictor: Predictor
    dialogues: list[Dialogue]  # one per training row: the teacher reads single utterances
    seconds: float

    def _lesson(self, rows_B: np.ndarray) -> Lesson:
        started = time.perf_counter()
        live = self.predictor.encoders["text"].encode([self.dialogues[row] for row in rows_B])
        read = {"text": (live.features_NLD, None)}
        logits, h = (torch.from_numpy(said(read)) for said in (self.predictor.scores, self.predictor.representations))
        self.seconds += time.perf_counter() - started
        return Lesson(logits, h, self.share(self.step_count))


def single_utterances(root: str) -> list[Dialogue]:
    corpus = load_corpus("meld", root, splits=("train",))
    return [Dialogue(utterance.id, (utterance,)) for utterance in corpus.utterances("train")]


def to_the_end(run: TrainingRun) -> dict[str, Tensor]:
    while not run.finished:
        run.train_epoch()
    return run.weights()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="export of a text model without context")
    parser.add_argument("--root", default="datasets/sample", help="MELD-shaped corpus with clips")
    parser.add_argument("--cache", type=Path, default=Path("features"), help="folder of feature files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)

    config = TrialConfig.model_validate(
        {
            "data": {"root": given.root},
            "encoders": {"audio": {}, "video": {}},
            "fusion": {"kind": "concat"},
            "distill": {"teacher": given.teacher},
            "optim": {"batch_size": given.batch},
            "training": {"epochs": given.epochs},
        }
    )
    paths = ensure_config(config, ("train", "dev"), given.cache)
    tables = {split: {name: read_table(path) for name, path in of.items()} for split, of in paths.items()}
    predictor = open_predictor(read_export(given.teacher))
    with tempfile.TemporaryDirectory() as fresh:
        data = DataConfig(root=given.root)
        outputs = lambda: ensure_outputs(given.teacher, data, ("train", "dev"), cache=Path(fresh), progress=False)  # noqa: E731
        caching_s = timed(outputs)
    dialogues = single_utterances(given.root)

    def data_of(part: TrialConfig) -> tuple[TrainingData, object]:
        names = (*part.encoders.present, "teacher")
        own: dict[str, dict[str, SharedTable]] = {s: {n: t[n] for n in names} for s, t in tables.items()}
        return as_training_data(part, own["train"], own["dev"])

    def student(modality: str, *, live: bool) -> float:
        """Train one student. Returns the seconds spent in the teacher."""
        part = student_config(config, modality)
        run = LiveTeacher(part, *data_of(part)) if live else build_run(part, *data_of(part))
        if isinstance(run, LiveTeacher):
            run.predictor, run.dialogues, run.seconds = predictor, dialogues, 0.0
        to_the_end(run)
        return run.seconds if isinstance(run, LiveTeacher) else 0.0

    fusion = config.model_copy(update={"distill": None})

    def one_round() -> dict[str, float]:
        in_teacher: list[float] = []
        seconds = {
            "live": sum(timed(lambda m=m: in_teacher.append(student(m, live=True))) for m in STUDENTS),
            "students": sum(timed(lambda m=m: student(m, live=False)) for m in STUDENTS),
            "fusion": timed(lambda: to_the_end(build_run(fusion, *data_of(fusion)))),
            "merged": timed(lambda: to_the_end(build_run(config, *data_of(config)))),
        }
        seconds["teacher"] = sum(in_teacher)
        seconds["live"] += seconds["fusion"]
        seconds["cached"] = seconds["students"] + seconds["fusion"]
        return seconds

    rounds = [one_round() for _ in range(given.pairs)]
    middle = {name: median(seconds[name] for seconds in rounds) for name in rounds[0]}
    ratios = {name: [seconds[name] / seconds["merged"] for seconds in rounds] for name in ("live", "cached")}
    print(
        f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} after; one thread; {len(dialogues)} rows, "
        f"{given.epochs} epochs, batches of {given.batch}; medians of {given.pairs}"
    )
    for name, label in (
        ("live", "sequence, teacher in every step"), ("cached", "sequence, teacher cached"), ("merged", "merged"),
    ):  # fmt: skip
        against = (
            f"{median(ratios[name]):6.1f} ({min(ratios[name]):.1f}-{max(ratios[name]):.1f})" if name in ratios else ""
        )
        print(f"{label:33} {middle[name]:7.2f} s  {against}")
    print(
        f"of the sequence: {middle['teacher']:.2f} s in the teacher, {middle['students']:.2f} s in the two students, "
        f"{middle['fusion']:.2f} s in the fusion"
    )
    print(f"caching the teacher once (its features, its outputs, train and dev): {caching_s:.2f} s")


if __name__ == "__main__":
    main()
