"""Tuned encoders inside a fusion and a distillation."""

from __future__ import annotations

import audio_backbones
import numpy as np
import pytest
import torch
from several import Several
from tuning_lab import checksum

from mer.checkpoints import load_tensors, save_tensors
from mer.config import student_config
from mer.models.tuned import build_encoder
from mer.training import TrainingRun, build_run
from mer.training.distillation import DistillationRun

FUSED = {"fusion__kind": "concat", "fusion__width": 16, "fusion__modality_dropout": 0.2}
TAUGHT = {"distill__teacher": "exports/t", "distill__warmup_steps": 4, "fusion__kind": "concat", "fusion__width": 16}
ALL = ("text", "audio", "video")


@pytest.fixture(scope="module")
def several(backbone, tmp_path_factory):
    return Several(backbone("roberta", 2), tmp_path_factory.mktemp("backbones"))


def made(several: Several, *modalities: str, **dotted) -> TrainingRun:
    config = several.config(*modalities, **dotted)
    return build_run(config, *several.data(config, taught=config.distill is not None))


def trained(run: TrainingRun) -> TrainingRun:
    while not run.finished:
        run.train_epoch()
    return run


def told(run: TrainingRun) -> list[dict[str, float]]:
    return [{n: v for n, v in row.items() if n not in ("seconds", "timestamp_ms")} for row in run.history]


def test_every_encoder_of_a_fusion_learns_and_nothing_shared_is_written(several):
    config = several.config(*ALL, **FUSED)
    data, layers = several.data(config)
    before = {modality: checksum(base) for modality, base in data.base.items()}
    run = build_run(config, data, layers)
    start = {m: {n: w.detach().clone() for n, w in e.trained().items()} for m, e in run.model.tuned.items()}
    assert list(start) == list(ALL) and all(start.values())
    trained(run)
    for modality, encoder in run.model.tuned.items():
        still = [name for name, weight in encoder.trained().items() if torch.equal(weight, start[modality][name])]
        assert not still, (modality, still)
    assert {modality: checksum(base) for modality, base in data.base.items()} == before
    assert {f"dev_weighted_f1_without_{modality}" for modality in ALL} <= run.history[-1].keys()


def test_state_holds_what_is_trained_and_nothing_of_the_backbones(several):
    run = made(several, *ALL, **FUSED)
    names = [name for name in run.weights() if ".encoders." in name]
    trained_ones = {f"model.encoders.{m}.{n}" for m, e in run.model.tuned.items() for n in e.trained()}
    assert set(names) == trained_ones and len(names) == len(trained_ones)
    state = dict(run.model.state_dict())
    del state[next(name for name in state if name.startswith("encoders.audio."))]
    with pytest.raises(RuntimeError, match=r"1 weights are missing or unknown, e\.g\. encoders\.audio\."):
        run.model.load_state_dict(state)


def test_every_encoder_has_its_own_rate(several):
    run = made(several, *ALL, **FUSED, encoders__video__full__layer_decay=0.5)
    rates = {group["name"]: group["base_lr"] for group in run.optimizer.param_groups}
    wanted = {
        "head": 0.01,
        "text_layer_01": 0.005,
        "text_layer_00": 0.005,
        "audio_layer_02": 0.002,
        "audio_layer_01": 0.002,
    }
    wanted |= {"video_layer_02": 0.005}
    assert {name: rate for name, rate in rates.items() if "no_decay" not in name} == pytest.approx(wanted)


def test_one_tuned_encoder_beside_frozen_ones(several):
    frozen = {"encoders__video__mode": "frozen", "encoders__video__freeze_layers": None}
    run = made(several, *ALL, **FUSED, **frozen, encoders__text__mode="full", encoders__text__layers=[1, 2])
    assert list(run.model.tuned) == ["text", "audio"]
    assert run.train_epoch()["train_loss"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fused", "taught", "joint", "dialogue"])
def test_resume_equals_uninterrupted(several, kind, tmp_path):
    settings = {
        "fused": FUSED,
        "taught": TAUGHT,
        "joint": {**TAUGHT, "distill__mode": "joint", "optim__ema_decay": 0.9},
        "dialogue": {**FUSED, "dialogue__kind": "gru"},
    }[kind]
    modalities = ("text", "audio")
    if kind == "dialogue":
        config = several.config(*modalities, **settings)
        data, layers = several.data(config)
        for split in (data.train, data.dev):
            object.__setattr__(split, "dialogue_N", np.arange(len(split)) // 6)
        build = lambda: build_run(config, data, layers)  # noqa: E731
    else:
        build = lambda: made(several, *modalities, **settings)  # noqa: E731
    whole = build()
    whole.train_epoch()
    save_tensors(tmp_path / "state.safetensors", *whole.state())
    trained(whole)
    resumed = build()
    resumed.load_state(*load_tensors(tmp_path / "state.safetensors"))
    trained(resumed)
    assert told(resumed) == told(whole)
    for name, tensor in whole.state()[0].items():
        assert torch.equal(resumed.state()[0][name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("average", [None, 0.9], ids=["weights", "averaged"])
@pytest.mark.parametrize("modality", ALL)
def test_a_tuned_student_of_a_merged_run_has_the_bits_of_its_own_run(several, modality, average):
    """With small batches, of which some have no clip of a student."""
    together = made(several, *ALL, **TAUGHT, optim__ema_decay=average, optim__batch_size=2)
    assert isinstance(together, DistillationRun)
    own = student_config(together.config, modality)
    alone = build_run(own, *several.data(own, taught=True))
    for _ in range(together.config.training.epochs):
        row, said = together.train_epoch(), alone.train_epoch()
        assert row[f"dev_weighted_f1_{modality}"] == said["dev_weighted_f1"]
        assert row[f"train_grad_norm_{modality}"] == said["train_grad_norm"]
        student = together.model.student(modality).state_dict()
        assert student.keys() == alone.model.state_dict().keys()
        for name, weight in alone.model.state_dict().items():
            assert torch.equal(student[name], weight), name
    best = together.member.bests[modality]
    assert best.row["epoch"] == alone.member.best.row["epoch"]
    assert any(f"encoders.{modality}." in name for name in best.tensors)


def test_out_of_memory_halves_what_every_encoder_reads_at_once(several, monkeypatch):
    run = made(several, *ALL, **FUSED)
    video, read = run.model.tuned["video"], []
    usual = video._read

    def limited(given, *others):
        if run.model.training:
            read.append(len(given))
            if len(given) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(given, *others)

    monkeypatch.setattr(video, "_read", limited)
    assert run.train_epoch()["micro_batch"] == 4
    assert {encoder.micro_batch for encoder in run.model.tuned.values()} == {4} and max(read[1:]) <= 4


def test_a_retry_does_not_keep_what_the_failed_step_computed(several, monkeypatch):
    """The fault comes on the way back, where memory is at its highest."""
    import weakref

    run = made(several, "text", "video", **FUSED)
    kept: list[weakref.ref[torch.Tensor]] = []
    alive_at_retry: list[int] = []
    usual = run.model.join

    def join(parts, *others):
        if not kept:
            kept.extend(weakref.ref(part) for part in parts.values())
        return usual(parts, *others)

    def backward(loss, *_, **__):
        monkeypatch.undo()
        raise torch.OutOfMemoryError("CUDA out of memory")

    video = run.model.tuned["video"]
    read = video._read

    def noting(*given):
        if kept and not alive_at_retry:
            alive_at_retry.append(sum(one() is not None for one in kept))
        return read(*given)

    run._begin_epoch()
    run.model.join, video._read = join, noting
    monkeypatch.setattr(torch.Tensor, "backward", backward)
    run._step(run.train_rows[:8])
    assert run.retried_from == 8 and alive_at_retry == [0]


def test_a_frozen_student_beside_a_tuned_one_is_a_trial_of_its_own(several):
    frozen = {"encoders__audio__mode": "frozen", "encoders__audio__freeze_layers": None, "encoders__audio__lr": None}
    together = several.config("text", "audio", **TAUGHT, **frozen, optim__micro_batch=4)
    own = student_config(together, "audio")
    assert own.optim.micro_batch is None and own.optim.encoder_lr is None
    assert type(own).model_validate(own.model_dump()) == own
    assert student_config(together, "text").optim.micro_batch == 4


def test_hidden_may_be_0_where_every_students_h_can_change(several):
    several.config("text", **{k: v for k, v in TAUGHT.items() if "fusion" not in k}, head__hidden=0)
    several.config("text", "audio", **TAUGHT, head__hidden=0)
    frozen = {"encoders__audio__mode": "frozen", "encoders__audio__freeze_layers": None, "encoders__audio__lr": None}
    with pytest.raises(ValueError, match="which a frozen encoder cannot change"):
        several.config("text", "audio", **TAUGHT, **frozen, head__hidden=0)


def test_a_modality_that_is_left_out_is_not_read(several, monkeypatch):
    run = made(several, *ALL, **FUSED)
    run.model.eval()
    read: list[str] = []
    for modality, encoder in run.model.tuned.items():
        usual = encoder._read
        monkeypatch.setattr(
            encoder, "_read", lambda *given, usual=usual, modality=modality: (read.append(modality), usual(*given))[1]
        )
    from dataclasses import replace

    run.predict(replace(run.data.dev, dropped=frozenset({"text"})))
    assert set(read) == {"audio", "video"}


def test_an_absent_clip_is_an_average_one_and_reaches_no_weight(several):
    run = made(several, "audio")
    split = run.data.train
    absent = np.flatnonzero(~split.present_N)[:3]
    assert len(absent) == 3
    run.model.eval()
    batch, _ = split.batch(np.concatenate([absent, split.present_rows[:2]]), [])
    there = torch.tensor([False] * 3 + [True] * 2)
    h_BH = run.model.represent(batch, there)
    average = run.model.blocks(torch.zeros(1, 2 * 24))
    torch.testing.assert_close(h_BH[:3], average.expand(3, -1))
    assert not torch.allclose(h_BH[3], average[0])


@pytest.mark.parametrize(("rate", "moves"), [(0.0, False), (0.5, True)])
@pytest.mark.parametrize("modality", ["audio", "video"])
def test_tuned_dropout_is_every_dropout_of_the_tuned_layers(several, modality, rate, moves):
    """Encoders that keep their rate as a number are covered too."""
    settings = {f"encoders__{modality}__mode": "full", f"encoders__{modality}__tuned_dropout": rate}
    run = made(several, modality, **settings)
    encoder = run.model.tuned[modality].train()
    batch, _ = run.data.train.batch(run.data.train.present_rows[:4], [])
    with torch.no_grad():
        one, other = encoder.pooled(batch), encoder.pooled(batch)
    assert torch.equal(one, other) != moves


def test_running_sums_stay_those_of_the_backbone(several, tmp_path):
    """They are no weights and in no checkpoint: moved by training, they would be lost with it."""
    audio_backbones.save_backbone("hubert", tmp_path / "hubert", conv_pos_batch_norm=True)
    full = {"mode": "full", "full__embeddings": True, "freeze_layers": None, "backbone": str(tmp_path / "hubert")}
    config = several.config("audio", **{f"encoders__audio__{name}": value for name, value in full.items()})
    encoder = build_encoder(config, "audio", [3], None, adapters=True).train()
    sums = {name: buffer.clone() for name, buffer in encoder.named_buffers() if "running" in name}
    assert sums and "model.encoder.pos_conv_embed.batch_norm.weight" in encoder.trained()
    encoder(torch.randn(2, 1600), torch.ones(2, 1600, dtype=torch.long))
    assert all(torch.equal(buffer, sums[name]) for name, buffer in encoder.named_buffers() if name in sums)


def test_statistics_cannot_be_tuned(several):
    with pytest.raises(ValueError, match="melstats has no weights to tune, set mode: frozen"):
        several.config("audio", encoders__audio__backbone="melstats")
