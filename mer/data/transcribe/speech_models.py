"""Speech models by name: which language a name stands for, and checkpoints that must be converted first.

faster-whisper reads CTranslate2 models. OpenAI's and Distil-Whisper's are on the hub, converted, under names that it
knows. BELLE's Chinese ones, and whatever was tuned with transformers, are converted once by CTranslate2's own command.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mer.errors import MerError
from mer.read_files import read_object

_OPENAI = re.compile(r"openai/whisper-([\w.-]+)")
_DISTILLED = re.compile(r"distil-whisper/(distil-(?:large-v[23]|medium\.en|small\.en))")  # as its authors publish them
_BELLE = re.compile(r"BELLE-2/[\w.-]+")
_ENGLISH = re.compile(r"(faster-)?distil-(whisper-)?(large-v2|large-v3|large-v3\.5)(-ct2)?|.*\.en(-ct2)?")
_CHINESE = re.compile(r".*[-_.]zh(?![a-z]).*", re.IGNORECASE)


def known_name(model: str) -> str:
    """Return the name under which faster-whisper has a model that others name by its checkpoint on the hub."""
    found = _OPENAI.fullmatch(model) or _DISTILLED.fullmatch(model)
    return found[1] if found else model


def spoken_by(model: str) -> str | None:
    """Return the code of the one language that a model understands, by its name; None where the name does not tell.

    Args: model: a name, an id of the hub, or a folder.
    """
    name = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
    if _CHINESE.fullmatch(name):
        return "zh"
    return "en" if _ENGLISH.fullmatch(name) else None


def refuse_unconverted(model: str, folder: str | None) -> None:
    """Refuse a checkpoint of transformers, which faster-whisper cannot read, with the command that converts it.

    Args: folder: that `model` names; None for a model of the hub.
    Raises: MerError.
    """
    if folder is None and not _BELLE.fullmatch(model):
        return
    if folder is not None and not _is_checkpoint(Path(folder)):
        return
    out = f"{Path(folder or model).name}-ct2"
    words = ["ct2-transformers-converter", "--model", folder or model, "--output_dir", out, "--quantization", "int8"]
    words += ["--copy_files", "tokenizer.json", "preprocessor_config.json"]
    raise MerError(
        f"--model {model}",
        "is a checkpoint of transformers; faster-whisper reads CTranslate2 models",
        then=f"{shlex.join(words)}\n  and then name what it wrote: --model {shlex.quote(out)}",
    )


def _is_checkpoint(folder: Path) -> bool:
    """Tell whether a folder holds a Whisper as transformers writes it, and no converted one."""
    if (folder / "model.bin").exists():
        return False
    try:
        return read_object(folder / "config.json").get("model_type") == "whisper"
    except (OSError, ValueError):
        return False
