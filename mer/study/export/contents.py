"""Collect the parts of an export that are no documents: weights, preprocessing, provenance, backbone files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mer.checkpoints.export_folder import adapter_folder, is_export, trained_sha256
from mer.checkpoints.tensors import under
from mer.config import TrialConfig, is_given, is_signal
from mer.errors import MerError
from mer.features import FeatureTable
from mer.features.backbone.files import locate, processor_files, tokenizer_files, weight_files
from mer.files import sha256_file
from mer.models.adapters import peft_config, peft_tensors
from mer.models.weight_names import backbone_prefix
from mer.predictor.weights_fit import WORDS
from mer.read_files import read_object
from mer.study.export.card_facts import is_sample
from mer.study.export.trained_weights import Trained
from mer.study.folder.read_study import StudyRecord
from mer.study.folder.standings import Standing
from mer.study.paths import ARTIFACTS, CODE_DIFF, ENVIRONMENT
from trainables.shared_table import layers_of


def prediction_weights(trained: Trained, dev: FeatureTable) -> dict[str, Tensor]:
    """Return the weights that prediction reads: the model, and for the nearest anchor the objective and label words."""
    parts = ["model"]
    extra: dict[str, Tensor] = {}
    if trained.config.training.prediction == "nearest_anchor":
        import torch

        parts.append("objective")
        layers = layers_of(trained.config, {"text": dev.features.shape[1]})
        layers = layers["text"] if isinstance(layers, dict) else layers
        words = dev.label_text[trained.config.data.label][:, layers].astype(np.float32)
        extra[WORDS] = torch.from_numpy(words)
    kept = {f"{part}.{name}": tensor for part in parts for name, tensor in under(part, trained.tensors).items()}
    return kept | extra


def split_adapters(
    config: TrialConfig, weights: Mapping[str, Tensor]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """Separate a model's weights into adapters (modality -> weights under peft's names) and the rest."""
    adapters: dict[str, dict[str, Tensor]] = {}
    rest = dict(weights)
    for modality in config.tuned:
        own, rest = peft_tensors(rest, f"model.{backbone_prefix(config, modality)}")
        adapters |= {modality: own} if own else {}
    return adapters, rest


def adapter_words(
    config: TrialConfig, adapters: Mapping[str, Mapping[str, Tensor]], provenance: Mapping[str, Any]
) -> dict[str, str]:
    """Write the text of every adapter_config.json: path inside the export -> JSON."""
    return {
        f"{adapter_folder(config, modality)}/adapter_config.json": peft_config(
            adapter, config.tuned[modality].lora, str(provenance["backbones"][modality]["name"]), modality=modality
        )
        for modality, adapter in adapters.items()
    }


def preprocessor(config: TrialConfig, tables: Mapping[str, FeatureTable]) -> dict[str, Any]:
    """Describe how each modality becomes features; several are nested under `modalities`."""
    layers = layers_of(config, {modality: table.hidden_states for modality, table in tables.items()})
    told = {}
    for modality, table in tables.items():
        words = table.card["ingredients"]
        told[modality] = {
            "modality": modality,
            "backbone": words["backbone"],
            "input": words["input"],
            "pooler": words["pooler"],
            "storage": words["storage"],
            "layers": layers[modality] if isinstance(layers, dict) else layers,
            "hidden_states": table.hidden_states,
            "width": table.features.shape[2],
        } | ({"tokens": words["tokens"]} if table.sequences is not None else {})
    return next(iter(told.values())) if len(told) == 1 else {"modalities": told}


def provenance_of(
    record: StudyRecord,
    standing: Standing,
    trained: Trained,
    tables: Mapping[str, FeatureTable],
    files: dict[str, str],
    summary: dict[str, Any],
    root: str,
) -> dict[str, Any]:
    """Describe where the model comes from: trial, data, code, machine. The caller adds the command.

    Args:
        files: names of the feature files, by split.
        summary: summary.json of the study, {} where it is missing.
        root: folder of the data.
    """
    backbones = {
        modality: {n: table.card["ingredients"]["backbone"][n] for n in ("name", "revision", "weights_sha256")}
        for modality, table in tables.items()
    }
    own = read_json_or_nothing(record.trial_folder(standing.number) / ARTIFACTS / ENVIRONMENT)
    diff = record.folder / CODE_DIFF
    return {
        "study": record.name,
        "generation": record.generation,
        "trial": standing.number,
        "trial_state": standing.state,
        "objective": [objective.model_dump() for objective in record.objective],
        "epoch": int(trained.row["epoch"]),
        "dev_metrics": trained.row,
        "params": standing.params,
        "features": {split: files[split] for split in ("train", "dev")},
        "sample_corpus": is_sample(root),
        "backbone": next(iter(backbones.values())),
        "backbones": backbones,
        "class_names": list(trained.class_names),
        **_teacher(trained.config),
        "environment": own or summary.get("environment", {}),
        "code_diff_sha256": sha256_file(diff) if diff.is_file() else None,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _teacher(config: TrialConfig) -> dict[str, Any]:
    """Name the teacher export and the hash of its weights; {} for a model without one."""
    if config.distill is None or config.distill.teacher is None:
        return {}
    sha256 = trained_sha256(config.distill.teacher) if is_export(config.distill.teacher) else None
    return {"teacher": {"name": config.distill.teacher, "weights_sha256": sha256}}


def backbone_files(config: TrialConfig) -> list[Path]:
    """List the files of the backbone that a bundle copies; none for signal statistics.

    Raises: MerError for a fused model, and for an encoder that is itself an export.
    """
    if len(config.encoders.present) > 1:
        raise MerError("--bundle", "a fused model has several backbones", then="export without --bundle")
    _, encoder = config.encoders.only
    if is_signal(encoder):
        return []
    if is_given(encoder):
        raise MerError(
            "--bundle", f"it reads features that others extracted, {encoder.backbone}", then="export without --bundle"
        )
    if is_export(encoder.backbone):
        raise MerError("--bundle", f"its encoder is another export, {encoder.backbone}", then="pass both folders on")
    folder = locate(encoder, weights=True).folder
    index = folder / "model.safetensors.index.json"
    listed = [index] if index.is_file() and not (folder / "model.safetensors").is_file() else []
    return [folder / "config.json", *weight_files(folder), *listed, *tokenizer_files(folder), *processor_files(folder)]


def read_json_or_nothing(path: Path) -> dict[str, Any]:
    """Read a JSON object; {} where the file is missing or holds none."""
    try:
        return read_object(path)
    except (OSError, ValueError):
        return {}
