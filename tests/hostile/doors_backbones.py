"""Backbone folders that somebody else sends: pickles and code to be reached, ways out, sizes that no model has."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import audio_backbones
import cv2
import numpy as np
import soundfile
import torch
import transformers
import video_backbones
from hostile_door import HERE, Door, Input
from hostile_folders import Change, changed_folder, irregular, mutants_of, setting, with_bytes, with_json, without

from mer.config import AudioEncoderConfig, TextEncoderConfig, VideoEncoderConfig
from mer.data.media.faults import MediaFault
from mer.features.audio.pretrained import AudioEncoder
from mer.features.backbone.files import fingerprint, locate
from mer.features.modalities import describe_backbone
from mer.features.text.pretrained import Encoder
from mer.features.video.pretrained import VideoEncoder

TEXT = HERE.parent / "written_before" / "backbone"
INDEX = "model.safetensors.index.json"
RAN = "ran"  # a file beside the folder that code of the folder would write


def read_text(folder: Path) -> None:
    config = TextEncoderConfig(backbone=str(folder))
    with _nothing_runs(folder):
        card, found = describe_backbone(config), locate(config, weights=True)
        fingerprint(found, None)
        encoder = Encoder(found, "float32")
        tokenizer = encoder.turn_tokenizer(max_tokens=64, prompt=False, pooler="mean")
        inputs = [tokenizer.word("Oh my God!")]
        encoder.check(inputs)
        states = encoder.encode(inputs)
    assert states.shape == (1, card.layers, card.width), f"{states.shape}, described as {card.layers} x {card.width}"


def read_sound(folder: Path) -> None:
    _read_clips(folder, AudioEncoderConfig(backbone=str(folder), max_seconds=1), AudioEncoder, _sound())


def read_video(folder: Path) -> None:
    _read_clips(folder, VideoEncoderConfig(backbone=str(folder), max_seconds=1), VideoEncoder, _pictures())


def _read_clips(folder: Path, config: Any, opens: Callable[[Any, Any], Any], clip: Path) -> None:
    with _nothing_runs(folder):
        card, found = describe_backbone(config), locate(config, weights=True)
        fingerprint(found, None)
        encoder = opens(config, found)
        try:
            states = encoder.encode([encoder.load(clip)])
        except MediaFault as fault:
            raise AssertionError(f"a good clip is refused: {fault}") from fault
    assert states.shape == (1, card.layers, card.width), f"{states.shape}, described as {card.layers} x {card.width}"


class _nothing_runs:
    """Fails, also where the folder is refused, when code of the folder ran."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder.parent / RAN

    def __enter__(self) -> None:
        os.environ["HOSTILE_MARK"] = str(self.mark)

    def __exit__(self, *fault: object) -> None:
        assert not self.mark.exists(), "code of the folder ran"


@cache
def _scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="hostile-clips-"))


@cache
def _sound() -> Path:
    path = _scratch() / "clip.wav"
    soundfile.write(path, audio_backbones.voice(0.5), 16000)
    return path


@cache
def _pictures() -> Path:
    folder = _scratch() / "pictures"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), 40 * number, np.uint8))
    return folder


class _Payload:
    """A pickle that writes the mark when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("open(__import__('os').environ['HOSTILE_MARK'], 'w').close()",)


EVIL = pickle.dumps(_Payload())
CODE = "import os\nopen(os.environ['HOSTILE_MARK'], 'w').close()\n"


def _together(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes]


def _traps(source: Path, reader: str) -> list[Input]:
    """Make the inputs that are alike for all modalities. Args: reader: the file of the tokenizer or preprocessor."""

    def index(names: Any) -> Change:
        def change(folder: Path) -> None:
            (folder / "model.safetensors").rename(folder / "weights.safetensors")
            (folder / "evil.bin").write_bytes(EVIL)
            shutil.copy(folder / "weights.safetensors", folder.parent / "out.safetensors")
            with_bytes(INDEX, json.dumps({"metadata": {}, "weight_map": names}))(folder)

        return change

    evil = with_bytes("evil.py", CODE)
    map_of = {name: f"evil.{name}" for name in ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoFeatureExtractor")}
    auto_map = setting("auto_map", value=map_of)

    def pickled(name: str) -> Change:
        return _together(lambda folder: (folder / "model.safetensors").unlink(), with_bytes(name, EVIL))

    found = [
        changed_folder("untouched", source, lambda folder: None, "accepted"),
        changed_folder("a pickle alone", source, pickled("pytorch_model.bin"), "refused"),
        changed_folder("a pickle called safetensors", source, pickled("model.safetensors"), "refused"),
        changed_folder("a pickle beside", source, with_bytes("pytorch_model.bin", EVIL), "accepted"),
        changed_folder("code: auto_map of a known model", source, _together(evil, with_json("config.json", auto_map))),
        changed_folder(
            "code: auto_map of an unknown model",
            source,
            _together(
                evil, with_json("config.json", auto_map), with_json("config.json", setting("model_type", value="x"))
            ),
            "refused",
        ),
        changed_folder("code: auto_map of the reader", source, _together(evil, with_json(reader, auto_map))),
        changed_folder("an index that names evil.bin", source, index({"a": "evil.bin"}), "refused"),
        changed_folder("an index that names a file above", source, index({"a": "../out.safetensors"}), "refused"),
        changed_folder("an index with an absolute path", source, index({"a": "/etc/passwd"}), "refused"),
        changed_folder("an index that names a number", source, index({"a": 5}), "refused"),
        changed_folder("an index that is a list", source, index(["weights.safetensors"]), "refused"),
        changed_folder("an index of nothing", source, index({}), "refused"),
        changed_folder("an index that names what is not there", source, index({"a": "b.safetensors"}), "refused"),
        changed_folder("an index that is a list", source, _together(index({}), with_bytes(INDEX, b"[]")), "refused"),
        changed_folder(
            "an index nested deep",
            source,
            _together(index({}), with_bytes(INDEX, b'{"weight_map":' * 50_000)),
            "refused",
        ),
        changed_folder(
            "adapters of another model",
            source,
            with_bytes("adapter_config.json", json.dumps({"peft_type": "LORA", "base_model_name_or_path": "../other"})),
            "refused",
        ),
        changed_folder("weights: NaN", source, _poisoned),
    ]
    for name in ("config.json", reader):
        for kind, content in (
            ("nothing", b""),
            ("a list", b"[]"),
            ("a number", b"5"),
            ("not UTF-8", b"\xff"),
            ("nested deep", b"[" * 100_000),
            ("nested 900 deep", b'{"a":' * 900 + b"1" + b"}" * 900),
            ("40 MB", b'{"a": "' + b"x" * 40_000_000 + b'"}'),
        ):
            found.append(changed_folder(f"{name}: {kind}", source, with_bytes(name, content), "refused"))
    for name in ("config.json", reader, "model.safetensors"):
        must: Any = "" if name == "tokenizer_config.json" else "refused"  # which a tokenizer can do without
        for kind, change in irregular(name).items():
            found.append(changed_folder(f"{name} is {kind}", source, change, must))
    for name in ("chat_template.jinja", "generation_config.json", "special_tokens_map.json", "processor_config.json"):
        found.append(changed_folder(f"{name} is a pipe", source, irregular(name)["a pipe"]))
    return found


def _poisoned(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    first = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.ndim)
    tensors[first].view(-1)[0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _sizes(source: Path, keys: Sequence[str]) -> list[Input]:
    values: list[Any] = [0, -1, 10**7, 10**9, 2**62, 10**400, None, True, "32", [], 1.5, float("nan")]
    return [
        changed_folder(f"{key} is {_word(value)}", source, with_json("config.json", setting(key, value=value)))
        for key, value in itertools.product(keys, values)
    ]


def _word(value: Any) -> str:
    return "10**400" if value == 10**400 else repr(value)


def kinds_of_text(base: Path) -> list[Input]:
    limits = [0, -1, "x", None, float("nan"), float("inf"), 10**30, True, []]
    return [
        *_traps(TEXT, "tokenizer_config.json"),
        *_sizes(TEXT, ("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings")),
        *(
            changed_folder(
                f"model_max_length {value!r}",
                TEXT,
                with_json("tokenizer_config.json", setting("model_max_length", value=value)),
            )
            for value in limits
        ),
        changed_folder("tokenizer.json: nothing", TEXT, with_bytes("tokenizer.json", b""), "refused"),
        changed_folder("tokenizer.json: a list", TEXT, with_bytes("tokenizer.json", b"[]"), "refused"),
        changed_folder("tokenizer.json: 70 MB", TEXT, with_bytes("tokenizer.json", b" " * 70_000_000), "refused"),
        changed_folder("tokenizer.json: deep", TEXT, with_bytes("tokenizer.json", b'{"model":' * 50_000), "refused"),
        changed_folder("no model in the tokenizer", TEXT, with_json("tokenizer.json", without("model"))),
    ]


@cache
def _speech(base: Path) -> Path:
    torch.manual_seed(0)
    return audio_backbones.save_backbone("wav2vec2_group", base / "speech").folder


@cache
def _video(base: Path) -> Path:
    torch.manual_seed(0)
    return video_backbones.save_backbone("videomae", base / "video").folder


def kinds_of_sound(base: Path) -> list[Input]:
    source, reader = _speech(base), "preprocessor_config.json"
    return [
        *_traps(source, reader),
        *_sizes(source, ("hidden_size", "num_hidden_layers", "conv_dim", "num_conv_pos_embeddings")),
        *(
            changed_folder(f"{reader}: {key} {value!r}", source, with_json(reader, setting(key, value=value)))
            for key in ("sampling_rate", "feature_size", "padding_value", "do_normalize")
            for value in (0, -1, 10**9, "x", None, [], float("nan"))
        ),
    ]


def kinds_of_video(base: Path) -> list[Input]:
    source, reader = _video(base), "preprocessor_config.json"
    return [
        *_traps(source, reader),
        *_sizes(source, ("hidden_size", "num_hidden_layers", "image_size", "num_frames", "tubelet_size")),
        *(
            changed_folder(f"{reader}: {key} {value!r}", source, with_json(reader, setting(key, value=value)))
            for key in ("size", "crop_size", "resample", "image_std", "rescale_factor")
            for value in (0, -1, 10**9, "x", [], [1, 2], {"height": 10**9, "width": 1}, float("nan"))
        ),
    ]


def mutants_of_text(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(TEXT, ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"), rng)


def mutants_of_sound(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(_speech(base), ("config.json", "preprocessor_config.json", "model.safetensors"), rng)


def mutants_of_video(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(_video(base), ("config.json", "preprocessor_config.json", "model.safetensors"), rng)


transformers.logging.set_verbosity_error()
DOORS: Sequence[Door] = [
    Door("backbone of text", read_text, kinds_of_text, mutants_of_text),
    Door("backbone of sound", read_sound, kinds_of_sound, mutants_of_sound),
    Door("backbone of video", read_video, kinds_of_video, mutants_of_video),
]
