"""What a suite is told: the options of `python -m benchmarks.run`, and the data that suites share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mer.training import TrainingData

CONTESTANTS = ("bare", "optuna", "ray", "ours-1", "ours")  # of suite study
_CLASSES = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
_SHARES = (0.4715, 0.1745, 0.0684, 0.1110, 0.0268, 0.0271, 0.1207)  # of MELD's training split
_MELD_ROWS, _WIDTH = (9989, 1109), 384  # utterances of train and dev; width of MiniLM


@dataclass(frozen=True)
class Options:
    """Options of one call.

    Args:
        pairs: rounds that must be quiet.
        tiny: the smallest form of each suite: it shows that the suite works, its numbers mean nothing.
        root: folder of MELD's CSV files.
        cache: folder of feature files.
        device: cpu or cuda, for the suites of the core.
        synthetic: random features of MELD's size instead of feature files.
        features: train and dev feature files, for the suites of the core; None: those that the cache has or makes.
        losses, fusions, widths, members, trials, contestants: what a suite goes through; () for its own choice.
        work: an empty folder for whatever a suite writes; removed at the end.
        say: told what goes on.
    """

    pairs: int
    tiny: bool
    root: Path
    cache: Path
    device: str
    synthetic: bool
    features: tuple[Path, Path] | None
    losses: tuple[str, ...]
    fusions: tuple[str, ...]
    widths: tuple[int, ...]
    members: tuple[int, ...]
    trials: tuple[int, ...]
    contestants: tuple[str, ...]
    work: Path
    say: Callable[[str], None]

    @property
    def most_rounds(self) -> int:
        """Rounds at which to give up waiting for quiet ones; a tiny form measures no round again."""
        return self.pairs * (1 if self.tiny else 2)


def training_data(options: Options) -> TrainingData:
    """Train and dev for the suites of the core: from feature files (the last hidden state, emotion labels), or random.

    Needs nothing but mer's core: neither ray nor optuna nor mlflow.
    """
    if options.synthetic:
        return synthetic(options.tiny)
    import numpy as np

    from mer.features import load_features
    from mer.training import SplitArrays, TrainingData

    tables = [load_features(path) for path in options.features or meld_features(options)]
    splits = [
        SplitArrays(t.ids, np.ascontiguousarray(t.features[:, -1:]), np.asarray(t.labels["emotion"])) for t in tables
    ]
    words = np.ascontiguousarray(tables[0].label_text["emotion"][:, -1:])
    return TrainingData(splits[0], splits[1], tuple(tables[0].label_names["emotion"]), words)


def synthetic(tiny: bool, width: int = _WIDTH) -> TrainingData:
    """Random features of the size and class shares of MELD, classes a little apart, half precision.

    Labels do not depend on the width, so that data of several widths can be the modalities of one corpus.
    """
    import numpy as np

    from mer.training import SplitArrays, TrainingData

    rng, drawn = np.random.default_rng(0), np.random.default_rng([0, width])
    centers = drawn.standard_normal((len(_CLASSES), 1, width))
    splits = []
    for name, rows in zip(("train", "dev"), (512, 128) if tiny else _MELD_ROWS, strict=True):
        shares = np.array(_SHARES) / sum(_SHARES)
        labels = rng.choice(len(_CLASSES), rows, p=shares)
        labels[: len(_CLASSES)] = np.arange(len(_CLASSES))
        features = (0.2 * centers[labels] + drawn.standard_normal((rows, 1, width))).astype(np.float16)
        splits.append(SplitArrays(tuple(f"{name}{i}" for i in range(rows)), features, labels))
    return TrainingData(splits[0], splits[1], _CLASSES, centers.astype(np.float16))


FIXED = {
    "data": {"dataset": "meld", "label": "emotion"},
    "encoders": {"text": {"backbone": "minilm", "mode": "frozen", "layers": "last"}},
}


def meld_features(options: Options) -> tuple[Path, Path]:
    """Feature files of train and dev that the suites' studies read; extracted now where they are missing."""
    import yaml

    space = options.work / "features.yaml"
    fixed = {**FIXED, "data": {**FIXED["data"], "root": str(options.root)}}
    space.write_text(yaml.safe_dump({"study": "features", "trainable": "text", "fixed": fixed}))
    printed = command(["mer.extract", str(space), "--cache", str(options.cache)])
    paths = [Path(line) for line in printed.splitlines() if line.endswith(".safetensors")]
    train, dev = (next(p for p in paths if p.name.startswith(split)) for split in ("train-", "dev-"))
    return train, dev


def command(arguments: list[str], **how: object) -> str:
    """Run `python -m ARGUMENTS`. Returns its standard output. Raises: MerError with its last lines when it fails."""
    from mer.errors import MerError

    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, **how)  # type: ignore[call-overload]
    if done.returncode:
        said = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise MerError(f"python -m {arguments[0]}", f"exit code {done.returncode}\n    {said}")
    return str(done.stdout)
