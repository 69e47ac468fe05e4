"""Tuned encoders whose model predicts numbers, or several labels: from a table to an export that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_backbones import save_backbone
from open_study import OpenStudy, begin_study

import mer
from mer.study.folder.recorded import read_scores
from mer.study.paths import DEV_PREDICTIONS
from mer.training import TrainingRun, build_run
from trainables.shared_table import as_training_data, read_table

SPACE = """study: tuned
trainable: MODALITY
budget: {trials: 1, epochs: 4}
scheduler: {kind: none}
fixed:
  data: {dataset: csv, root: CORPUS, task: TASK, targets: TARGETS}
  encoders: {MODALITY: {backbone: "BACKBONE", mode: lora, freeze_layers: 1, lora: {rank: 2}}}
  head: {hidden: 8}
  optim: {batch_size: 16, encoder_lr: 1e-2}
params:
  optim.head_lr: {float: [1e-2, 2e-2]}
"""
TARGETS = {"regression": "[warmth, length]", "multilabel": "[is_warm, is_long]"}
HEADER = "text,warmth,length,is_warm,is_long"


def write_table(folder: Path, *, sounds: bool = False) -> None:
    """Texts, or tones, with numbers between 50 and 120, and labels; some rows do not say all."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("dev", 24)):
        rows = [f"{HEADER},audio" if sounds else HEADER]
        for n in range(count):
            warm, long = n % 2, n // 2 % 2
            said = f"{'a cold' if warm else 'zz hot'} {'very ' * (4 * long)}day"
            number = "" if n == 5 else f"{50 + 60 * warm + rng.normal():.2f}"
            cells = [said, number, long, warm, long]
            if sounds:
                cells.append(f"{split}{n}.wav")
                wave = (0.05 + 0.5 * warm) * np.sin(np.arange(4800) * (0.05 + 0.2 * long))
                soundfile.write(folder / cells[-1], (wave + 0.01 * rng.normal(size=4800)).astype(np.float32), 16000)
            rows.append(",".join(map(str, cells)))
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def again(study: OpenStudy, run: TrainingRun) -> TrainingRun:
    """A fresh run of the same trial."""
    files = study.plan.of(run.config)
    train, dev = ({m: read_table(Path(of[split])) for m, of in files.items()} for split in ("train", "dev"))
    return build_run(run.config, *as_training_data(run.config, train, dev))


@pytest.mark.parametrize("task", TARGETS)
def test_a_tuned_text_encoder(backbone: Any, tmp_path: Path, task: str) -> None:
    write_table(tmp_path)
    study = begin_study(
        SPACE, tmp_path, CORPUS=tmp_path, MODALITY="text", BACKBONE=backbone("bert"), TASK=task, TARGETS=TARGETS[task]
    )
    run = study.train_next()
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    best = run.member.best
    assert best is not None and any(".lora_" in name for name in best.tensors)
    done = study.export(tmp_path / "model")
    assert done.largest_difference < 1e-3, "of numbers up to 120"
    assert (tmp_path / "model/adapter/adapter_model.safetensors").is_file()
    model = mer.load(tmp_path / "model")
    answers = model.predict(["a cold very very day", "zz hot day"])
    merged = study.export(tmp_path / "merged", merge=True)
    assert merged.largest_difference < 1e-2
    others = mer.load(tmp_path / "merged").predict(["a cold very very day", "zz hot day"])
    if task == "regression":
        scores = read_scores(tmp_path / "model" / DEV_PREDICTIONS)
        assert scores.logits_NC[:, 0].mean() == pytest.approx(80, abs=20), "numbers are in their own unit"
        assert {"dev_ccc", "dev_mae", "dev_mae_warmth"} <= best.row.keys()
        for one, other in zip(answers, others, strict=True):
            assert one.numbers == pytest.approx(other.numbers, rel=1e-3)
    else:
        assert {"dev_macro_f1", "dev_jaccard"} <= best.row.keys()
        for one, other in zip(answers, others, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)


def test_a_tuned_speech_encoder_of_numbers(tmp_path: Path) -> None:
    write_table(tmp_path, sounds=True)
    save_backbone("wav2vec2_layer", tmp_path / "ears")
    study = begin_study(
        SPACE, tmp_path, CORPUS=tmp_path, MODALITY="audio", BACKBONE=tmp_path / "ears", TASK="regression",
        TARGETS="[warmth]",
    )  # fmt: skip
    run = study.train_next()
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert study.export(tmp_path / "model").largest_difference < 1e-3
    (answer,) = mer.load(tmp_path / "model").predict_clips([tmp_path / "dev1.wav"])
    assert 20 < answer.numbers["warmth"] < 150


def test_a_run_of_numbers_goes_on_from_its_checkpoint(backbone: Any, tmp_path: Path) -> None:
    write_table(tmp_path)
    study = begin_study(
        SPACE, tmp_path, CORPUS=tmp_path, MODALITY="text", BACKBONE=backbone("bert"), TASK="regression",
        TARGETS=TARGETS["regression"],
    )  # fmt: skip
    whole = study.next_run()
    whole.train_epoch()
    state = whole.state()
    whole.train_epoch()
    later = again(study, whole)
    later.load_state(*state)
    later.train_epoch()
    for name, tensor in whole.weights().items():
        np.testing.assert_array_equal(later.weights()[name].numpy(), tensor.numpy(), err_msg=name)
