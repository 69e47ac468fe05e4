"""Loading pretrained weights with transformers: quietly, and whole or not at all."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator

from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.terminal.escapes import neutral

_TERMS = {  # of transformers and Python
    r"Validation error for field '\w+': \w+: F": "in config.json f",
    r"Error while deserializing header: ": "its weights are no whole safetensors file: ",
    r"You set `ignore_mismatched_sizes`.*": "its weights have other shapes than config.json says",
    r"Class validation error for validator '\w+': \w+: ": "",
    r"<class '([\w.]+)'>": r"\1",
    r"<([\w.]+) object at 0x\w+>": r"\1",
    r"'?NoneType'?": "null",
}


@contextlib.contextmanager
def refusing(found: BackboneFolder, *, allowed: str, offline: str) -> Iterator[None]:
    """Turn whatever transformers raises over an unusable folder into one MerError.

    Args:
        allowed: kinds of folder that can be loaded, in words.
        offline: the backbone of this modality that needs no hub.
    """
    try:
        yield
    except MerError:
        raise
    except BaseException as fault:
        if not isinstance(fault, Exception) and type(fault).__name__ != "PanicException":  # Rust's, of tokenizers
            raise
        raise MerError(
            found.folder,
            f"backbone {found.name!r} cannot be loaded: {_words(fault)}",
            allowed=allowed,
            then=f"fetch the folder again, or choose another backbone ({offline} needs no hub)",
        ) from fault


def _words(fault: BaseException) -> str:
    """Say what a library complains of, without its own terms where they would not help."""
    if isinstance(fault, json.JSONDecodeError):
        return f"one of its files is not JSON ({fault.msg} at line {fault.lineno})"
    if isinstance(fault, UnicodeDecodeError):
        return f"one of its files is not UTF-8 (byte {fault.start})"
    text = neutral(" ".join(str(fault).split())) or type(fault).__name__
    for pattern, meant in _TERMS.items():
        text = re.sub(pattern, meant, text)
    return text[:400]


def require_whole(found: BackboneFolder, model: object, missing: Iterable[str]) -> None:
    """Raises: MerError when weights that decide the output were not in the checkpoint."""
    if names := sorted(missing):
        raise MerError(
            found.folder,
            f"{len(names)} weights of {type(model).__name__} are not in the checkpoint, e.g. {names[0]}: "
            "they would be random",
            allowed="a checkpoint of the whole encoder",
            then="fetch the folder again, or choose another backbone",
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the bar and the table that transformers draws at every load; `require_whole` checks their content."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
