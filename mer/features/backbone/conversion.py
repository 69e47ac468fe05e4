"""The command that makes safetensors of a backbone's pickled weights, for refusals of these."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from mer.config import Modality

# the class of transformers that loads what lies beside the weights
_READERS: dict[Modality, str] = {
    "text": "AutoTokenizer", "audio": "AutoFeatureExtractor", "video": "AutoImageProcessor",
}  # fmt: skip


def conversion(source: Path | str, modality: Modality, *, reader: bool = True) -> str:
    """Return the command to type, and the key to set after it.

    Args:
        source: a folder or a Hugging Face id.
        reader: whether the source has a tokenizer or a preprocessor, which is then taken along.
    """
    target = f"{Path(source).name}-safetensors"
    names = ["AutoModel", *([_READERS[modality]] if reader else [])]
    said, to = json.dumps(str(source), ensure_ascii=False), json.dumps(target, ensure_ascii=False)
    code = (
        f"import mer; from transformers import {', '.join(names)}; "
        f"[one.from_pretrained({said}).save_pretrained({to}) for one in ({', '.join(names)},)]"
    )
    key = shlex.quote(f"encoders.{modality}.backbone=./{target}")
    return f"python -c {shlex.quote(code)}\n        then add: --set {key}"
