"""The advice for backbones whose weights are pickled works as typed."""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import audio_backbones
import pytest
import text_backbones
import torch
import video_backbones
from safetensors.torch import load_file

from mer.config import AudioEncoderConfig, EncoderConfig, TextEncoderConfig, VideoEncoderConfig
from mer.data.registry import load_corpus
from mer.errors import MerError
from mer.features.rehearse import rehearse, rehearse_one

sys.path.append(str(Path(__file__).parents[1] / "features"))

from clip_corpus import write_meld

backbone = text_backbones.backbone


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def save(kind: str, folder: Path, backbone: Callable[..., Path]) -> EncoderConfig:
    name = str(folder)
    if kind in text_backbones.TOKENIZER_OF:
        shutil.copytree(backbone(kind), folder)
        return TextEncoderConfig(backbone=name)
    if kind in ("timesformer", "videomae", "clip"):
        video_backbones.save_backbone(kind, folder)
        return VideoEncoderConfig(backbone=name)
    audio_backbones.save_backbone(kind, folder)
    return AudioEncoderConfig(backbone=name)


@contextlib.contextmanager
def no_words() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


@pytest.mark.parametrize("name", ["my model", "it's"])
@pytest.mark.parametrize("kind", ["roberta", "wav2vec2_group", "whisper", "videomae"])
def test_the_advice_for_pickled_weights_works_as_typed(
    kind: str, name: str, tmp_path: Path, backbone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    encoder = save(kind, tmp_path / name, backbone)
    pickled(tmp_path / name)
    write_meld(tmp_path / "corpus", {"dev": 2})
    corpus = load_corpus("meld", tmp_path / "corpus", splits=("dev",))
    with pytest.raises(MerError) as caught:
        rehearse(encoder, corpus, ("dev",))
    typed, then = caught.value.then.split(": ", 1)[1].split("\n")
    python, option, code = shlex.split(typed)
    assert (python, option) == ("python", "-c")
    with no_words():
        exec(code, {})
    assert then.split()[:2] == ["then", "add:"]
    _, setting = shlex.split(then.split(": ")[1])
    key, _, value = setting.partition("=")
    assert key == f"encoders.{encoder.modality}.backbone"
    converted = encoder.model_copy(update={"backbone": value})
    rehearse(converted, corpus, ("dev",))
    rehearse_one(converted, corpus, "dev")


def test_a_folder_with_nothing_pickled_is_not_told_to_convert(tmp_path: Path) -> None:
    audio_backbones.save_backbone("wav2vec2_group", tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    with pytest.raises(MerError) as caught:
        rehearse(AudioEncoderConfig(backbone=str(tmp_path / "model")), None, ())  # type: ignore[arg-type]
    assert caught.value.found == "no model.safetensors" and caught.value.then == "fetch the backbone again, whole"
