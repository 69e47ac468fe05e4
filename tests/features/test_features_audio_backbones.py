"""Speech backbones: each is prepared, masked and pooled as its own family wants, and no clip changes another."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_backbones import FAMILIES, LAYERS, WAVE_FAMILIES, WIDTH, extractor, save_backbone, voice, write_wav

from mer.config import AudioEncoderConfig
from mer.data.media.faults import MediaAbsent, MediaFault
from mer.errors import MerError
from mer.features import audio
from mer.features.backbone.files import BackboneFolder

SECONDS = (0.7, 1.5, 1.5, 0.05, 1.1, 2.0)  # two of equal length, none sorted


@pytest.fixture(scope="session")
def speech_backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], BackboneFolder]:
    made: dict[str, BackboneFolder] = {}

    def get(family: str) -> BackboneFolder:
        if family not in made:
            made[family] = save_backbone(family, tmp_path_factory.mktemp("speech") / family)
        return made[family]

    return get


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    return [
        write_wav(folder / f"{i}.wav", voice(seconds, hz=100 + 30 * i, seed=i)) for i, seconds in enumerate(SECONDS)
    ]


@pytest.fixture
def copy_of(speech_backbone: Callable[[str], BackboneFolder], tmp_path: Path) -> Callable[[str], BackboneFolder]:
    """A backbone of one's own, to damage."""

    def copy(family: str) -> BackboneFolder:
        folder = shutil.copytree(speech_backbone(family).folder, tmp_path / family)
        return BackboneFolder(family, folder)

    return copy


def opened(found: BackboneFolder, **options: Any) -> Any:
    return audio.open_encoder(AudioEncoderConfig(backbone=str(found.folder), **options), found)


def reference(family: str, found: BackboneFolder, samples: np.ndarray) -> np.ndarray:
    """All hidden states (L, T, D) of one clip, by transformers alone; Whisper: over the whole window."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    prepared = AutoFeatureExtractor.from_pretrained(found.folder)(samples, sampling_rate=16000, return_tensors="pt")
    model = AutoModel.from_pretrained(found.folder).eval()
    if family == "whisper":
        model, prepared = model.get_encoder(), {"input_features": prepared["input_features"]}
    with torch.inference_mode():
        out = model(**prepared, output_hidden_states=True)
    # The large models norm once more behind their last layer.
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state) == (not family.endswith("layer"))
    return torch.cat([*out.hidden_states[:-1], out.last_hidden_state]).numpy()


def set_json(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


def rewrite_weights(found: BackboneFolder, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    path = found.folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


# ---- what comes out


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # raised by `reference`
@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_alone_is_what_transformers_gives(family, speech_backbone, sounds):
    found = speech_backbone(family)
    encoder = opened(found)
    clip = encoder.load(sounds[1])
    states = reference(family, found, voice(SECONDS[1], hz=130, seed=1))
    if family == "whisper":
        states = states[:, : round(SECONDS[1] * 50)]
    pooled = encoder.encode([clip])
    assert clip.notes == ()
    assert pooled.dtype == np.float32
    assert pooled.shape == (1, LAYERS, WIDTH) == (1, encoder.layers, encoder.width)
    np.testing.assert_allclose(pooled[0], states.mean(axis=1), atol=2e-5)
    first = opened(found, pooler="first").encode([clip])
    np.testing.assert_allclose(first[0], states[:, 0], atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_clip_changes_another_and_the_order_is_kept(family, speech_backbone, sounds):
    encoder = opened(speech_backbone(family))
    clips = [encoder.load(path) for path in sounds]
    alone = np.concatenate([encoder.encode([clip]) for clip in clips])
    assert min(np.abs(a - b).max() for i, a in enumerate(alone) for b in alone[:i]) > 0.05  # six different rows
    np.testing.assert_allclose(encoder.encode(clips), alone, atol=5e-5)
    np.testing.assert_allclose(encoder.encode(clips[::-1]), alone[::-1], atol=5e-5)


@pytest.mark.parametrize("family", WAVE_FAMILIES)
def test_only_families_that_stand_it_are_padded(family, speech_backbone, sounds):
    encoder = opened(speech_backbone(family))
    assert encoder.masks_padding == family.endswith("layer")
    clips = [encoder.load(path) for path in sounds]
    alone = np.concatenate([encoder.encode([clip]) for clip in clips])
    encoder.masks_padding = True
    change = np.abs(encoder.encode(clips) - alone).max()
    assert change < 5e-5 if family.endswith("layer") else change > 0.1


def test_batch_norm_forbids_padding(tmp_path):
    found = save_backbone("hubert_layer", tmp_path / "hubert", conv_pos_batch_norm=True)
    assert not opened(found).masks_padding


def test_whisper_averages_the_clip_and_not_the_silence_behind_it(speech_backbone, tmp_path):
    found = speech_backbone("whisper")
    samples = voice(3.0)
    encoder = opened(found)
    pooled = encoder.encode([encoder.load(write_wav(tmp_path / "a.wav", samples))])[0]
    states = reference("whisper", found, samples)
    assert states.shape[1] == 1500
    expected = np.zeros_like(pooled)
    for frame in range(150):  # 3 s x 50
        expected += states[:, frame] / 150
    np.testing.assert_allclose(pooled, expected, atol=2e-5)
    assert np.abs(pooled - states.mean(axis=1)).max() > 0.1


def test_whisper_has_the_weights_of_the_checkpoint(speech_backbone):
    import torch
    from transformers import WhisperForConditionalGeneration

    found = speech_backbone("whisper")
    whole = WhisperForConditionalGeneration.from_pretrained(found.folder).get_encoder().state_dict()
    ours = opened(found).model.state_dict()
    assert whole.keys() == ours.keys()
    assert all(torch.equal(whole[name], ours[name]) for name in whole)


def test_clips_are_prepared_by_the_extractor_of_the_family(speech_backbone, sounds):
    samples = voice(SECONDS[0], hz=100, seed=0)
    normal = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    for family, expected in (("hubert", normal), ("wavlm", samples)):
        clip = opened(speech_backbone(family)).load(sounds[0]).inputs
        np.testing.assert_allclose(clip.values, expected, atol=1e-6)
        assert clip.frames is None
    clip = opened(speech_backbone("whisper")).load(sounds[0]).inputs
    assert clip.values.shape == (20, 3000)
    assert clip.frames == 35
    out = extractor("whisper")(samples, sampling_rate=16000, return_tensors="np")
    np.testing.assert_array_equal(clip.values, out["input_features"][0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("samples", [1, 399])
def test_a_clip_shorter_than_a_frame_is_filled_up(family, samples, speech_backbone, tmp_path):
    encoder = opened(speech_backbone(family))
    clip = encoder.load(write_wav(tmp_path / "short.wav", voice(0.1)[:samples]))
    assert "shorter than 100 ms" in clip.notes
    assert np.isfinite(encoder.encode([clip])).all()
    if family == "hubert":  # normalised over what is there, then silence
        assert len(clip.inputs.values) == 400
        assert not clip.inputs.values[samples:].any()
        assert abs(clip.inputs.values[:samples].mean()) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_close_and_comes_out_as_float32(family, speech_backbone, sounds):
    exact, rough = (opened(speech_backbone(family), dtype=dtype) for dtype in ("float32", "bfloat16"))
    clips = [exact.load(path) for path in sounds[:2]]
    one, other = exact.encode(clips), rough.encode(clips)
    assert other.dtype == np.float32
    assert 1e-4 < np.abs(one - other).max() < 0.1 * np.abs(one).max()


def test_whisper_hears_thirty_seconds_and_every_clip_costs_as_many(speech_backbone, sounds, tmp_path):
    long = write_wav(tmp_path / "long.wav", voice(31.0))
    encoder = opened(speech_backbone("whisper"), max_seconds=60.0)
    assert [encoder.probe(path) for path in (long, sounds[0])] == [480_000, 480_000]
    clip = encoder.load(long)
    assert clip.notes == ("31.0 s long: cut to its first 30 s",)
    assert clip.inputs.frames == 1500
    other = opened(speech_backbone("hubert"), max_seconds=2.0)
    assert [other.probe(path) for path in (long, sounds[0])] == [32_000, 11_200]
    assert len(other.load(long).inputs.values) == 32_000


@pytest.mark.parametrize("family", ["whisper", "wav2vec2_group"])
def test_threads_prepare_the_same(family, speech_backbone, sounds):
    encoder = opened(speech_backbone(family))
    serial = [encoder.load(path).inputs.values for path in sounds] * 3
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(serial, pool.map(encoder.load, sounds * 3), strict=True):
            np.testing.assert_array_equal(one, other.inputs.values)


def test_clips_that_cannot_be_used_are_media_faults(speech_backbone, tmp_path):
    encoder = opened(speech_backbone("hubert"))
    for act in (encoder.probe, encoder.load):
        with pytest.raises(MediaAbsent):
            act(tmp_path / "nothing.wav")
    with pytest.raises(MediaFault, match=r"samples up to 1e\+20: not a recording"):
        encoder.load(write_wav(tmp_path / "loud.wav", np.full(800, 1e20, np.float32)))


# ---- what a folder must hold


@pytest.mark.parametrize("family", FAMILIES)
def test_describe_agrees_with_the_loaded_encoder(family, speech_backbone):
    found = replace(speech_backbone(family), name="org/name", revision="abc")
    card = audio.describe(AudioEncoderConfig(backbone="org/name"), found)
    assert (card.name, card.revision, card.weights_sha256) == ("org/name", "abc", None)
    assert (card.layers, card.width, card.pooler) == (LAYERS, WIDTH, "mean")


def test_describe_imports_no_torch(speech_backbone):
    folder = speech_backbone("whisper").folder
    code = (
        "import sys; from pathlib import Path; from mer.features import audio;"
        "from mer.config import AudioEncoderConfig;"
        "from mer.features.backbone.files import BackboneFolder; config = AudioEncoderConfig();"
        f"found = BackboneFolder('w', Path({str(folder)!r}));"
        "print([audio.describe(config, f).layers for f in (found, None)], audio.preprocessing_words(config, None));"
        "assert not {'torch', 'torchaudio', 'transformers', 'soundfile', 'av'} & set(sys.modules), sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[4, 1]")


def test_other_models_are_refused(copy_of):
    found = copy_of("hubert")
    set_json(found.folder / "config.json", model_type="roberta")
    with pytest.raises(MerError, match="model type 'roberta' is not a speech encoder") as caught:
        audio.describe(AudioEncoderConfig(), found)
    for family in ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper"):
        assert family in caught.value.allowed


@pytest.mark.parametrize("value", [None, "12", 0])
def test_a_config_must_say_its_size(value, copy_of):
    found = copy_of("whisper")
    set_json(found.folder / "config.json", encoder_layers=value)
    with pytest.raises(MerError, match=r"encoder_layers is (null|'12'|0)"):
        audio.describe(AudioEncoderConfig(), found)


def test_missing_weights_are_refused_except_those_never_used(copy_of, sounds):
    found = copy_of("wav2vec2_group")
    before = opened(found)
    clip = before.load(sounds[0])
    rewrite_weights(found, lambda weights: {n: w for n, w in weights.items() if n != "masked_spec_embed"})
    np.testing.assert_array_equal(opened(found).encode([clip]), before.encode([clip]))
    rewrite_weights(found, lambda weights: {n: w for n, w in weights.items() if "layers.1.attention.q_proj" not in n})
    with pytest.raises(MerError, match=r"2 weights of Wav2Vec2Model are not in the checkpoint, e\.g\. encoder\.layers"):
        opened(found)


def test_an_encoder_saved_without_its_prefix_is_refused(copy_of):
    from transformers import WhisperModel

    found = copy_of("whisper")
    WhisperModel.from_pretrained(found.folder).get_encoder().save_pretrained(found.folder)
    with pytest.raises(MerError, match="weights of WhisperEncoder are not in the checkpoint"):
        opened(found)


def test_a_checkpoint_without_decoder_is_whole(copy_of, sounds):
    found = copy_of("whisper")
    before = opened(found)
    clip = before.load(sounds[0])
    rewrite_weights(found, lambda weights: {n: w for n, w in weights.items() if ".decoder." not in n})
    np.testing.assert_array_equal(opened(found).encode([clip]), before.encode([clip]))


def test_a_float16_checkpoint_is_computed_in_float32(copy_of):
    import torch

    found = copy_of("hubert")
    rewrite_weights(found, lambda weights: {name: weight.half() for name, weight in weights.items()})
    set_json(found.folder / "config.json", dtype="float16")
    assert {weight.dtype for weight in opened(found).model.parameters()} == {torch.float32}


def test_an_adapter_behind_the_encoder_is_left_out(tmp_path, sounds):
    found = save_backbone("wav2vec2_layer", tmp_path / "w", add_adapter=True)
    encoder = opened(found)
    assert encoder.model.adapter is None
    assert encoder.encode([encoder.load(path) for path in sounds]).shape == (len(sounds), LAYERS, WIDTH)


def test_nothing_is_printed(speech_backbone, sounds, capfd):
    encoder = opened(speech_backbone("wavlm_layer"))
    encoder.encode([encoder.load(path) for path in sounds])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("family", ["wav2vec2_layer", "whisper"])
def test_a_folder_without_preprocessor_is_refused(family, copy_of):
    found = copy_of(family)
    (found.folder / "preprocessor_config.json").unlink()
    with pytest.raises(MerError, match=r"no preprocessor_config\.json") as caught:
        opened(found)
    assert "from_pretrained(ID).save_pretrained(FOLDER)" in caught.value.then


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("hubert", {"sampling_rate": 8000}, "is for sound at 8000 Hz"),
        ("hubert", {"feature_extractor_type": "WhisperFeatureExtractor"}, "is of WhisperFeatureExtractor"),
        ("whisper", {"feature_size": 80}, "makes 80 mel bands x 3000 frames, the backbone was made for 20 x 3000"),
        ("whisper", {"chunk_length": 20}, "makes 20 mel bands x 2000 frames"),
    ],
)
def test_a_preprocessor_of_another_model_is_refused(family, change, message, copy_of):
    found = copy_of(family)
    set_json(found.folder / "preprocessor_config.json", **change)
    with pytest.raises(MerError, match=message):
        opened(found)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "model.safetensors"])
def test_a_damaged_file_is_one_message(file, copy_of):
    found = copy_of("hubert")
    (found.folder / file).write_text("{ not this")
    with pytest.raises(MerError, match="cannot be loaded"):
        opened(found)


def test_noise_added_on_purpose_is_off(copy_of, sounds):
    found = copy_of("whisper")
    set_json(found.folder / "preprocessor_config.json", dither=0.1)
    encoder = opened(found)
    one, other = (encoder.load(sounds[0]).inputs.values for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_words_of_the_key(speech_backbone):
    found = speech_backbone("hubert")
    words = audio.preprocessing_words(AudioEncoderConfig(max_seconds=7.0), found)
    assert words == {"version": 1, "max_seconds": 7.0, "sample_rate_hz": 16000}
    assert words == audio.preprocessing_words(AudioEncoderConfig(max_seconds=7.0, pooler="first"), found)
    signal = audio.preprocessing_words(AudioEncoderConfig(), None)
    assert signal["trim_db"] == 35.0
    assert signal.keys() > words.keys()
