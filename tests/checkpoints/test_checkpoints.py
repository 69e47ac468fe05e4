"""Tensor files: what was saved is loaded, what is broken is named, and nothing is ever half there."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from mer.checkpoints import load_tensors, read_card, save_tensors
from mer.checkpoints.tensors import clone, prefixed, under
from mer.errors import MerError

TENSORS = {
    "half": torch.randn(3, 4).half(),
    "float": torch.tensor([1.0, float("inf"), -0.0]),
    "double": torch.randn(2).double(),
    "count": torch.tensor(2**40),
    "flag": torch.tensor(True),
    "empty": torch.zeros(0, 5),
    "view": torch.arange(12.0).reshape(3, 4).T,
}
CARD = {"epoch": 3, "row": {"dev_loss": 0.1 + 0.2}, "words": "zähne ✓", "none": None, "list": [1, "a"]}


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "er" / "x.safetensors"
    save_tensors(path, TENSORS, CARD)
    tensors, card = load_tensors(path)
    assert card == CARD == read_card(path)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor), name
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def test_gradients_stay_behind(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    save_tensors(tmp_path / "x", {"w": weight * 2}, {})
    loaded = load_tensors(tmp_path / "x")[0]["w"]
    assert not loaded.requires_grad and loaded.tolist() == [2.0, 2.0]


def test_a_loaded_tensor_does_not_write_to_the_file(tmp_path):
    save_tensors(tmp_path / "x", {"w": torch.ones(2)}, {})
    load_tensors(tmp_path / "x")[0]["w"].fill_(7)
    assert load_tensors(tmp_path / "x")[0]["w"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("read", [load_tensors, read_card])
@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file_is_named_with_the_way_out(tmp_path, read, keep):
    path = tmp_path / "last.safetensors"
    save_tensors(path, TENSORS, CARD)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MerError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a whole checkpoint of ours (")
    assert "allowed: a .safetensors file written by mer" in message and "next: delete this file" in message


@pytest.mark.parametrize("read", [load_tensors, read_card])
def test_foreign_files_are_refused(tmp_path, read):
    path = tmp_path / "x.safetensors"
    path.write_text("PK: these are not tensors, but long enough to look like something")
    with pytest.raises(MerError, match="not a whole checkpoint of ours"):
        read(path)
    save_file({"w": torch.ones(1)}, path)
    with pytest.raises(MerError, match="its header has no card"):
        read(path)
    save_file({"w": torch.ones(1)}, path, metadata={"format": "pt"})
    with pytest.raises(MerError, match="its header has no card"):
        read(path)


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_tensors(tmp_path / "nothing")


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"w": torch.ones(2)}, {"epoch": 1})

    def half(tensors, target, metadata):
        target.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("mer.checkpoints.tensors.save_file", half)
        with pytest.raises(OSError, match="No space"):
            save_tensors(path, {"w": torch.zeros(2)}, {"epoch": 2})
    with pytest.raises(TypeError):
        save_tensors(path, {"w": torch.zeros(2)}, {"epoch": object()})
    tensors, card = load_tensors(path)
    assert tensors["w"].tolist() == [1.0, 1.0] and card == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["x.safetensors"]


def test_prefixes_are_taken_off_again():
    tensors = prefixed("model", {"a.b": torch.ones(1)}) | prefixed("models", {"a": torch.zeros(1)})
    assert tensors.keys() == {"model.a.b", "models.a"}
    assert under("model", tensors).keys() == {"a.b"}
    original = torch.ones(2)
    copy = clone({"w": original})["w"]
    original.fill_(5)
    assert copy.tolist() == [1.0, 1.0]
