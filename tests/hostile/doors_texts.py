"""Texts that somebody types or pipes in."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from doors_export import BACKBONE, EXPORT
from hostile_door import Door, Input, file_input
from hostile_mutations import mutated_bytes

import mer
from mer.predictor.predictor import Predictor


@cache
def _model() -> Predictor:
    return mer.load(EXPORT, backbone=BACKBONE)


def read_text(path: Path) -> None:
    """As `--text` gives it: bytes that are not UTF-8 come as halves of characters."""
    (one,) = _model().predict([os.fsdecode(path.read_bytes())])
    chances = list(one.probabilities.values())
    assert all(map(math.isfinite, chances)) and abs(sum(chances) - 1) < 1e-6, f"chances {chances}"


def kinds_of_text(base: Path) -> list[Input]:
    texts: dict[str, Any] = {
        "words of 10 MB": "word " * 2_000_000,
        "one word of 10 MB": "x" * 10_000_000,
        "10 MB of Chinese": "开心" * 1_700_000,
        "10 MB of emoji": "😂" * 2_500_000,
        "10 MB of spaces": " " * 10_000_000 + "a",
        "NUL": "a\x00b",
        "escapes": "\x1b[2Ja",
        "a million accents": "a" + "\u0301" * 1_000_000,
        "joined emoji": "👩\u200d" * 100_000,
        "from right to left": "\u202eabc",
        "a mask": "<mask> [MASK] </s> [SEP]" * 1000,
        "private signs": "\ue000" * 1000,
        "no sign": "\uffff" * 1000,
        "10 MB of brackets": "[" * 10_000_000,
        "10 MB of line ends": "a\n" * 5_000_000,
        "wide": "Ｗ" * 1_000_000,
        "10 MB of special tokens": "[SEP]" * 2_000_000,
    }
    found = [file_input(kind, "text", text, "accepted") for kind, text in texts.items()]
    found += [
        file_input("half of a character", "text", "a\ud800b", "refused"),
        file_input("bytes", "text", b"\xff\xfe", "refused"),
    ]
    return [*found, file_input("nothing", "text", b"", "refused"), file_input("spaces", "text", b" \n", "refused")]


def mutants_of_text(base: Path, rng: random.Random) -> Iterator[Input]:
    signs = [
        "a",
        " ",
        "\x00",
        "\n",
        "é",
        "开",
        "😂",
        "\u200d",
        "\u0301",
        "\x1b",
        "[MASK]",
        "\u202e",
        "\U000e0001",
        "\xad",
        "ﷺ",
    ]
    while True:
        text = "".join(rng.choice(signs) for _ in range(rng.choice([1, 3, 30, 3000])))
        content = text.encode()
        if rng.random() < 0.3:
            content = mutated_bytes(content, rng)[1]
        yield file_input("signs", "text", content)


DOORS: Sequence[Door] = [Door("text", read_text, kinds_of_text, mutants_of_text)]
