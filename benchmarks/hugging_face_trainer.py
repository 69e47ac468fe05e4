"""Tune a text encoder as a user of transformers does: AutoModelForSequenceClassification, peft, Trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import SequentialSampler

from mer.config import TrialConfig
from mer.models.adapters import target_modules


def classifier_of(config: TrialConfig, classes: int) -> Any:
    """Build the whole RoBERTa with its usual head; of its encoder it trains the same layers as our run does."""
    import peft
    import transformers as hf

    own = config.tuned["text"]
    model = hf.AutoModelForSequenceClassification.from_pretrained(own.backbone, num_labels=classes, dtype=torch.float32)
    name = "roberta.encoder.layer"
    layers = {f"{name}.{i}": layer for i, layer in enumerate(model.get_submodule(name)) if i >= own.freeze_layers}
    if own.recompute:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if own.mode == "lora":
        lora = peft.LoraConfig(
            task_type="SEQ_CLS", r=own.lora.rank, lora_alpha=own.lora.scale_alpha, lora_dropout=own.lora.dropout,
            target_modules=target_modules(model, layers, own.lora),
        )  # fmt: skip
        return peft.get_peft_model(model, lora)
    model.roberta.requires_grad_(False)
    for layer in layers.values():
        layer.requires_grad_(True)
    return model


def train(
    model: Any,
    config: TrialConfig,
    token_ids: Sequence[Sequence[int]],
    labels: Sequence[int],
    *,
    device: str,
    scratch: Path,
    on_begin: Callable[[], None],
    on_step: Callable[[], None],
) -> None:
    """Train one pass over the rows, in their order."""
    import transformers as hf

    class InOrder(hf.Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return SequentialSampler(self.train_dataset)

    class Told(hf.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            on_begin()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            on_step()

    own, size = config.tuned["text"], config.optim.batch_size
    at_once = config.optim.micro_batch or size
    arguments = hf.TrainingArguments(
        output_dir=str(scratch), max_steps=len(labels) // size, per_device_train_batch_size=at_once,
        gradient_accumulation_steps=size // at_once, bf16=own.dtype == "bfloat16", use_cpu=device == "cpu",
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = InOrder(
        model,
        arguments,
        train_dataset=[{"input_ids": ids, "labels": label} for ids, label in zip(token_ids, labels, strict=True)],
        data_collator=hf.DataCollatorWithPadding(hf.AutoTokenizer.from_pretrained(own.backbone)),
        callbacks=[Told()],
    )
    trainer.remove_callback(hf.trainer_callback.PrinterCallback)
    trainer.train()
