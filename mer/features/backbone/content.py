"""What a backbone's folder may hold: checked before transformers opens it, since anybody may have made it.

Code and pickled weights are never reached: transformers is told so, and an index may name safetensors files beside it
only. Numbers in config.json build models and tables before a weight is compared with them, so they are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mer.errors import MerError
from mer.read_files import read_object, shown

LARGEST_READER_BYTES = 64 * 2**20  # of a tokenizer or a preprocessor; the largest that is published has 34 MB
_AGAIN = "fetch the backbone again"
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.safetensors")
_VOCABULARIES = ("tokenizer.json", "vocab.json")
_ADAPTER = "adapter_config.json"
_LARGEST = {
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"), 1000),
    **dict.fromkeys(("hidden_size", "d_model", "dim", "n_embd", "num_attention_heads", "image_size"), 2**16),
    "num_frames": 4096,
    **dict.fromkeys(("vocab_size", "max_position_embeddings", "max_source_positions", "intermediate_size"), 2**24),
}  # fmt: skip
_LARGEST_OTHER = 2**31  # e.g. a number of training steps
_LARGEST_OF_READER = 2**22  # samples, pixels, frames


def index_names(index: Path) -> list[str]:
    """List the files that an index of weights names, sorted. Raises: MerError for any but safetensors beside it."""
    names = read_object(index, then=_AGAIN).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise MerError(index, "has no weight_map", allowed="an index of safetensors files", then=_AGAIN)
    for name in names.values():
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise MerError(index, f"names {shown(name)}", allowed="names of .safetensors files beside it", then=_AGAIN)
    return sorted(set(names.values()))


def refuse_traps(folder: Path) -> None:
    """Refuse a folder that leads transformers to other files than those that are hashed here. Raises: MerError."""
    if (folder / _ADAPTER).exists():
        raise MerError(
            folder / _ADAPTER,
            "the folder holds adapters, which would be loaded beside the backbone",
            allowed="a whole model",
            then="merge the adapters (peft: merge_and_unload, then save_pretrained), or remove them",
        )


def refuse_large(files: Iterable[Path]) -> None:
    """Refuse a tokenizer or preprocessor larger than any. Raises: MerError."""
    for file in files:
        if (size := file.stat().st_size) > LARGEST_READER_BYTES:
            raise MerError(file, f"has {size} bytes", allowed=f"at most {LARGEST_READER_BYTES}", then=_AGAIN)
        if file.suffix == ".json" and file.name not in _VOCABULARIES:
            said = read_object(file, then=_AGAIN)
            if file.name == "preprocessor_config.json":
                _refuse_numbers(file, said, {}, _LARGEST_OF_READER)


def model_config(path: Path) -> dict[str, Any]:
    """Read config.json. Raises: MerError when it is broken, or names a size that no encoder has."""
    config = read_object(path, then=_AGAIN)
    _refuse_numbers(path, config, _LARGEST, _LARGEST_OTHER)
    return config


def _refuse_numbers(path: Path, config: Mapping[str, Any], largest: Mapping[str, int], otherwise: int) -> None:
    """Raise MerError for a whole number beyond its bound, in the parts of a configuration too.

    Args: largest: bounds of numbers that must be whole and above 0; otherwise: of any other number.
    """
    for key, value in config.items():
        name = shown(key)[1:-1]
        if isinstance(value, dict):
            _refuse_numbers(path, value, largest, otherwise)
        elif key in largest and not isinstance(value, list):
            if type(value) is not int or not 1 <= value <= largest[key]:
                raise MerError(path, f"{name} is {shown(value)}", allowed=f"a whole number, 1 to {largest[key]}")
        elif isinstance(value, int) and abs(value) > otherwise:
            raise MerError(path, f"{name} is {value}", allowed=f"at most {otherwise}")
