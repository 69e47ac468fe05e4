"""LoRA adapters by peft: which linear layers get one, and the files that peft itself can load (methods 6.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mer.config import LoraTuning
from mer.errors import MerError

TARGETS = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "camembert", "electra", "data2vec-text"),
        ("query", "key", "value", "dense"),
    ),
    "mpnet": ("q", "k", "v", "o"),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "key_proj", "value_proj"),
    "modernbert": ("Wqkv", "Wi", "Wo"),
    "distilbert": ("q_lin", "k_lin", "v_lin", "out_lin"),
    **dict.fromkeys(
        ("wav2vec2", "hubert", "data2vec-audio", "whisper", "clip_vision_model"),
        ("q_proj", "k_proj", "v_proj", "out_proj"),
    ),
    "wavlm": ("intermediate_dense", "output_dense"),
    "timesformer": ("qkv", "dense"),
    "videomae": ("query", "key", "value", "dense"),
    "vivit": ("q_proj", "k_proj", "v_proj", "o_proj"),
}
# Linear layers that these families never call (they read the weights directly): an adapter there would never run.
BYPASSED = {"wavlm": ("q_proj", "k_proj", "v_proj", "out_proj")}
_NAME = "default"  # peft's name of the only adapter
_PEFT_PREFIX = "base_model.model."


def add_adapters(model: Any, layers: Mapping[str, nn.Module], lora: LoraTuning, *, modality: str = "text") -> None:
    """Put adapters on linear layers inside `layers` (name in `model` -> module). Draws random numbers.

    Afterwards only the adapters require gradients. Raises: MerError if a target names no layer.
    """
    from peft import inject_adapter_in_model

    wanted = target_modules(model, layers, lora, modality=modality)
    inject_adapter_in_model(_lora_config(lora, wanted), model, adapter_name=_NAME)
    found = {name.partition(".lora_")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert found == set(wanted), f"peft put adapters on {sorted(found ^ set(wanted))[:3]} too, or not"


def target_modules(
    model: Any, layers: Mapping[str, nn.Module], lora: LoraTuning, *, modality: str = "text"
) -> list[str]:
    """List the full names of the linear layers that get an adapter. Raises: MerError if a target is not usable."""
    linear = [
        f"{prefix}.{name}"
        for prefix, layer in layers.items()
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    called = ", ".join(sorted({name.split(".")[-1] for name in linear}))
    family = model.config.model_type
    wanted = TARGETS.get(family) if lora.targets == "auto" else lora.targets
    if wanted is None:
        raise MerError(
            f"encoders.{modality}.lora.targets",
            f"'auto' knows no targets of the family {family!r}",
            allowed=f"some of {called}",
        )
    chosen = [name for name in linear if any(f".{name}".endswith(f".{target}") for target in wanted)]
    unknown = [target for target in wanted if not any(f".{name}".endswith(f".{target}") for name in chosen)]
    if unknown:
        raise MerError(
            f"encoders.{modality}.lora.targets",
            f"no linear layer of {family!r} is called {', '.join(unknown)}",
            allowed=f"some of {called}, or 'auto'",
        )
    never = [target for target in wanted if target.split(".")[-1] in BYPASSED.get(family, ())]
    if never:
        raise MerError(
            f"encoders.{modality}.lora.targets",
            f"{family!r} reads the weights of {', '.join(never)} and never calls these layers: adapters there would "
            "get no gradient",
            allowed=f"{', '.join(TARGETS[family])}, or 'auto'",
            then="choose others, or train the attention itself with mode: full",
        )
    return chosen


def refuse_idle(weights: Mapping[str, nn.Parameter], *, modality: str = "text") -> None:
    """Check after one backward pass of an untrained model that every weight to be trained has a gradient.

    An adapter around a layer that its family never calls would stay as it is, unnoticed. The A matrices are exempt
    from a gradient of exactly 0: B starts at zero, so theirs is 0 in the first step.

    Raises: MerError naming the weights that would not learn.
    """
    idle = [name for name, weight in weights.items() if weight.grad is None]
    zero = [
        name
        for name, weight in weights.items()
        if weight.grad is not None and weight.ndim > 1 and ".lora_A." not in name and not weight.grad.abs().max() > 0
    ]
    if idle or zero or not weights:
        what = ", ".join((idle + zero)[:3]) if weights else "nothing requires a gradient"
        raise MerError(
            f"encoders.{modality}",
            f"{len(idle) + len(zero)} of {len(weights)} trained weights get no gradient, e.g. {what}: they would "
            "stay as they are, silently",
            then=f"choose other encoders.{modality}.lora.targets (its feed-forward layers always work), or mode: full",
        )


def peft_tensors(tensors: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split a model's weights into adapters, under peft's names, and the rest.

    Args: prefix: with which the names of the backbone's weights begin.
    """
    adapter, rest = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(prefix) and ".lora_" in name:
            adapter[_PEFT_PREFIX + _saved(name.removeprefix(prefix))] = tensor
        else:
            rest[name] = tensor
    return adapter, rest


def from_peft_tensors(adapter: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Rename adapters from peft's names to those in our models: the inverse of `peft_tensors`."""
    found = {}
    for name, tensor in adapter.items():
        layer, _, kind = name.removeprefix(_PEFT_PREFIX).rpartition(".lora_")
        found[f"{prefix}{layer}.lora_{kind.removesuffix('.weight')}.{_NAME}.weight"] = tensor
    return found


def _saved(name: str) -> str:
    """Shorten a name as peft does in files: no adapter name, and no '.weight' behind DoRA's magnitude vectors."""
    short = name.replace(f".{_NAME}.", ".")
    return short.removesuffix(".weight") if short.endswith("lora_magnitude_vector.weight") else short


def peft_config(adapter: Mapping[str, Tensor], lora: LoraTuning, backbone: str, *, modality: str = "text") -> str:
    """Write adapter_config.json as text.

    Args:
        adapter: weights under peft's names.
        backbone: name of the model that the adapters belong to.
    """
    modules = sorted({name.removeprefix(_PEFT_PREFIX).rpartition(".lora_")[0] for name in adapter})
    # with a task type peft's model takes token ids; without one, the inputs of its base model
    task = "FEATURE_EXTRACTION" if modality == "text" else None
    config = _lora_config(lora, modules, base_model_name_or_path=backbone, inference_mode=True, task_type=task)
    words = {name: sorted(value) if isinstance(value, set) else value for name, value in config.to_dict().items()}
    return json.dumps(words, indent=2, sort_keys=True, default=str) + "\n"


def _lora_config(lora: LoraTuning, modules: list[str], **options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.scale_alpha,
        lora_dropout=lora.dropout,
        target_modules=modules,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
        bias="none",
        **options,
    )


@torch.no_grad()
def merge_adapters(model: Any) -> dict[str, Tensor]:
    """Add every adapter to the weight of its layer, in place. The model must not share its base weights.

    Returns: the changed weights, under the names that they have without adapters.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    merged = {}
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
            merged[f"{name}.weight"] = module.get_base_layer().weight.detach()
    return merged
