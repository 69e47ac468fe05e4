"""An export as an ONNX graph and as a folder that AutoModelForSequenceClassification opens: the same class scores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_study import OpenStudy, begin_study
from text_backbones import backbone

import mer
from mer.checkpoints.export_folder import read_export
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.study.export.other_forms import add_forms
from mer.study.export.whole_text import TEXTS, batch, samples

__all__ = ["backbone"]
pytestmark = pytest.mark.slow
SPACE = """study: forms
trainable: text
budget: {trials: 1, epochs: 1}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: "BACKBONE", MODE, READS}}
  head: {HEAD}
  optim: {batch_size: 16}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""
FULL = "mode: full"


def trained(place: Path, bones: Path, mode: str, reads: str, head: str) -> OpenStudy:
    place.mkdir(exist_ok=True)
    write_sample(place / "corpus", dialogues_per_split={"train": 3, "dev": 2})
    words = {"CORPUS": place / "corpus", "BACKBONE": bones, "MODE": mode, "READS": reads, "HEAD": head}
    study = begin_study(SPACE, place, **words)
    study.train_next()
    return study


def chances(folder: Path) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in mer.load(folder).predict(list(TEXTS))])


def softmax(scores_NC: np.ndarray) -> np.ndarray:
    return torch.from_numpy(scores_NC).double().softmax(dim=1).numpy()


@pytest.mark.parametrize(
    ("family", "mode", "reads", "head", "tolerance"),
    [
        ("bert", FULL, "pooler: target, layers: [1, -1], context: {past: 1}", "hidden: 16", 1e-5),
        ("roberta", f"{FULL}, freeze_layers: 1", "pooler: mean, speaker: name", "hidden: 16, layer_mix: learned", 1e-3),
        ("bert", "mode: frozen", "pooler: mask, prompt: true", "hidden: 16, input_norm: layernorm", 1e-3),
    ],
)
def test_the_graph_gives_the_scores_of_mer(
    backbone: Any, tmp_path: Path, family: str, mode: str, reads: str, head: str, tolerance: float
) -> None:
    """Features of frozen layers are kept in half precision, the graph computes in single: 1e-3 there."""
    import onnxruntime

    bones = backbone(family)
    folder = tmp_path / "model"
    export = trained(tmp_path, bones, mode, reads, head).export(folder, calibrate=mode == FULL).export
    assert add_forms(folder, ["onnx"]) == [f"  onnx: {folder / 'model.onnx'}"]
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    pad = 1 if family == "roberta" else 0
    tokens = samples(export, BackboneFolder("b", Path(bones)))
    (scores,) = session.run(None, {name: value.numpy() for name, value in batch(tokens, pad).items()})
    np.testing.assert_allclose(softmax(scores), chances(folder), atol=tolerance)
    alone = [session.run(None, {n: v.numpy() for n, v in batch([one], pad).items()})[0][0] for one in tokens]
    np.testing.assert_allclose(np.array(alone), scores, atol=1e-5)
    text = (folder / "README.md").read_text()
    assert "## Without mer" in text and "`model.onnx` is the same model" in text
    assert read_export(folder).config == export.config


OPEN = """
import sys
sys.modules["torchaudio"] = None
import numpy, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
assert not any(name.split(".")[0] == "mer" for name in sys.modules)
with torch.no_grad():
    scores = model.eval()(**tokenizer(sys.argv[2:], padding=True, truncation=True, return_tensors="pt")).logits
numpy.save("scores.npy", scores.numpy())
print([model.config.id2label[int(best)] for best in scores.argmax(1)])
"""


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("bert", "hidden: 0"),
        ("roberta", "hidden: 0, input_norm: none"),
        ("deberta", "hidden: 32"),
    ],
)
def test_transformers_alone_opens_it(backbone: Any, tmp_path: Path, family: str, head: str) -> None:
    folder = tmp_path / "model"
    trained(tmp_path, backbone(family), FULL, "pooler: first", head).export(folder, calibrate=family != "roberta")
    add_forms(folder, ["transformers"])
    (tmp_path / "open.py").write_text(OPEN)
    ended = subprocess.run(
        [sys.executable, "open.py", str(folder / "transformers"), *TEXTS],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_allclose(softmax(np.load(tmp_path / "scores.npy")), chances(folder), atol=1e-5)
    assert ended.stdout.strip() == str([one.label for one in mer.load(folder).predict(list(TEXTS))])
    assert "AutoModelForSequenceClassification.from_pretrained" in (folder / "README.md").read_text()


def test_what_does_not_fit_is_refused_and_the_export_stays(backbone: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    trained(tmp_path, backbone("bert"), "mode: lora", "pooler: mean", "hidden: 16").export(folder)
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for form, words in (
        ("onnx", f"--onnx: {folder}: its adapters are apart (--merge adds them into the weights)\n"),
        ("transformers", f"--transformers: {folder}: its adapters are apart"),
    ):
        with pytest.raises(MerError) as refused:
            add_forms(folder, [form])
        assert refused.value.message.startswith(words)
    assert before == {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    trained(tmp_path / "b", backbone("bert"), "mode: frozen", "pooler: mean, context: {past: 1}", "hidden: 16").export(
        tmp_path / "b/model"
    )
    with pytest.raises(MerError, match=r"it reads other turns too; pooler is mean; head\.hidden is 16"):
        add_forms(tmp_path / "b/model", ["transformers"])


TARGETS = """study: targets
trainable: text
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {dataset: csv, root: CORPUS, task: TASK, targets: NAMES}
  encoders: {text: {backbone: "BACKBONE", mode: full, pooler: first}}
  head: {hidden: 0}
  optim: {batch_size: 16}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""
KINDS = {"regression": "[warmth, length]", "multilabel": "[is_warm, is_long]"}


@pytest.mark.parametrize("task", KINDS)
def test_numbers_and_labels_have_both_forms(backbone: Any, tmp_path: Path, task: str) -> None:
    """Numbers come in their own unit; of labels the log-odds, at the temperature of the export."""
    import onnxruntime

    for split, count in (("train", 24), ("dev", 12)):
        rows = [
            f"{('cold', 'warm')[n % 2]} {'very ' * (n % 5)}day,{50 + 30 * (n % 2) + n},{n % 5},{n % 2},{int(n % 5 > 2)}"
            for n in range(count)
        ]
        text = "\n".join(["text,warmth,length,is_warm,is_long", *rows])
        (tmp_path / f"{split}.csv").write_text(text + "\n", encoding="utf-8")
    bones, folder = backbone("roberta"), tmp_path / "model"
    study = begin_study(TARGETS, tmp_path, CORPUS=tmp_path, BACKBONE=bones, TASK=task, NAMES=KINDS[task])
    study.train_next()
    export = study.export(folder, calibrate=task == "multilabel").export
    add_forms(folder, ["onnx", "transformers"])
    asked = mer.load(folder).predict(list(TEXTS))
    wanted = np.array([list((one.numbers or one.probabilities).values()) for one in asked])
    tokens = batch(samples(export, BackboneFolder("b", Path(bones))), 1)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (outputs,) = session.run(None, {name: value.numpy() for name, value in tokens.items()})
    (tmp_path / "open.py").write_text(OPEN)
    ended = subprocess.run(
        [sys.executable, "open.py", str(folder / "transformers"), *TEXTS],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    for found in (outputs, np.load(tmp_path / "scores.npy")):
        answers = found if task == "regression" else 1 / (1 + np.exp(-found))
        np.testing.assert_allclose(answers, wanted, rtol=2e-5, atol=1e-5)
    assert wanted.max() > 20 or task == "multilabel"  # in the unit of warmth, from 50 to 100
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert ("the numbers, in their own unit" if task == "regression" else "the log-odds of its probability") in card
