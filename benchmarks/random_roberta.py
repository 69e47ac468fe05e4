"""RoBERTa with random weights and a tokenizer of its own: the right sizes, where no network gives real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mer.data import load_corpus

_REAL = {"vocab_size": 50265, "max_position_embeddings": 514}
SIZES: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 128,
        "vocab_size": 8192, "max_position_embeddings": 514,
    },
    "base": {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, **_REAL,
    },
    "large": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, **_REAL,
    },
}  # fmt: skip
_MARKS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}  # ids 0 to 4
_WORD_PIECES = 8192


def save_roberta(folder: Path, size: str, root: str) -> Path:
    """Save weights and a tokenizer to a new folder, the same each time.

    Args: root: of MELD; the tokenizer is trained on its train texts.
    """
    import transformers as hf

    tokenizer = _tokenizer([utterance.text for utterance in load_corpus("meld", root, ["train"]).utterances("train")])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    hf.RobertaModel(hf.RobertaConfig(**SIZES[size], **ids)).save_pretrained(folder)
    return folder


def _tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_WORD_PIECES,
        special_tokens=list(_MARKS.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(_MARKS[name], tokenizer.token_to_id(_MARKS[name])) for name in ("cls", "sep")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=512, **{f"{name}_token": mark for name, mark in _MARKS.items()}
    )
