"""A Whisper of 0.2 million random weights, as transformers writes it, and CTranslate2's conversion of it.

Its tokens are the 256 bytes, so it can say anything. `says` steers it: the decoder's vector of each place then points
at the token to be said there, whatever is heard. CTranslate2 takes its small vocabulary for an English-only model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

WIDTH, MELS = 32, 80
SPECIAL = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>",
    "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip
TIMES = 1501  # <|0.00|> to <|30.00|>
_PAIRS = (("Ġ", "-"), ("Ġ", "'"), ("Ġ", "â"))  # faster-whisper suppresses the first token of " -", " '" and " ♪"


def save_whisper(folder: Path, says: str = "", seed: int = 0) -> Path:
    """Write the checkpoint. Args: says: what it hears in every clip; "" leaves its weights as they were drawn."""
    import torch
    import transformers as hf
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in _PAIRS)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=list(_PAIRS)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    id_of = {token: tokenizer.token_to_id(token) for token in SPECIAL}
    first_time = len(tokens) + len(SPECIAL)
    assert id_of["<|notimestamps|>"] == first_time - 1
    end = "<|endoftext|>"
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=end, bos_token=end, eos_token=end).save_pretrained(
        folder
    )
    hf.WhisperFeatureExtractor(feature_size=MELS).save_pretrained(folder)
    config = hf.WhisperConfig(
        vocab_size=first_time + TIMES, num_mel_bins=MELS, d_model=WIDTH, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=WIDTH, decoder_ffn_dim=WIDTH,
        pad_token_id=id_of[end], bos_token_id=id_of[end], eos_token_id=id_of[end],
        decoder_start_token_id=id_of["<|startoftranscript|>"], suppress_tokens=[], begin_suppress_tokens=[id_of[end]],
    )  # fmt: skip
    torch.manual_seed(seed)
    model = hf.WhisperForConditionalGeneration(config)
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = [id_of[end]]
    model.generation_config.lang_to_id = {"<|en|>": id_of["<|en|>"]}
    if says:
        said = [*tokenizer.encode(says, add_special_tokens=False).ids]
        _steer(model.model.decoder, [first_time, *said, first_time + 50, id_of[end]])
    model.save_pretrained(folder)
    return folder


def _steer(decoder: object, tokens: list[int]) -> None:
    """Let place t of the decoder point at the token that is to follow it, far above all others."""
    import torch

    with torch.no_grad():
        known, places = decoder.embed_tokens.weight, decoder.embed_positions.weight  # type: ignore[attr-defined]
        known.copy_(torch.nn.functional.normalize(torch.randn_like(known), dim=1))
        places[: len(tokens)] = 10 * known[tokens]
        places[len(tokens) :] = 10 * known[tokens[-1]]
        decoder.layer_norm.weight.fill_(6.0)  # type: ignore[attr-defined]


def convert(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Convert a checkpoint by CTranslate2's command, with the words that our message has."""
    from ctranslate2.converters.transformers import main

    words = ["--model", str(folder), "--output_dir", str(out), "--quantization", "int8"]
    words += ["--copy_files", "tokenizer.json", "preprocessor_config.json"]
    monkeypatch.setattr(sys, "argv", ["ct2-transformers-converter", *words])
    main()
    return out
