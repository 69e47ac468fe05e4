"""Functionals of openSMILE as audio backbones by name; emotion2vec is refused with the way that works."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clip_corpus import ROWS, clip, voice

from mer.config import AudioEncoderConfig, DataConfig, TextEncoderConfig
from mer.data.media import MediaFault
from mer.errors import MerError
from mer.features import describe_backbone, ensure_features, load_features
from mer.features.audio import smile
from mer.features.modalities import open_clip_encoder


@pytest.mark.parametrize("name", smile.SETS)
def test_without_the_extra_one_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(smile.metadata, "version", absent)
    with pytest.raises(MerError, match="openSMILE, which is not installed") as caught:
        describe_backbone(AudioEncoderConfig(backbone=name))
    assert 'pip install "mer[opensmile]"' in caught.value.then and "commercial" in caught.value.then


@pytest.mark.parametrize("name", smile.SETS)
def test_rows_are_what_opensmile_says(name: str, meld: DataConfig, tmp_path: Path) -> None:
    opensmile = pytest.importorskip("opensmile")
    config, chosen = AudioEncoderConfig(backbone=name), smile.SETS[name]
    assert (describe_backbone(config).layers, describe_backbone(config).width) == (1, chosen.width)
    table = load_features(ensure_features(meld, config, ["dev"], cache=tmp_path, progress=False).paths["dev"])
    assert table.features.shape == (ROWS["dev"], 1, chosen.width) and table.present.all()
    reads = table.card["ingredients"]["input"]
    assert (reads["set"], reads["opensmile"]) == (chosen.name, metadata.version("opensmile"))
    plain = opensmile.Smile(getattr(opensmile.FeatureSet, chosen.name), opensmile.FeatureLevel.Functionals)
    for row in range(ROWS["dev"]):
        samples, rate = soundfile.read(clip(Path(meld.root), "audio", "dev", row), dtype="float32")
        expected = plain.process_signal(samples, rate).to_numpy()[0]
        np.testing.assert_allclose(table.features[row, 0], expected, rtol=1e-3, atol=1e-4)


def test_loud_and_short_sounds(tmp_path: Path) -> None:
    pytest.importorskip("opensmile")
    encoder = open_clip_encoder(AudioEncoderConfig(backbone="egemaps"), None)
    sound = voice(1.0)
    sound /= np.abs(sound).max()
    for scale, name in ((0.99996, "full.wav"), (3.0, "loud.wav")):
        soundfile.write(tmp_path / name, sound * scale, 16000, subtype="FLOAT")
    full, loud = (encoder.load(tmp_path / name).inputs for name in ("full.wav", "loud.wav"))
    np.testing.assert_allclose(full, loud, rtol=1e-2, atol=1e-2, err_msg="16-bit numbers wrap around beyond full scale")
    soundfile.write(tmp_path / "short.wav", sound[:80], 16000)
    with pytest.raises(MediaFault):
        encoder.load(tmp_path / "short.wav")


def test_they_are_no_networks() -> None:
    from mer.config import has_weights, is_signal

    for name in smile.SETS:
        assert is_signal(AudioEncoderConfig(backbone=name)) and not has_weights(AudioEncoderConfig(backbone=name))
    assert not is_signal(TextEncoderConfig(backbone="egemaps"))


@pytest.mark.parametrize("name", ["emotion2vec/emotion2vec_plus_base", "iic/emotion2vec_base", "backbones/emotion2vec"])
def test_emotion2vec_is_refused_with_the_way_that_works(name: str) -> None:
    with pytest.raises(MerError, match="a model of FunASR") as caught:
        describe_backbone(AudioEncoderConfig(backbone=name))
    assert "file:FOLDER" in caught.value.allowed and "granularity='utterance'" in caught.value.then
