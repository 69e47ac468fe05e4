"""Tuned encoders of text, sound and pictures in one model: from clips on disk to exports that read new clips."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import audio_backbones
import numpy as np
import pytest
import torch
import video_backbones
from open_study import OpenStudy, begin_study
from text_backbones import backbone, data, meld_root

import mer
from mer.checkpoints.export_folder import read_export
from mer.data import load_corpus
from mer.data.media import MediaFault
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.features import load_features
from mer.study.evaluate.verify_trial import verify_trial

__all__ = ["backbone", "data", "meld_root"]
pytestmark = pytest.mark.slow
FUSED = """study: tuned-tav
trainable: fusion
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders:
    text: {backbone: minilm, mode: lora, freeze_layers: 5, lora: {rank: 2}}
    audio: {backbone: AUDIO, mode: lora, freeze_layers: 1, lora: {rank: 2}, layers: [2, 3]}
    video: {backbone: VIDEO, mode: full, freeze_layers: 2, frames: 2}
  head: {hidden: 12}
  fusion: {kind: concat, width: 16}
  optim: {batch_size: 8}
params:
  optim.encoder_lr: {float: [1e-3, 2e-3]}
"""
TAUGHT = """study: tuned-students
trainable: distill
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
depends_on: [TEACHER]
fixed:
  data: {root: CORPUS}
  encoders:
    text: {backbone: minilm, mode: lora, freeze_layers: 5, lora: {rank: 2}}
    audio: {backbone: AUDIO, mode: full, split_cache: false, freeze_layers: 2}
  head: {hidden: 12}
  fusion: {kind: concat, width: 16}
  distill: {teacher: TEACHER, warmup_steps: 2}
  optim: {batch_size: 8}
params:
  optim.encoder_lr: {float: [1e-3, 2e-3]}
"""


@dataclass(frozen=True)
class Made:
    place: Path
    corpus: Path
    study: OpenStudy
    model: Path

    def space(self, text: str) -> str:
        for name in ("AUDIO", "VIDEO"):
            text = text.replace(name, str(self.place / name.lower()))
        return text.replace("CORPUS", str(self.corpus)).replace("TEACHER", str(self.model))

    def clips(self, modality: str) -> list[Path | MediaFault]:
        utterances = load_corpus("meld", self.corpus, splits=("dev",)).utterances("dev")
        places = [self.corpus / str(getattr(utterance, modality)) for utterance in utterances]
        return [place if place.exists() else MediaFault("no such file") for place in places]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("several")
    corpus = place / "corpus"
    write_sample(corpus, dialogues_per_split={"train": 3, "dev": 2}, modalities=("text", "audio", "video"))
    dev = load_corpus("meld", corpus, splits=("dev",)).utterances("dev")
    (corpus / str(dev[1].audio)).unlink()
    (corpus / str(dev[2].video)).unlink()
    audio_backbones.save_backbone("wav2vec2_layer", place / "audio")
    video_backbones.save_backbone("clip_vision", place / "video")
    half = Made(place, corpus, None, place / "model")  # type: ignore[arg-type]
    study = begin_study(half.space(FUSED), place)
    study.train_next()
    study.export(place / "model")
    return Made(place, corpus, study, place / "model")


def test_the_scores_come_back_from_new_clips(made: Made):
    """Texts, sounds and pictures as a user gives them, two of them absent, against the files that training read."""
    export = read_export(made.model)
    predictor = mer.load(made.model)
    files = made.study.plan.of(export.config)
    tables = {modality: load_features(Path(of["dev"])) for modality, of in files.items()}
    assert [table.present.all() for table in tables.values()] == [True, False, False]
    cached = predictor.scores({modality: (table.sequences, table.present) for modality, table in tables.items()})
    dialogues = load_corpus("meld", made.corpus, splits=("dev",)).dialogues("dev")
    found = predictor.predict_utterances(dialogues, {m: made.clips(m) for m in ("audio", "video")})
    chances = torch.softmax(torch.from_numpy(cached), dim=1).numpy()
    live = np.array([[one.probabilities[name] for name in predictor.class_names] for one in found])
    np.testing.assert_allclose(live, chances, atol=2e-3)


def test_each_encoder_has_its_adapter_and_nothing_of_a_backbone_is_stored(made: Made):
    for modality in ("text", "audio"):
        words = json.loads((made.model / f"adapter_{modality}/adapter_config.json").read_text())
        assert words["peft_type"] == "LORA" and words["r"] == 2
    assert not (made.model / "adapter_video").exists() and not (made.model / "adapter").exists()
    names = list(read_export(made.model).tensors())
    assert any(name.startswith("model.encoders.video.") for name in names)
    assert not any(name.startswith(("model.encoders.text.", "model.encoders.audio.")) for name in names)
    assert not any("layers.0." in name or "layers.1." in name for name in names if ".video." in name)
    card = (made.model / "README.md").read_text()
    assert "the layers above 5 of `minilm`, tuned by LoRA of rank 2 and the layers above 1 of `audio`" in card


def test_the_audio_adapter_is_loaded_by_peft_alone(made: Made):
    import transformers
    from peft import PeftModel

    base = transformers.Wav2Vec2Model.from_pretrained(made.place / "audio").eval()
    samples = torch.from_numpy(audio_backbones.voice(0.5))[None]
    with torch.no_grad():
        plain = base(samples).last_hidden_state
        adapted = PeftModel.from_pretrained(base, made.model / "adapter_audio").eval()(samples).last_hidden_state
    assert 1e-5 < (plain - adapted).abs().max() < 10


def test_merged_scores_are_the_same_and_need_no_peft(made: Made, tmp_path: Path):
    done = made.study.export(tmp_path / "merged", merge=True)
    assert done.largest_difference <= 1e-4
    assert not list((tmp_path / "merged").glob("adapter*"))
    assert any(name.startswith("model.encoders.audio.") for name in read_export(tmp_path / "merged").tensors())


def test_an_altered_adapter_is_refused(made: Made, tmp_path: Path):
    made.study.export(tmp_path / "model")
    weights = tmp_path / "model/adapter_audio/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(MerError, match=r"adapter_audio/adapter_model.safetensors: truncated or edited"):
        mer.load(tmp_path / "model")


def test_a_trial_is_verified(made: Made):
    assert verify_trial(made.study.folder, 0, made.study.cache).same


def test_tuned_students_of_a_tuned_teacher(made: Made, tmp_path: Path):
    """Students are exported together, and each alone as if it had been trained by itself."""
    study = begin_study(made.space(TAUGHT), tmp_path, made.study.cache)
    run = study.train_next()
    assert set(run.member.bests) == {"", "text", "audio"}
    assert study.export(tmp_path / "both").largest_difference <= 1e-5
    for modality in ("text", "audio"):
        done = study.export(tmp_path / modality, student=modality)
        assert done.largest_difference <= 1e-5
        assert list(read_export(tmp_path / modality).config.encoders.present) == [modality]
    assert (tmp_path / "text/adapter/adapter_config.json").exists()
    heard = mer.load(tmp_path / "audio").predict_clips(made.clips("audio"), masked=True)
    assert [bool(one.fault) for one in heard].count(True) == 1
    assert mer.load(tmp_path / "text").predict(["Oh my God!"])[0].label


def test_the_shipped_recipe_fits_together(made: Made, backbone, tmp_path: Path):
    """meld_tav_lora.yaml with tiny models of its families: its first point trains an epoch, and is exported."""
    for name, family in (("wavlm", "wavlm"), ("videomae", "videomae")):
        save = audio_backbones.save_backbone if name == "wavlm" else video_backbones.save_backbone
        save(family, tmp_path / name)
    space = (Path(__file__).parents[2] / "search_spaces/meld_tav_lora.yaml").read_text()
    small = {
        "backbone: roberta-large": f"backbone: {backbone('roberta', 3)}",
        "microsoft/wavlm-base-plus": str(tmp_path / "wavlm"),
        "MCG-NJU/videomae-base-finetuned-kinetics": str(tmp_path / "videomae"),
        "datasets/MELD": str(made.corpus),
        "freeze_layers: 12": "freeze_layers: 1",
        "choice: [0, 6]": "choice: [0, 1]",
        "epochs: 9": "epochs: 1",
    }
    for theirs, ours in small.items():
        assert theirs in space
        space = space.replace(theirs, ours)
    study = begin_study(space, tmp_path)
    run = study.train_next()
    assert list(run.model.tuned) == ["text", "audio"] and run.model.tuned["audio"].arithmetic == "bfloat16"
    done = study.export(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").glob("adapter_*")} == {"adapter_text", "adapter_audio"}
    assert done.largest_difference <= 2e-2
