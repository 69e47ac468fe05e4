"""A text export that AutoModelForSequenceClassification opens, without mer: `transformers/` of an export.

The heads that transformers builds read the first token of the last hidden state. Those of BERT, RoBERTa and XLM-R are
dense, tanh, linear: a linear head on h goes through them, its dense layer scaled to where tanh is a straight line.
Those of ELECTRA and DeBERTa are dense, GELU, linear, as wide as the encoder: as ours with one block of that width.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mer.checkpoints.export_folder import Export
from mer.config import TargetKind, TextEncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, tokenizer_files
from mer.features.backbone.loading import quiet
from mer.models import Classifier
from mer.study.export.whole_text import (
    TEXTS,
    WholeText,
    answers_of,
    answers_to,
    require_equal,
    tolerance_of,
    whole_text,
)

FOLDER = "transformers"
_STRAIGHT = 2.0**-20  # tanh of numbers that small is the number, to the last bit of float32
_TANH, _GELU = ("bert", "roberta", "xlm-roberta"), ("electra", "deberta", "deberta-v2")
_PROBLEMS: dict[TargetKind, str] = {
    "class": "single_label_classification", "regression": "regression", "multilabel": "multi_label_classification",
}  # fmt: skip
_ALLOWED = (
    "a text model that reads one utterance without context, prompt or speaker, at the first token of the last hidden "
    "state (pooler: first, layers: last), answers by its head, and has head.hidden: 0 (BERT, RoBERTa, XLM-R) or one "
    "block as wide as the encoder (ELECTRA, DeBERTa)"
)


def write_transformers(export: Export, into: Path) -> Path:
    """Write the folder, open it as anybody would, and compare its scores with those of `mer.load`.

    Args: into: gets the folder `transformers`.
    Raises: MerError that says why this model does not fit, or when the scores differ.
    """
    module, predictor, found = whole_text(export, "--transformers")
    family = str(module.encoder.config.model_type)
    if reasons := _why_not(export, module, family):
        raise MerError("--transformers", f"{export.folder}: {'; '.join(reasons)}", allowed=_ALLOWED)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = into / FOLDER
    names = dict(enumerate(export.class_names))
    config = module.encoder.config
    config.id2label, config.label2id = names, {name: number for number, name in names.items()}
    config.problem_type = _PROBLEMS[export.kind]
    with quiet():
        plain: Any = AutoModelForSequenceClassification.from_config(config)
        plain.base_model.load_state_dict(module.encoder.state_dict(), strict=False)
        _set_head(plain, module.head, family, module.temperature)
        plain.eval().save_pretrained(folder)
        _copy_tokenizer(export, found, folder)
        opened = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    given = tokenizer(list(TEXTS), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        scores = opened(**given).logits
    require_equal("--transformers", answers_to(predictor, TEXTS), answers_of(export, scores), tolerance_of(export))
    return folder


def _why_not(export: Export, module: WholeText, family: str) -> list[str]:
    config, depth = export.config, int(module.encoder.config.num_hidden_layers)
    encoder, head = config.encoders.text, config.head
    assert isinstance(encoder, TextEncoderConfig)
    width = int(module.encoder.config.hidden_size)
    wanted = {
        "it reads other turns too": (encoder.context.past, encoder.context.future) == (0, 0),
        "it reads who speaks": encoder.speaker == "none",
        "it reads a prompt": not encoder.prompt,
        f"pooler is {encoder.pooler}": encoder.pooler == "first",
        f"it reads hidden states {', '.join(map(str, module.layers))} of {depth}": module.layers == [depth],
        f"it answers by {config.training.prediction}": config.training.prediction == "head",
        "head.input_norm is layernorm": head.input_norm != "layernorm",
        f"transformers' head for {family} is of another kind": family in (*_TANH, *_GELU),
        f"head.hidden is {head.hidden}": family not in _TANH or head.hidden == 0,
        f"head.hidden is {head.hidden}, head.depth {head.depth}": family not in _GELU
        or (head.hidden, head.depth) == (width, 1),
    }
    return [reason for reason, holds in wanted.items() if not holds]


def _set_head(plain: Any, head: Classifier, family: str, temperature: float) -> None:
    """Put our head into the model's own: dense, an activation, linear. The last divides by the temperature, and gives
    numbers in their own unit."""
    dense, out = _layers_of(plain, family)
    width = dense.in_features
    mean_D, scale_D = _norm(head, width)
    out_CH, out_C = head.classifier.weight / temperature, head.classifier.bias / temperature
    if head.task == "regression":
        out_CH, out_C = head.target_scale_C[:, None] * out_CH, head.in_unit(out_C)
    if family in _TANH:
        _fill(dense, _STRAIGHT * torch.diag(scale_D), -_STRAIGHT * mean_D * scale_D)
        _fill(out, out_CH / _STRAIGHT, out_C)
        return
    first: Any = head.blocks[0]
    _fill(dense, first.weight * scale_D, first.bias - first.weight @ (mean_D * scale_D))
    _fill(out, out_CH, out_C)


def _layers_of(plain: Any, family: str) -> tuple[nn.Linear, nn.Linear]:
    if family == "bert":
        return plain.bert.pooler.dense, plain.classifier
    if family in ("deberta", "deberta-v2"):
        plain.config.pooler_hidden_act = "gelu"
        return plain.pooler.dense, plain.classifier
    return plain.classifier.dense, plain.classifier.out_proj


def _norm(head: Any, width: int) -> tuple[Tensor, Tensor]:
    if head.input_norm.kind != "standardize":
        return torch.zeros(width), torch.ones(width)
    return head.input_norm.mean_LD[0], head.input_norm.scale_LD[0]


def _fill(layer: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def _copy_tokenizer(export: Export, found: BackboneFolder, folder: Path) -> None:
    """Copy the tokenizer, which cuts as the model was trained: at the left, to the tokens it reads."""
    from transformers import AutoTokenizer

    for file in tokenizer_files(found.folder):
        shutil.copyfile(file, folder / file.name)
    encoder = export.config.encoders.text
    assert encoder is not None
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, truncation_side="left")
    tokenizer.model_max_length = min(encoder.context.max_tokens, tokenizer.model_max_length)
    tokenizer.save_pretrained(folder)
