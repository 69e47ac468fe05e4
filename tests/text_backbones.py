"""Tiny backbones with random weights and real tokenizers, saved to folders, and a small corpus in MELD's shape."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mer.config import DataConfig

LINES = [
    "Oh my God!", "You are kidding me, right?", "I know.", "No, I was not there when it happened.", "Hi!",
    "What do you mean, you lost the keys? They were on the table!", "I know.", "Okay.", "So, how was the interview?",
    "It was fine, but the boss never looked at me once, not even when I spilled the coffee all over the carpet.",
    "Great!", "We have to tell Monica.", "Why?", "Because she is going to find out anyway.", "Hi!", "Fine, fine.",
]  # fmt: skip
EMOTIONS = ["surprise", "anger", "neutral", "sadness", "joy", "fear", "disgust"]
SENTIMENT = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}
COLUMNS = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip
WORDS = [
    "Ross",
    "Monica",
    "Joey",
    "Now",
    "feels",
    "says",
    *EMOTIONS,
    "positive",
    "negative",
    *"abcdefghijklmnopqrstuvwxyz",
]


def write_split(root: Path, split: str, lines: list[str], *, per_dialogue: int = 5) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{split}_sent_emo.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for i, line in enumerate(lines):
            emotion, speaker = EMOTIONS[i % 7], ["Ross", "Monica", "Joey"][i % 3]
            time = f"00:{i // 60:02d}:{i % 60:02d},000"
            row = [i + 1, line, speaker, emotion, SENTIMENT.get(emotion, "negative")]
            writer.writerow([*row, i // per_dialogue, i % per_dialogue, 1, 1, time, time])


@pytest.fixture(scope="session")
def meld_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("meld")
    write_split(root, "train", LINES * 2)
    write_split(root, "dev", LINES)
    return root


@pytest.fixture
def data(meld_root: Path) -> DataConfig:
    return DataConfig(dataset="meld", root=str(meld_root))


def _tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    corpus = [*LINES, " ".join(WORDS), "Now Ross feels"] * 3
    if kind == "wordpiece":
        marks = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=list(marks.values()), show_progress=False
        )
    else:
        marks = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
        specials = list(marks.values())
        if kind == "bpe":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            trainer = trainers.BpeTrainer(
                vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
            )
        else:
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=300, special_tokens=specials, unk_token="<unk>", show_progress=False
            )
    tokenizer.train_from_iterator(corpus, trainer)
    pair = [(marks[name], tokenizer.token_to_id(marks[name])) for name in ("cls", "sep")]
    single = f"{marks['cls']} $A {marks['sep']}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=pair)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, **{f"{name}_token": token for name, token in marks.items()}
    )


def _decoder_tokenizer(kind: str) -> Any:
    """As decoders have one: no token for padding, mask or classes, padding on the left; GPT-2's adds none at all."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    marks = ["<s>", "<unk>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=marks, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*LINES, " ".join(WORDS)] * 3, trainer)
    if kind == "begin added":
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=128, padding_side="left", bos_token="<s>", eos_token="</s>"
    )


def _model(family: str, vocabulary: int, pad: int, layers: int) -> Any:
    import transformers as hf

    same: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 130, "pad_token_id": pad,
    }  # fmt: skip
    if family == "roberta":
        return hf.RobertaModel(hf.RobertaConfig(**same, bos_token_id=0, eos_token_id=2))
    if family == "bert":
        return hf.BertModel(hf.BertConfig(**same))
    if family == "mpnet":
        return hf.MPNetModel(hf.MPNetConfig(**same))
    if family == "deberta":
        return hf.DebertaV2Model(hf.DebertaV2Config(**same, relative_attention=True, pos_att_type=["p2c", "c2p"]))
    if family == "gpt2":
        sizes = {"n_embd": 32, "n_layer": layers, "n_head": 2, "n_positions": 130}
        return hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=vocabulary, **sizes, bos_token_id=0, eos_token_id=2))
    if family == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(**same, tie_word_embeddings=True, bos_token_id=0, eos_token_id=2))
    config = hf.ModernBertConfig(**same, bos_token_id=0, eos_token_id=2, cls_token_id=0, sep_token_id=2)
    return hf.ModernBertModel(config)


TOKENIZER_OF = {"roberta": "bpe", "bert": "wordpiece", "mpnet": "wordpiece", "deberta": "unigram", "modernbert": "bpe"}
TOKENIZER_OF |= {"gpt2": "nothing added", "llama": "begin added"}  # language models that read from left to right


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function: family, number of layers -> folder of a tiny backbone, saved once per session."""
    made: dict[tuple[str, int], Path] = {}

    def get(family: str, layers: int = 2) -> Path:
        if (family, layers) not in made:
            import torch

            torch.manual_seed(7)
            folder = tmp_path_factory.mktemp("backbones") / family
            kind = TOKENIZER_OF[family]
            tokenizer = _decoder_tokenizer(kind) if kind.endswith("added") else _tokenizer(kind)
            tokenizer.save_pretrained(folder)
            model = _model(family, len(tokenizer), tokenizer.pad_token_id, layers).eval()
            for parameter in model.parameters():  # the usual initialisation is so small that every token looks alike
                torch.nn.init.normal_(parameter, std=0.3)
            model.save_pretrained(folder)
            made[family, layers] = folder
        return made[family, layers]

    return get
