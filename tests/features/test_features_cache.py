from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mer.config import DataConfig
from mer.errors import MerError
from mer.features import FeatureRequest, ensure_features, load_features, select_layers
from mer.features.backbone.files import BackboneFolder, Fingerprint
from mer.features.cache import tensors
from mer.features.cache.feature_file import verify_features
from mer.features.cache.key import key_of
from mer.features.from_text.request import content_hash

SEVEN = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"cache": tmp_path_factory.mktemp("cache")}


@pytest.fixture
def dev_file(
    made: dict[str, Path], data: DataConfig, encoder_config: Any, tmp_path: Path
) -> tuple[Path, Callable[[], Any]]:
    """A good dev file in a cache of its own, and a function that ensures it again."""
    if "dev" not in made:
        made["dev"] = ensure_features(data, encoder_config(), ["dev"], cache=made["cache"], progress=False).paths["dev"]
    cache = tmp_path / "cache"
    shutil.copytree(made["cache"], cache)
    path = cache / made["dev"].relative_to(made["cache"])
    return path, lambda: ensure_features(data, encoder_config(), ["dev"], cache=cache, progress=False)


def test_rows_ids_labels_and_anchors(dev_file: Any, backbone: Any) -> None:
    table = load_features(dev_file[0])
    assert table.features.shape == (16, 3, 32) and table.features.dtype == np.float16
    assert table.ids == tuple(f"dev/dia{i // 5}_utt{i % 5}" for i in range(16))
    assert table.label_names["emotion"] == SEVEN and set(table.labels) == {"emotion", "sentiment"}
    spoken = ["surprise", "anger", "neutral", "sadness", "joy", "fear", "disgust"]
    assert [table.label_names["emotion"][i] for i in table.labels["emotion"]] == [spoken[i % 7] for i in range(16)]
    assert table.labels["emotion"].dtype == np.int64
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(backbone("roberta")),
        AutoModel.from_pretrained(backbone("roberta")),
    )
    with torch.inference_mode():
        out = model.eval()(**tokenizer("sadness", return_tensors="pt"), output_hidden_states=True)
    anchor = torch.stack(out.hidden_states)[:, 0].mean(dim=1).numpy()
    np.testing.assert_allclose(table.label_text["emotion"][2], anchor, atol=1e-5)
    assert table.label_text["sentiment"].shape == (3, 3, 32) and table.label_text["sentiment"].dtype == np.float32


def test_the_second_call_encodes_nothing_and_needs_no_torch(dev_file: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mer.features.text.pretrained", None)  # importing it would fail
    again = dev_file[1]()
    assert again.encoded == 0 and again.paths == {"dev": dev_file[0]}


def test_layers_and_label_share_a_file(data: DataConfig, encoder_config: Any) -> None:
    one = FeatureRequest.from_config(data, encoder_config(), "dev")
    other_data = DataConfig(**{**data.model_dump(), "label": "sentiment"})
    assert one == FeatureRequest.from_config(other_data, encoder_config(layers=(0, 1)), "dev")
    assert hash(one) == hash(FeatureRequest.from_config(other_data, encoder_config(layers="all"), "dev"))


def _key(request: FeatureRequest, hashes: Fingerprint, content: str, name: str = "b", revision: Any = None) -> str:
    return key_of(request.ingredients(BackboneFolder(name, Path("/x"), revision), hashes, content))


def test_every_ingredient_changes_the_key(
    data: DataConfig, encoder_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Fingerprint("w", "t", "c")

    def request(split: str = "dev", dataset: Any = "meld", **options: Any) -> FeatureRequest:
        chosen = DataConfig(dataset=dataset, root=data.root)
        return FeatureRequest.from_config(chosen, encoder_config(**options), split)

    keys = {"base": _key(request(), hashes, "1")}
    keys |= {
        name: _key(asked, hashes, "1")
        for name, asked in {
            "split": request("train"),
            "dataset": request(dataset="emorynlp"),
            "past": request(past=1),
            "past all": request(past="all"),
            "future": request(future=1),
            "max_tokens": request(max_tokens=63),
            "speaker": request(speaker="name"),
            "prompt": request(prompt=True),
            "pooler": request(pooler="first"),
            "dtype": request(dtype="bfloat16"),
        }.items()
    }
    keys["weights"] = _key(request(), Fingerprint("W", "t", "c"), "1")
    keys["tokenizer"] = _key(request(), Fingerprint("w", "T", "c"), "1")
    keys["config"] = _key(request(), Fingerprint("w", "t", "C"), "1")
    keys["content"] = _key(request(), hashes, "2")
    keys["name"] = _key(request(), hashes, "1", name="B")
    keys["revision"] = _key(request(), hashes, "1", revision="abc")
    versions = ("mer.features.from_text.request.PREPROCESSING_VERSION", "mer.features.cache.key.FORMAT_VERSION",
                "mer.features.cache.key.STORAGE", "mer.data.text.NORMALISATION_VERSION")  # fmt: skip
    for version in versions:
        with monkeypatch.context() as patch:
            patch.setattr(version, 99)
            keys[version] = _key(request(), hashes, "1")
    with monkeypatch.context() as patch:
        patch.setattr("mer.features.from_text.request.PROMPT", "Then {speaker} is")
        keys["template"] = _key(request(prompt=True), hashes, "1")
    assert len(set(keys.values())) == len(keys), "two of these share a key"


def test_content_hash_sees_every_part() -> None:
    from mer.data import Window

    def digest(**change: Any) -> str:
        window = {"id": "a", "turns": ("x", "y"), "target": 1, "speaker": "R"} | change.pop("window", {})
        labels = {"emotion": np.array([change.pop("label", 0)])}
        return content_hash([Window(**window)], labels, {"emotion": change.pop("names", ("joy", "fear"))})

    changes: list[dict[str, Any]] = [
        {}, {"window": {"id": "b"}}, {"window": {"turns": ("xy",), "target": 0}}, {"window": {"target": 0}},
        {"window": {"speaker": "M"}}, {"label": 1}, {"names": ("fear", "joy")},
    ]  # fmt: skip
    assert len({digest(**change) for change in changes}) == len(changes)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _garbage(path: Path) -> None:
    path.write_bytes(b"not a tensor file at all")


def _foreign(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"features": np.zeros((2, 3, 4), np.float16)}, path)


def _other_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    header = {k: v for k, v in tensors.read_header(path).items() if k != "shapes"}
    arrays = tensors.read(path)
    change(header)
    tensors.write(path, arrays, header)


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (_truncate, "corrupt or cut short"),
    "empty": (lambda path: path.write_bytes(b""), "corrupt or cut short: 0 bytes"),
    "garbage": (_garbage, "corrupt or cut short: 24 bytes"),
    "foreign": (_foreign, "a safetensors file that mer did not write"),
    "altered words": (
        lambda path: _other_header(path, lambda h: h["ingredients"].update(pooler="first")),
        "is not the hash of its ingredients",
    ),
    "older format": (lambda path: _other_header(path, lambda h: h["ingredients"].update(format=0)), "format 0"),
    "other class count": (
        lambda path: _other_header(path, lambda h: h["label_names"]["emotion"].pop()),
        "label_text.emotion is (7, 3, 32)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_the_way_out(dev_file: Any, name: str) -> None:
    path, ensure = dev_file
    damage, words = BROKEN[name]
    damage(path)
    before = path.read_bytes()
    for read in (lambda: load_features(path), ensure):
        with pytest.raises(MerError) as caught:
            read()
        assert caught.value.where == str(path)
        assert words in caught.value.found
        assert "python -m mer.features verify" in caught.value.then and "delete this one" in caught.value.then
    assert path.read_bytes() == before, "never replaced silently"


def test_a_file_under_another_name_is_refused(dev_file: Any) -> None:
    path = dev_file[0]
    other = path.with_name("dev-000000000000.safetensors")
    shutil.copy(path, other)
    with pytest.raises(MerError, match=f"holds {path.name}"):
        load_features(other)


def test_flipped_bytes_are_found_by_verify_and_nan_on_load(dev_file: Any) -> None:
    path, _ = dev_file
    raw = bytearray(path.read_bytes())
    at = raw.rfind(load_features(path).features[3, 1, :8].tobytes())
    raw[at] ^= 1
    path.write_bytes(bytes(raw))
    load_features(path)
    with pytest.raises(MerError, match="does not match its checksum"):
        verify_features(path)
    raw[at : at + 2] = np.array([np.nan], np.float16).tobytes()
    path.write_bytes(bytes(raw))
    with pytest.raises(MerError, match="features has NaN or infinity"):
        load_features(path)


def test_sidecar_says_it_in_words_and_decides_nothing(dev_file: Any) -> None:
    path, ensure = dev_file
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["ingredients"]["split"] == "dev" and card["seconds"] >= 0 and card["machine"]["torch"]
    assert load_features(path).card == card
    path.with_suffix(".json").unlink()
    assert ensure().encoded == 0
    assert load_features(path).card["ingredients"] == card["ingredients"]


def test_weights_are_hashed_once(dev_file: Any, monkeypatch: pytest.MonkeyPatch, encoder_config: Any) -> None:
    from mer.features.backbone import files as backbones

    hashed: list[str] = []
    real = backbones.sha256_file
    monkeypatch.setattr(backbones, "sha256_file", lambda path: hashed.append(path.name) or real(path))
    dev_file[1]()
    assert "model.safetensors" not in hashed and "config.json" in hashed


def test_a_full_disk_names_the_file_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A file size limit makes the kernel refuse the write, as a full disk does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    target = tmp_path / "x.safetensors"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError) as caught:
            tensors.write(target, {"a": np.zeros(5000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(target) and caught.value.errno
    assert list(tmp_path.iterdir()) == []


def test_select_layers() -> None:
    assert select_layers("last", 7) == [6]
    assert select_layers("all", 3) == [0, 1, 2]
    assert select_layers((2, -1, 0), 7) == [2, 6, 0]
    with pytest.raises(MerError) as caught:
        select_layers((2, 7), 7)
    assert "[7] of a backbone with 7 hidden states" in caught.value.found
    assert "from -7 to 6" in caught.value.allowed
    with pytest.raises(MerError, match="names a layer twice"):
        select_layers((6, -1), 7)
