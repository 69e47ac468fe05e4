"""Every configuration key acts: another value changes the weights or the dev scores of a short seeded run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import audio_backbones
import numpy as np
import pytest
import video_backbones
from distill_data import teacher
from every_key import CHANGE_NOTHING, COMMON, SHOWN_ELSEWHERE, case_of, names
from state_data import as_states
from target_data import with_targets
from text_backbones import backbone
from toy_data import CLASSES, split, toy_data

from mer.config import TrialConfig, nest
from mer.data.types import dialogue_numbers
from mer.errors import Faults
from mer.features.backbone.files import locate
from mer.features.partial import base_weights
from mer.study.preflight.feature_plan import SPLITS, ensure_config
from mer.study.space.keys import known_keys
from mer.study.space.load import load_spec
from mer.training import FusedSplit, Layers, SplitArrays, TrainingData, build_run
from trainables.shared_table import as_training_data, read_table

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import write_meld

__all__ = ["backbone"]

NAMES = sorted(set(names()))
ACTING = [name for name in NAMES if name not in CHANGE_NOTHING and name.split(" ")[0] not in SHOWN_ELSEWHERE]
_ROUNDING = 1e-4  # a dead loss weight leaves differences of 1e-6, a live key 1e-3 to 1
Numbers = dict[str, np.ndarray]


def test_every_key_has_a_case_or_a_reason():
    assert {name.split(" ")[0] for name in NAMES} == known_keys()
    assert not CHANGE_NOTHING.keys() - known_keys()
    for name, place in SHOWN_ELSEWHERE.items():
        assert name in (Path(__file__).parents[2] / place).read_text(encoding="utf-8")
    for name in ACTING:
        case_of(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTING)
def test_another_value_changes_a_number(name: str, numbers: Callable[[TrialConfig], Numbers]):
    case = case_of(name)
    key = name.split(" ")[0]
    before, after = config(case.given), config(case.given | case.change)
    assert key in case.change and before != after
    assert differ(numbers(before), numbers(after)), f"{key} is dead: no weight and no dev score has changed"


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("distill.audio.weight", {}),
        ("distill.fused_weight", {}),
        ("loss.contrastive.weight", {"loss.contrastive.kind": "supcon", "loss.classification.probe": True}),
    ],
)
def test_a_weight_that_is_refused_would_be_dead(key: str, given: dict[str, Any], numbers, monkeypatch):
    """The refusals of mer/config are right: without them the weight changes rounding alone."""
    base = case_of("distill.mode").given if key.startswith("distill") else COMMON
    section, _, name = key.rpartition(".")
    before = config(base | given)
    with pytest.raises(ValueError, match=rf"{key} must be 1 with .*, got 3: .* alone .* AdamW ignores"):
        config(base | given | {key: 3.0})
    after = tweaked(before, section.split("."), {name: 3.0})
    assert not differ(numbers(before), numbers(after))


def test_a_space_that_searches_a_dead_weight_is_refused_at_its_line(tmp_path: Path):
    space = tmp_path / "space.yaml"
    space.write_text("""
study: s
trainable: distill
fixed: {encoders: {audio: {}, video: {}}, fusion: {kind: concat}, distill: {teacher: exports/t}}
params:
  optim.head_lr: {float: [1e-4, 1e-2], log: true}
  distill.video.weight: {float: [0.1, 3.0]}
""")
    with pytest.raises(
        Faults, match=r"space\.yaml:7: .*distill\.video\.weight must be 1 with distill\.mode 'parallel'"
    ):
        load_spec(space)


def tweaked(model: Any, path: list[str], update: dict[str, Any]) -> Any:
    """A copy with other values below `path`, which nothing checks."""
    if path:
        update = {path[0]: tweaked(getattr(model, path[0]), path[1:], update)}
    return model.model_copy(update=update)


def config(settings: dict[str, Any]) -> TrialConfig:
    return TrialConfig.model_validate(nest(settings))


def differ(before: Numbers, after: Numbers) -> bool:
    if {name: array.shape for name, array in before.items()} != {name: a.shape for name, a in after.items()}:
        return True
    return any(np.abs(before[name] - after[name]).max(initial=0.0) > _ROUNDING for name in before)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory, backbone) -> Callable[[TrialConfig], Numbers]:
    """A function: configuration -> weights and dev scores of its run; each configuration is trained once."""
    corpus = write_meld(tmp_path_factory.mktemp("corpus"))
    features, saved = tmp_path_factory.mktemp("features"), tmp_path_factory.mktemp("backbones")
    folders = {
        "roberta": backbone("roberta"),
        "wav2vec2_layer": audio_backbones.save_backbone("wav2vec2_layer", saved / "audio").folder,
        "clip_vision": video_backbones.save_backbone("clip_vision", saved / "video").folder,
    }

    def encoded(config: TrialConfig) -> tuple[TrialConfig, TrainingData, Layers]:
        """Features of the corpus, extracted as a study would."""
        ((modality, encoder),) = config.encoders.present.items()
        config = tweaked(config, ["encoders", modality], {"backbone": str(folders[encoder.backbone])})
        config = tweaked(config, ["data"], {"root": str(corpus)})
        paths = ensure_config(config, SPLITS, features)
        tables = [{m: read_table(path) for m, path in paths[name].items()} for name in SPLITS]
        data, layers = as_training_data(config, *tables)
        base = {m: base_weights(e, locate(e, weights=True), e.first_tuned) for m, e in config.tuned.items()}
        return config, replace(data, base=base), layers

    @cache
    def trained(config: TrialConfig) -> Numbers:
        made = any(encoder.backbone in folders for encoder in config.encoders.present.values())
        run = build_run(*(encoded(config) if made else (config, *toy(config))))
        while not run.finished:
            run.train_epoch()
        scores = {name: np.array([row[name] for row in run.history]) for name in run.history[0] if name[:3] == "dev"}
        return scores | {name: tensor.numpy().astype(np.float64) for name, tensor in run.weights().items()}

    return trained


def toy(config: TrialConfig) -> tuple[TrainingData, Layers]:
    """Separable utterances; several modalities differ by their noise, and some clips are absent."""
    modalities = list(config.encoders.present)
    if not modalities:
        data, task = toy_data(noise=0.8), config.data.task
        return data if task == "class" else with_targets(data, task), [0, 2]
    splits = {}
    for name, dialogues in (("train", 4), ("dev", 2)):
        parts = {m: part(name, dialogues, seed) for seed, m in enumerate(modalities)}
        parts |= {m: as_states(parts[m]) for m in modalities if config.encoders.present[m].keeps_states}
        ids = next(iter(parts.values())).ids
        dialogue_N = dialogue_numbers(ids) if config.reads_dialogues else None
        speaker_N = np.arange(len(ids)) % 5 % 3 if config.reads_speakers else None
        splits[name] = FusedSplit(parts, dialogue_N=dialogue_N, speaker_N=speaker_N)
    taught = config.distill is not None and config.distill.teacher is not None
    says = {name: teacher(one.labels_N) for name, one in splits.items()} if taught else {}
    layers = {m: [0] if config.encoders.present[m].keeps_states else [0, 2] for m in modalities}
    return TrainingData(splits["train"], splits["dev"], CLASSES, teacher=says), layers


def part(name: str, dialogues: int, seed: int) -> SplitArrays:
    arrays = split(name, dialogues, noise=0.8, seed=seed)
    there = np.random.default_rng([seed, 1]).random(len(arrays)) >= 0.2
    return replace(arrays, present_N=there)
