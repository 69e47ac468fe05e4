"""A text export as an ONNX graph, `model.onnx`: token ids to outputs, in any runtime.

Inputs: input_ids and attention_mask (N, T) int64; pooled (N, T) float32, 1 for the tokens that are averaged. Output:
scores (N, C) float32, of classes or of labels; or the numbers that are predicted. The text must be normalised and
tokenised as `mer` does it.
"""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch

from mer.checkpoints.export_folder import Export
from mer.errors import MerError
from mer.features.backbone.loading import quiet
from mer.study.export.whole_text import (
    EXACT,
    TEXTS,
    answers_of,
    answers_to,
    batch,
    require_equal,
    samples,
    tolerance_of,
    whole_text,
)

ONNX = "model.onnx"
_NEEDS = ("onnx", "onnxscript", "onnxruntime")


def write_onnx(export: Export, into: Path) -> Path:
    """Write the graph and run it: its scores must be those of torch, and those of `mer.load`.

    Args: into: folder for the file.
    Raises: MerError when a package is missing, the model is no text model, or the scores differ.
    """
    if missing := [name for name in _NEEDS if find_spec(name) is None]:
        raise MerError("--onnx", f"needs the package {missing[0]}", then='pip install "mer[onnx]"')
    import onnxruntime

    module, predictor, found = whole_text(export, "--onnx")
    tokens = samples(export, found)
    given = batch(tokens, module.pad)
    rows, places = torch.export.Dim("rows"), torch.export.Dim("tokens")
    path = into / ONNX
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            kwargs=given,
            f=path,
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes={name: {0: rows, 1: places} for name in given},
            output_names=["scores"],
        )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for some, texts in ((tokens, TEXTS), (tokens[1:2], TEXTS[1:2])):
        read = batch(some, module.pad)
        (scores,) = session.run(None, {name: value.numpy() for name, value in read.items()})
        with torch.inference_mode():
            require_equal("--onnx", module(**read), scores, EXACT)
        answers = answers_of(export, torch.from_numpy(scores))
        require_equal("--onnx", answers_to(predictor, texts), answers, tolerance_of(export))
    return path
