"""Measure time, memory and throughput of tuning a text encoder: cached split, live, and the Hugging Face Trainer.

    python -m benchmarks.tuned_steps MELD_ROOT --size large --device cuda --steps 12 --out steps.json

For mode lora and full, float32 and bfloat16 (autocast), and 0, half and all but one layers frozen: "cached" reads what
the frozen layers gave, "live" runs them in every step, "trainer" is transformers.Trainer (with peft for lora) on
AutoModelForSequenceClassification, told to train the same layers. All read the same rows in the same order, from the
same token ids. Weights are random, in RoBERTa's shape: only time and memory mean something. Token lengths are those of
MELD's texts under a tokenizer trained on them. Needs train_sent_emo.csv and no network, and leaves nothing behind.

The ways take turns, each built anew and freed again, one on the machine at a time. A step is the whole loop: its rows
gathered, forward, backward, clipping, update. Peak memory is that of the steps, weights and all.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import hugging_face_trainer
from benchmarks.random_roberta import SIZES, save_roberta
from mer.config import TrialConfig
from mer.console import quiet_libraries
from mer.errors import TrialFailed
from mer.features import ensure_features, load_features
from mer.features.backbone.files import locate
from mer.features.partial import base_weights
from mer.training import SequenceSplit, TrainingData, build_run
from mer.training.tuning import TuningRun

CHECKED, WARM_UP = 3, 4  # first steps: whose losses are compared, and which are not timed
LOSSES_APART = {"float32": 1e-3, "bfloat16": 1e-2}  # relative, at most: what is cached is rounded to float16
COLUMNS = {
    "mode": "{}", "dtype": "{}", "frozen": "{}", "how": "{}", "trained": "{:,}", "ms_per_step": "{:.1f}",
    "rows_per_s": "{:.0f}", "tokens_per_s": "{:.0f}", "peak_mib": "{:.0f}", "x_live": "{:.2f}", "x_trainer": "{:.2f}",
    "losses_apart": "{:.0e}", "note": "{}",
}  # fmt: skip


class Way(NamedTuple):
    mode: str
    dtype: str
    frozen: int
    how: str


@dataclass
class Turn:
    """Measurements of one way that was built, stepped and freed once."""

    device: str
    marks: list[float] = field(default_factory=list)  # seconds: the begin, and the end of each step
    tokens: list[int] = field(default_factory=list)  # that each step reads, without padding
    losses: list[float] = field(default_factory=list)
    trained: int = 0  # weights
    held_mib: float = 0.0  # on the GPU before anything was built
    peak_mib: float | None = None
    note: str = ""

    def begin(self) -> None:
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self.mark()

    def mark(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.marks.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        """The seconds of each timed step."""
        return np.diff(self.marks)[WARM_UP:].tolist()


def main() -> None:
    quiet_libraries()
    warnings.simplefilter("ignore")  # of transformers, about its own names
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--size", choices=list(SIZES), default="large")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--steps", type=int, default=12, help="timed steps of each way and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=5.0, help="no round begins that would end later")
    parser.add_argument("--modes", nargs="+", choices=["lora", "full"], default=["lora", "full"])
    parser.add_argument("--dtypes", nargs="+", choices=list(LOSSES_APART), default=list(LOSSES_APART))
    parser.add_argument("--past", type=int, default=0, help="turns of context before the utterance")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--micro-batch", type=int, help="rows per forward pass; the Trainer accumulates as many")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing, of all ways")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    if given.batch_size % (given.micro_batch or given.batch_size):
        parser.error("--micro-batch must divide --batch-size")
    if given.device == "cpu":
        torch.set_num_threads(1)
    depth = SIZES[given.size]["num_hidden_layers"]
    ways = [
        Way(mode, dtype, frozen, how)
        for mode in given.modes
        for dtype in given.dtypes
        for frozen in (0, depth // 2, depth - 1)
        for how in (("cached", "live", "trainer") if frozen else ("live", "trainer"))
    ]
    turns: dict[Way, list[Turn]] = {way: [] for way in ways}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        backbone = save_roberta(Path(scratch) / f"roberta-{given.size}", given.size, given.root)
        configs = {way: configured(given, way, backbone) for way in ways}
        encoder = configs[ways[0]].tuned["text"]
        base = base_weights(encoder, locate(encoder, weights=True))  # read once, as a study does
        for done in range(given.rounds):
            if done and (time.monotonic() - started) * (done + 1) / done > 60 * given.minutes:
                print(f"no time for round {done + 1} of {given.rounds}", file=sys.stderr)
                break
            for way, config in configs.items():
                turns[way].append(turn := take_turn(given, way, config, base, Path(scratch)))
                took = turn.note or f"{1000 * median(turn.seconds):.1f} ms/step"
                print(f"{time.monotonic() - started:4.0f} s: {' '.join(map(str, way))}: {took}", file=sys.stderr)
    report(given, [summary(given, way, turns) for way in ways])


def configured(given: argparse.Namespace, way: Way, backbone: Path) -> TrialConfig:
    text = {
        "backbone": str(backbone), "context": {"past": given.past}, "mode": way.mode, "dtype": way.dtype,
        "freeze_layers": way.frozen, "split_cache": way.how == "cached", "recompute": given.recompute,
    }  # fmt: skip
    optim = {"batch_size": given.batch_size, "micro_batch": given.micro_batch}
    return TrialConfig.model_validate({"data": {"root": given.root}, "encoders": {"text": text}, "optim": optim})


def take_turn(given: argparse.Namespace, way: Way, config: TrialConfig, base: dict[str, Any], scratch: Path) -> Turn:
    """Build, step and free one way. A way that does not fit into memory gets a note instead of times."""
    found = ensure_features(config.data, config.tuned["text"], ["train"], cache=scratch, progress=False)
    table, task = load_features(found.paths["train"]), config.data.label
    assert table.sequences is not None
    split = SequenceSplit(table.ids, table.sequences, table.labels[task], table.features.shape[2])
    data = TrainingData(split, split, table.label_names[task], base={"text": base})
    numbers = range(WARM_UP + given.steps)
    steps = [np.random.default_rng(number).integers(0, len(split), given.batch_size) for number in numbers]
    turn, cuda = Turn(given.device), given.device == "cuda"
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        turn.held_mib = torch.cuda.memory_allocated() / 2**20
    try:
        if way.how == "trainer":
            step_trainer(turn, config, data, steps, scratch)
        else:
            step_ours(turn, config, data, steps, last=table.hidden_states - 1)
    except (torch.OutOfMemoryError, TrialFailed) as fault:
        turn.marks, turn.note = [], "out of memory" if "out of memory" in str(fault) else str(fault)
    turn.tokens = [int(split.sequences.lengths[rows_B].sum()) for rows_B in steps]
    turn.peak_mib = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
    return turn


def step_ours(turn: Turn, config: TrialConfig, data: TrainingData, steps: list[np.ndarray], *, last: int) -> None:
    run = build_run(config, data, [last], device=turn.device)
    assert isinstance(run, TuningRun)
    run._begin_epoch()
    turn.trained = sum(weight.numel() for group in run.optimizer.param_groups for weight in group["params"])
    turn.begin()
    for number, rows_B in enumerate(steps):
        torch.manual_seed(number)
        turn.losses.append(run._step(rows_B)["loss"])
        turn.mark()
    turn.note = f"did not fit with {run.retried_from} rows at once" if run.retried_from else ""


def step_trainer(turn: Turn, config: TrialConfig, data: TrainingData, steps: list[np.ndarray], scratch: Path) -> None:
    split, rows = data.train, np.concatenate(steps)
    assert isinstance(split, SequenceSplit)
    model = hugging_face_trainer.classifier_of(config, len(data.class_names))
    turn.trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    ids = [split.sequences.gather(rows[[at]]).values.tolist() for at in range(len(rows))]
    labels = split.labels_N[rows].tolist()
    hugging_face_trainer.train(
        model, config, ids, labels, device=turn.device, scratch=scratch, on_begin=turn.begin, on_step=turn.mark
    )


def summary(given: argparse.Namespace, way: Way, turns: dict[Way, list[Turn]]) -> dict[str, Any]:
    """Medians over all timed steps. Ratios are medians over rounds, of the medians of a round."""
    own = turns[way]
    row = way._asdict() | {"trained": own[-1].trained, "note": own[-1].note, "losses": own[0].losses[:CHECKED]}
    row["held_mib"] = max(turn.held_mib for turn in own)
    timed = [turn for turn in own if turn.seconds]
    if not timed:
        return row
    seconds = median(taken for turn in timed for taken in turn.seconds)
    speeds = [n / taken for turn in timed for n, taken in zip(turn.tokens[WARM_UP:], turn.seconds, strict=True)]
    row |= {"ms_per_step": 1000 * seconds, "rows_per_s": given.batch_size / seconds, "tokens_per_s": median(speeds)}
    row["peak_mib"] = max((turn.peak_mib for turn in timed if turn.peak_mib is not None), default=None)
    for how in {"cached": ("live", "trainer"), "live": ("trainer",), "trainer": ()}[way.how]:
        pairs = zip(own, turns[way._replace(how=how)], strict=True)
        ratios = [
            median(other.seconds) / median(turn.seconds) for turn, other in pairs if turn.seconds and other.seconds
        ]
        row[f"x_{how}"] = median(ratios) if ratios else None
    if way.how == "cached" and (live := turns[way._replace(how="live")][0].losses[:CHECKED]):
        row["losses_apart"] = float(np.abs(np.array(row["losses"]) / live - 1).max())
    return row


def report(given: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    import peft
    import transformers

    device = torch.cuda.get_device_name() if given.device == "cuda" else "CPU, one thread"
    print(f"RoBERTa {given.size}, {device}, batches of {given.batch_size}, {given.past} turns of context")
    print("x_live, x_trainer: how many times as fast as that way. losses_apart: of the first steps, from those of live")
    cells = [[style.format(row[n]) if row.get(n) is not None else "-" for n, style in COLUMNS.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
    for line in [list(COLUMNS), *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    far = [row for row in rows if row.get("losses_apart", 0.0) > LOSSES_APART[row["dtype"]]]
    print(f"losses with and without the cache {'DIFFER' if far else 'agree'}")
    if given.out:
        versions = {library.__name__: library.__version__ for library in (torch, transformers, peft)}
        options = {name: value for name, value in vars(given).items() if name not in ("root", "out")}
        said = {"device": device, "float32_matmul": torch.get_float32_matmul_precision(), "versions": versions}
        given.out.write_text(json.dumps(said | {"options": options, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
