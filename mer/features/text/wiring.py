"""Text backbones in parts: see `mer.features.backbone.wiring`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mer.config import TextEncoderConfig
from mer.errors import MerError
from mer.features.backbone.loading import refusing
from mer.features.backbone.wiring import LayersBetween, Wiring, no_weights
from mer.features.text.pretrained import load_text_model, without_pooler


class TextWiring(Wiring):
    """Any family with one list of layers above its embeddings."""

    encoder: TextEncoderConfig
    above = ("final_norm", "norm")

    @cached_property
    def config(self) -> Any:
        from transformers import AutoConfig

        with refusing(self.found, allowed="a text encoder that transformers knows", offline="minilm"):
            return AutoConfig.from_pretrained(self.found.folder, local_files_only=True, trust_remote_code=False)

    @property
    def depth(self) -> int:  # type: ignore[override]
        return int(self.config.num_hidden_layers)

    @property
    def width(self) -> int:  # type: ignore[override]
        return int(self.config.hidden_size)

    def skeleton(self) -> nn.Module:
        from transformers import AutoModel

        with refusing(self.found, allowed="a text encoder that transformers knows", offline="minilm"), no_weights():
            model: nn.Module = AutoModel.from_config(self.config, **without_pooler(self.config))
        return model

    def load(self) -> nn.Module:
        model: nn.Module = load_text_model(self.found, torch.float32)
        return model

    def layers_name(self, model: nn.Module) -> str:
        lists = [n for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == self.depth]
        if len(lists) != 1:
            raise self._unfit(f"{len(lists)} lists of {self.depth} layers in it")
        return lists[0]

    def enter(self, model: nn.Module, layers: LayersBetween, start: int) -> None:
        if not isinstance(getattr(model, "embeddings", None), nn.Module) or hasattr(model, "embeddings_project"):
            raise self._unfit("where its embeddings end is not known")
        super().enter(model, layers, start)

    def run(self, model: Any, given: Tensor, real_BT: Tensor, start: int | None) -> Tensor:
        named = {"input_ids" if start is None else "inputs_embeds": given}
        state: Tensor = model(**named, attention_mask=real_BT).last_hidden_state
        return state

    def _unfit(self, why: str) -> MerError:
        return MerError(
            self.found.folder,
            f"model type {self.config.model_type!r} cannot be tuned: {why}",
            allowed="families with one list of layers above their embeddings, e.g. BERT, RoBERTa, DeBERTa, ModernBERT",
            then=f"set encoders.{self.encoder.modality}.mode: frozen, or choose another backbone",
        )
