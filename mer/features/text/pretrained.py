"""A loaded text backbone: token ids in, pooled hidden states of every layer out.

Shapes: B inputs, T tokens, L transformer layers (L+1 hidden states), D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mer.config import TextEncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, read_config
from mer.features.backbone.loading import quiet, refusing, require_whole
from mer.features.cache.key import Dtype
from mer.features.text.turn_tokenizer import Pooler, TokenInput, TurnTokenizer
from mer.read_files import shown

# These families count positions from the padding id on; the rows before it in their position table are never used.
OFFSET_POSITIONS = {
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "longformer",
}
NO_LIMIT = 1_000_000  # tokens; tokenizers without a limit give 1e30


class Encoder:
    """A frozen backbone and its tokenizer, on the GPU if there is one.

    Args:
        found: the folder of the backbone.
        dtype: arithmetic of the backbone; pooling is always float32.
    Raises: MerError when the folder cannot be loaded whole, or needs code of its own.
    """

    def __init__(self, found: BackboneFolder, dtype: Dtype) -> None:
        self.name, self.found = found.name, found
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = load_tokenizer(found)
        self.model = load_text_model(found, getattr(torch, dtype)).eval().requires_grad_(False).to(self.device)
        self.limit = token_limit(found, self.tokenizer)
        self.vocabulary = int(self.model.get_input_embeddings().num_embeddings)
        self.pad = self.tokenizer.pad_token_id or 0  # padding is masked out, so any valid id does

    def turn_tokenizer(self, *, max_tokens: int, prompt: bool, pooler: Pooler) -> TurnTokenizer:
        limit = min(max_tokens, self.limit)
        with refusing(self.found, allowed=_ALLOWED, offline="minilm"):
            return TurnTokenizer(self.tokenizer, limit=limit, prompt=prompt, pooler=pooler, name=self.name)

    def check(self, inputs: Sequence[TokenInput]) -> None:
        """Raises: MerError when the tokenizer gives ids that the embedding table does not have."""
        check_ids(inputs, self.vocabulary, self.name)

    @torch.inference_mode()
    def encode(self, batch: Sequence[TokenInput]) -> np.ndarray:
        """Average each input's span in every hidden state.

        Returns: float32 (B, L+1, D); index 0 is the embedding layer, the last is the model's last hidden state.
        """
        weights_B1T = torch.zeros(len(batch), 1, max(len(item.ids) for item in batch))
        for row, item in enumerate(batch):
            weights_B1T[row, 0, item.start : item.end] = 1.0 / (item.end - item.start)
        weights_B1T = weights_B1T.to(self.device)
        pooled = torch.cat([weights_B1T @ state_BTD.float() for state_BTD in self._states(batch)], dim=1)
        return pooled.cpu().numpy()

    @torch.inference_mode()
    def spans(self, batch: Sequence[TokenInput], hidden_state: int) -> list[np.ndarray]:
        """Return one hidden state of the tokens of each input's span, float32 (end - start, D)."""
        state_BTD = self._states(batch)[hidden_state].float().cpu().numpy()
        return [state_TD[item.start : item.end] for state_TD, item in zip(state_BTD, batch, strict=True)]

    def _states(self, batch: Sequence[TokenInput]) -> tuple[torch.Tensor, ...]:
        """Run the model: its hidden states (B, T, D), from the embeddings to its own output."""
        longest = max(len(item.ids) for item in batch)
        ids_BT = torch.full((len(batch), longest), self.pad, dtype=torch.long)
        real_BT = torch.zeros(len(batch), longest, dtype=torch.long)
        for row, item in enumerate(batch):
            ids_BT[row, : len(item.ids)] = torch.tensor(item.ids)
            real_BT[row, : len(item.ids)] = 1
        out = self.model(
            input_ids=ids_BT.to(self.device), attention_mask=real_BT.to(self.device), output_hidden_states=True
        )
        # Some families apply a norm after the last of hidden_states: 'last' means the model's own output.
        return (*out.hidden_states[:-1], out.last_hidden_state)


def check_ids(inputs: Sequence[TokenInput], vocabulary: int, name: str) -> None:
    """Raises: MerError when the tokenizer gives ids that the embedding table does not have."""
    highest = max((max(item.ids) for item in inputs), default=0)
    if highest >= vocabulary:
        raise MerError(
            f"backbone {name!r}",
            f"its tokenizer gives token {highest}, its embedding table has {vocabulary} rows",
            then="the folder mixes two models: fetch tokenizer and weights of the same one",
        )


def token_limit(found: BackboneFolder, tokenizer: Any) -> int:
    """The number of tokens that the backbone can read at once."""
    config = read_config(found)
    positions = config.get("max_position_embeddings") or getattr(_auto_config(found), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        positions = NO_LIMIT
    elif config.get("model_type") in OFFSET_POSITIONS:
        positions -= int(_auto_config(found).pad_token_id or 0) + 1
    longest = tokenizer.model_max_length
    if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 1:
        where = found.folder / "tokenizer_config.json"
        raise MerError(where, f"model_max_length is {shown(longest)}", allowed="a number of tokens, at least 1")
    return int(min(positions, longest))


def _auto_config(found: BackboneFolder) -> Any:
    from transformers import AutoConfig

    with refusing(found, allowed=_ALLOWED, offline="minilm"):
        return AutoConfig.from_pretrained(found.folder, **_LOCAL)


def turn_tokenizer(found: BackboneFolder, config: TextEncoderConfig) -> TurnTokenizer:
    """Load the tokenizer of a backbone as a configuration uses it; loads no weights. Raises: MerError."""
    tokenizer = load_tokenizer(found)
    limit = min(config.context.max_tokens, token_limit(found, tokenizer))
    with refusing(found, allowed=_ALLOWED, offline="minilm"):
        return TurnTokenizer(tokenizer, limit=limit, prompt=config.prompt, pooler=config.pooler, name=found.name)


_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_ALLOWED = "a text encoder that transformers knows, with safetensors weights and without code of its own"


def load_tokenizer(found: BackboneFolder) -> Any:
    """Load the tokenizer. Raises: MerError when the folder holds none that can be loaded."""
    from transformers import AutoTokenizer

    with quiet(), refusing(found, allowed=_ALLOWED, offline="minilm"):
        return AutoTokenizer.from_pretrained(found.folder, **_LOCAL)


def load_text_model(found: BackboneFolder, dtype: torch.dtype) -> Any:
    """Load the whole encoder without its pooler. Raises: MerError when it cannot be loaded, or weights are missing."""
    from transformers import AutoConfig, AutoModel

    with quiet(), refusing(found, allowed=_ALLOWED, offline="minilm"):
        config = AutoConfig.from_pretrained(found.folder, **_LOCAL)
        options = {"config": config, "dtype": dtype, **without_pooler(config), **_LOCAL}
        model, report = AutoModel.from_pretrained(
            found.folder, use_safetensors=True, output_loading_info=True, **options
        )
    require_whole(found, model, (name for name in report["missing_keys"] if not _in_a_pooler(name)))
    return model


def _in_a_pooler(name: str) -> bool:
    return name.split(".")[0].endswith("pooler")


def without_pooler(config: Any) -> dict[str, bool]:
    """The options that leave BERT's pooler out: it is never read, and random where the checkpoint has none."""
    import inspect

    from transformers import AutoModel

    model_class = AutoModel._model_mapping.get(type(config), None)
    if isinstance(model_class, (tuple, list)):
        model_class = model_class[0]
    has_one = model_class is not None and "add_pooling_layer" in inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if has_one else {}
