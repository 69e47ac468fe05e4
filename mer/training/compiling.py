"""torch.compile of tuned encoders (`training.compile`): the same numbers up to rounding, after minutes of compiling."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import torch

from mer.errors import MerError
from mer.models.tuned import TunedEncoder

_COMPILERS = ("g++", "clang++")


def compile_layers(encoder: TunedEncoder) -> None:
    """Compile the forward pass of each layer when it first runs, for rows of any length; names of weights stay.

    Layers are alike, so that one of them is compiled for all. What is between them (hooks that keep hidden states,
    pooling) is left to Python.
    """
    for _, layer in encoder.numbered_layers():
        layer.forward = torch.compile(layer.forward, dynamic=True)


def require_compiler(device: str) -> None:
    """Raise MerError where torch.compile has nothing to compile with."""
    named = os.environ.get("CXX", "")
    known = (named,) if named else _COMPILERS
    lacks = "" if any(shutil.which(name) for name in known) else f"a C++ compiler ({' or '.join(known)})"
    if device.startswith("cuda") and find_spec("triton") is None:
        lacks = "the package triton"
    if lacks:
        raise MerError(
            "training.compile",
            f"{lacks} is not here, which torch.compile needs",
            allowed="a machine that has it, or training.compile: false",
            then="install it, or --set training.compile=false",
        )
