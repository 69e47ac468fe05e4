"""Speech and video backbones in parts, and adapters on them: as the whole model gives, for every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clip_lab import DEPTH, FAMILIES, SPEECH, ClipLab, padded, real
from tiers import slow_except
from torch import nn

from mer.config import LoraTuning
from mer.errors import MerError
from mer.features.partial import PartialBackbone, base_weights
from mer.models.adapters import add_adapters, merge_adapters, peft_config, peft_tensors, refuse_idle, target_modules

STARTS = (0, 1, 2)
MOSTLY_SLOW = slow_except(FAMILIES, "wavlm_layer", "whisper", "videomae", "clip")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return ClipLab(tmp_path_factory.mktemp("backbones"))


def pooled(states: list[torch.Tensor], row: int, span: tuple[int, int]) -> np.ndarray:
    return torch.stack([state[row, slice(*span)].mean(0) for state in states]).numpy()


@pytest.mark.parametrize("family", MOSTLY_SLOW)
@torch.inference_mode()
def test_the_parts_give_what_the_whole_gives(lab, family):
    """From raw input to every state; from every state on; and, of sound, with padding behind the shorter clip."""
    raw, spans, expected = lab.clips(family)
    assert np.abs(expected[:, 1] - expected[:, -1]).max() > 0.05, "layers that do nothing would prove nothing"
    whole = lab.part(family, None, range(DEPTH + 1))
    lower = [lab.part(family, None, [k]) for k in STARTS]
    upper = [lab.part(family, k, range(k + 1, DEPTH + 1)) for k in STARTS]
    states = [[low.unreduced(clip[None], real(clip[None]))[0][0] for clip in raw] for low in lower]
    for row, clip in enumerate(raw):
        np.testing.assert_allclose(pooled(whole(clip[None], real(clip[None])), 0, spans[row]), expected[row], atol=2e-5)
        for k in STARTS:
            alone = upper[k](states[k][row][None], real(states[k][row][None]))
            np.testing.assert_allclose(pooled(alone, 0, spans[row]), expected[row, k + 1 :], atol=2e-5)
    for k in STARTS:
        given, real_BT = padded(states[k])
        before = given.clone()
        together = upper[k](given, real_BT)
        assert torch.equal(given, before), "what is given belongs to the caller"
        for row, span in enumerate(spans):
            np.testing.assert_allclose(pooled(together, row, span), expected[row, k + 1 :], atol=5e-5)


@pytest.mark.parametrize("family", SPEECH)
@torch.inference_mode()
def test_raw_sound_of_unlike_length_shares_a_batch_where_padding_changes_nothing(lab, family):
    raw, spans, expected = lab.clips(family)
    whole = lab.part(family, None, [1, DEPTH])
    given, real_BT = padded([clip - 0 for clip in raw])
    given = given * real_BT
    off = max(
        np.abs(pooled(whole(given, real_BT), r, span) - expected[r, [1, DEPTH]]).max() for r, span in enumerate(spans)
    )
    assert whole.equal_lengths == (not family.endswith("layer"))
    assert off > 0.05 if whole.equal_lengths else off < 5e-5
    assert not lab.part(family, 1, [2]).equal_lengths


@pytest.mark.parametrize(("family", "pooler"), [("clip", "mean"), ("timesformer", "mean"), ("wavlm", "first")])
@torch.inference_mode()
def test_other_poolers(lab, family, pooler):
    raw, spans, expected = lab.clips(family, pooler=pooler)
    for row, clip in enumerate(raw):
        (given,) = lab.part(family, None, [1]).unreduced(clip[None], real(clip[None]))
        states = lab.part(family, 1, [2, 3], pooler=pooler)(given, real(given))
        np.testing.assert_allclose(pooled(states, 0, spans[row]), expected[row, 2:], atol=2e-5)


@torch.inference_mode()
def test_another_number_of_frames(lab):
    """TimeSformer stretches its table of times, and cuts tokens by the number of frames it is told."""
    for family, frames in (("timesformer", 6), ("clip", 3)):
        raw, spans, expected = lab.clips(family, frames=frames)
        (given,) = lab.part(family, None, [2], frames=frames).unreduced(raw[0][None], real(raw[0][None]))
        states = lab.part(family, 2, [3], frames=frames)(given, real(given))
        np.testing.assert_allclose(pooled(states, 0, spans[0]), expected[0, 3:], atol=2e-5)


@pytest.mark.parametrize("family", MOSTLY_SLOW)
def test_what_comes_before_the_layers_is_named_and_left_out(lab, family):
    config, found = lab.config(family), lab.found(family)
    whole, above = base_weights(config, found), base_weights(config, found, 2)
    model = lab.part(family, None, [DEPTH])
    stem = {name for name in whole if name.startswith(model.below)}
    assert stem and all(model.model.get_submodule(name.removesuffix(".")) is not None for name in model.below)
    extra = {name for name in above if f"{model.layers_name}.2." not in name}
    biases = {"encoder.layers.0.attention.rel_attn_embed.weight"} if family.startswith("wavlm") else set()
    assert biases <= extra and not extra & stem and all("norm" in name for name in extra - biases)
    upper = PartialBackbone(config, found, whole, start=2, reads=[DEPTH])
    assert {name for name, _ in upper.model.named_parameters()} == set(above)
    assert [number for number, _ in upper.numbered_layers()] == [2]


@pytest.mark.parametrize("family", MOSTLY_SLOW)
def test_costs_are_hidden_states(lab, family):
    raw, _, _ = lab.clips(family)
    clip = raw[0][None]
    lower = lab.part(family, None, [1])
    with torch.inference_mode():
        (state,) = lower.unreduced(clip, real(clip))
    states = state.flatten(1, -2).shape[1]
    assert lower.cost(clip.shape[1]) == states == lab.part(family, 1, [2]).cost(state.shape[1])


@pytest.mark.parametrize("family", MOSTLY_SLOW)
def test_a_frozen_stem_drops_nothing_and_no_layer_is_skipped(lab, family):
    """In training mode two passes differ by the dropout of the layers alone; without it they are equal."""
    raw, _, _ = lab.clips(family)
    clip = raw[0][None]
    (given,) = lab.part(family, None, [0]).unreduced(clip, real(clip))
    upper = lab.part(family, 0, [1, 3]).train()
    for module in upper.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "activation_dropout", "attention_dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    for one, other in zip(upper(given, real(given)), upper.eval()(given, real(given)), strict=True):
        torch.testing.assert_close(one, other)


def test_running_sums_of_a_batch_norm_are_never_written_into_shared_weights(tmp_path):
    from audio_backbones import save_backbone

    lab = ClipLab(tmp_path)
    lab._made["hubert"] = save_backbone("hubert", tmp_path / "hubert", conv_pos_batch_norm=True)
    before = {name: array.copy() for name, array in lab.base("hubert").items()}
    raw, _, _ = lab.clips("hubert")
    lab.part("hubert", None, [1]).train()(raw[0][None], real(raw[0][None]))
    assert "encoder.pos_conv_embed.batch_norm.running_mean" in before
    assert all(np.array_equal(array, before[name]) for name, array in lab.base("hubert").items())


@torch.inference_mode()
def test_bfloat16_is_close(lab):
    """Grouped convolutions stay float32 on a processor, as in the frozen encoder."""
    raw, spans, expected = lab.clips("wav2vec2_layer", dtype="bfloat16")
    with torch.autocast("cpu", torch.bfloat16):
        states = lab.part("wav2vec2_layer", None, [0, 1, 2, 3], dtype="bfloat16")(raw[0][None], real(raw[0][None]))
    found = pooled([state.float() for state in states], 0, spans[0])
    np.testing.assert_allclose(found, expected[0], atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("family", MOSTLY_SLOW)
@pytest.mark.parametrize(("start", "stop"), [(None, 2), (0, DEPTH)])
def test_every_weight_of_a_part_learns(lab, family, start, stop):
    """Every weight gets a gradient, as mode full demands: it refuses weights that no hidden state depends on."""
    raw, _, _ = lab.clips(family)
    whole = lab.part(family, start, [stop])
    for name, weight in list(whole.model.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        whole.model.get_submodule(owner).register_parameter(leaf, nn.Parameter(weight.detach().clone()))
    with torch.no_grad():
        (given,) = lab.part(family, None, [0]).unreduced(raw[0][None], real(raw[0][None])) if start == 0 else [None]
    given = raw[0][None] if given is None else given
    (state,) = whole(given, real(given))
    (state.float() * torch.linspace(-1, 1, state.shape[-1])).mean(1).sum().backward()
    assert [name for name, weight in whole.model.named_parameters() if weight.grad is None] == []


# ---- adapters


def tuned(lab: ClipLab, family: str, lora: LoraTuning, *, noise: bool = True) -> tuple[PartialBackbone, torch.Tensor]:
    """A part above layer 1 with adapters, far from doing nothing; and a clip's states to read."""
    raw, _, _ = lab.clips(family)
    clip = raw[0][None]
    with torch.no_grad():
        (given,) = lab.part(family, None, [1]).unreduced(clip, real(clip))
    upper = lab.part(family, 1, [2, 3])
    layers = {f"{upper.layers_name}.{number}": layer for number, layer in upper.numbered_layers()}
    torch.manual_seed(3)
    add_adapters(upper.model, layers, lora, modality="audio")
    for weight in upper.parameters() if noise else ():
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.2)
    return upper.eval(), given


@pytest.mark.parametrize("family", MOSTLY_SLOW)
def test_every_adapter_of_the_recommended_targets_learns(lab, family):
    upper, given = tuned(lab, family, LoraTuning(rank=2), noise=False)
    states = upper(given, real(given))
    (states[-1].float() * torch.linspace(-1, 1, states[-1].shape[-1])).mean(1).sum().backward()
    weights = {name: weight for name, weight in upper.named_parameters() if weight.requires_grad}
    refuse_idle(weights, modality="audio")
    assert len(weights) >= 2 * 2 * 2 and not any("rel_attn_embed" in name for name in weights)


@pytest.mark.parametrize("family", ["wavlm", "wavlm_layer"])
@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("out_proj",), ("k_proj", "output_dense")])
def test_adapters_that_wavlm_would_never_call_are_refused(lab, family, targets):
    upper = lab.part(family, 1, [3])
    layers = {f"{upper.layers_name}.{number}": layer for number, layer in upper.numbered_layers()}
    with pytest.raises(MerError, match=r"'wavlm' reads the weights of .*_proj and never calls") as refused:
        target_modules(upper.model, layers, LoraTuning(targets=targets), modality="audio")
    assert "encoders.audio.lora.targets" in refused.value.message and "intermediate_dense" in refused.value.message


@pytest.mark.parametrize("family", MOSTLY_SLOW)
def test_merged_weights_and_peft_alone_give_the_same(lab, family, tmp_path):
    from peft import PeftModel
    from safetensors.torch import save_file

    lora = LoraTuning(rank=3)
    upper, given = tuned(lab, family, lora)
    with torch.no_grad():
        expected = upper(given, real(given))
        plain = lab.part(family, 1, [2, 3])(given, real(given))
        assert not torch.allclose(plain[-1], expected[-1], atol=0.05), "adapters that do nothing would prove nothing"

        adapter, _ = peft_tensors({f"model.{n}": w for n, w in upper.model.state_dict().items()}, "model.")
        save_file(
            {name: tensor.contiguous() for name, tensor in adapter.items()}, tmp_path / "adapter_model.safetensors"
        )
        (tmp_path / "adapter_config.json").write_text(peft_config(adapter, lora, "a name", modality="audio"))
        whole = lab.part(family, None, [2, 3])
        whole.model = PeftModel.from_pretrained(whole.model, tmp_path).get_base_model().eval()
        raw, _, _ = lab.clips(family)
        for one, other in zip(whole(raw[0][None], real(raw[0][None])), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

        merge_own(upper)
        for one, other in zip(upper(given, real(given)), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def merge_own(upper: PartialBackbone) -> None:
    """Into copies, since the base weights are everybody's."""
    for name, weight in list(upper.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        upper.get_submodule(owner).register_parameter(leaf, nn.Parameter(weight.detach().clone(), requires_grad=False))
    assert merge_adapters(upper.model)
