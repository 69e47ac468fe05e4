"""Predictions as lines for people, as JSON lines or as CSV, and what should be said about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mer.data.text import normalise
from mer.data.types import Utterance
from mer.predictor.prediction import Prediction
from mer.terminal import spreadsheet

_SHOWN_CHARACTERS = 80
_SHOWN_NUMBERS = 5
Pairs = Sequence[tuple[Utterance, Prediction]]


def plain_lines(pairs: Pairs) -> Iterator[str]:
    """Yield one line per utterance: label, probability, text, the other classes, and why the answer is from nothing.

    Of numbers: these and the text; of several labels: those that are given, the text, and how probable each is.
    """
    if not pairs[0][1].is_class:
        yield from _lines_of_targets(pairs)
        return
    width = max(len(prediction.label) for _, prediction in pairs)
    for utterance, prediction in pairs:
        text = _short(utterance.text)
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        others = ", ".join(f"{name} {100 * value:.1f}" for name, value in ranked if name != prediction.label)
        chance = 100 * prediction.probabilities[prediction.label]
        yield f"{prediction.label:{width}}  {chance:5.1f} %  {text}  ({others}){_mark(prediction)}\n"


def _lines_of_targets(pairs: Pairs) -> Iterator[str]:
    for utterance, prediction in pairs:
        text = _short(utterance.text)
        if prediction.numbers:
            said = "  ".join(f"{name} {value:8.3f}" for name, value in prediction.numbers.items())
            yield f"{said}  {text}{_mark(prediction)}\n"
            continue
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        chances = ", ".join(f"{name} {100 * value:.1f} %" for name, value in ranked)
        yield f"{prediction.label or '(none)'}  {text}  ({chances}){_mark(prediction)}\n"


def _short(text: str) -> str:
    """Cut the middle out of a long text: of a path the end is the name."""
    text, kept = normalise(text), (_SHOWN_CHARACTERS - 3) // 2
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:kept]}...{text[-kept:]}"


def _mark(prediction: Prediction) -> str:
    return f"  [from nothing: {prediction.fault}]" if prediction.fault else ""


def json_lines(pairs: Pairs, *, with_place: bool) -> Iterator[str]:
    """Yield one JSON object per utterance. Args: with_place: name its dialogue, number and speaker."""
    for utterance, prediction in pairs:
        place: dict[str, Any] = {}
        if with_place:
            place = {"dialogue": utterance.dialogue, "utterance": utterance.number, "speaker": utterance.speaker}
        said = {
            **_answer(prediction),
            "truncated": prediction.truncated,
            "fault": prediction.fault,
        }
        yield json.dumps({**place, "text": utterance.text, **said}, ensure_ascii=False) + "\n"


def _answer(prediction: Prediction) -> dict[str, Any]:
    """Return what is predicted, for JSON: a label, numbers, or labels."""
    if prediction.numbers:
        return {"numbers": prediction.numbers}
    if prediction.is_class:
        return {"label": prediction.label, "probabilities": prediction.probabilities}
    return {"labels": list(prediction.labels), "probabilities": prediction.probabilities}


def csv_text(pairs: Pairs, class_names: Sequence[str]) -> str:
    """Return a CSV file in MELD's columns, with the prediction, one column per class, and the marks of a row.

    Of numbers `predicted` is empty, and each column is a number; of several labels it has all that are given.
    """
    columns = ["Dialogue_ID", "Utterance_ID", "Speaker", "Utterance", "predicted", *class_names, "truncated", "fault"]
    rows: list[Sequence[object]] = [columns]
    for utterance, prediction in pairs:
        name = utterance.dialogue.removeprefix("dia") if utterance.dialogue.startswith("dia") else utterance.dialogue
        chances = [repr((prediction.numbers or prediction.probabilities)[label]) for label in class_names]
        row = [name, utterance.number, utterance.speaker, utterance.text, prediction.label, *chances]
        rows.append([*row, str(prediction.truncated).lower(), prediction.fault])
    return spreadsheet.csv_text(rows)


def notes(pairs: Pairs, max_tokens: int | None) -> list[str]:
    """Say which answers are from nothing, by reason, and which utterances were cut.

    Args: max_tokens: most tokens that the model reads of a text; None: it reads none, or another export reads it.
    """
    lines = []
    for fault in dict.fromkeys(prediction.fault for _, prediction in pairs if prediction.fault):
        rows = [number for number, (_, prediction) in enumerate(pairs, start=1) if prediction.fault == fault]
        lines.append(f"note: {_count(rows)} answered from nothing: {fault} ({_first(rows)})")
    cut = [number for number, (_, prediction) in enumerate(pairs, start=1) if prediction.truncated]
    if cut and max_tokens:
        lines.append(
            f"note: {_count(cut)} longer than the model reads (at most {max_tokens} tokens): its end was read, "
            f"its beginning left out ({_first(cut)})"
        )
    return lines


def _count(numbers: Sequence[int]) -> str:
    return "1 utterance is" if len(numbers) == 1 else f"{len(numbers)} utterances are"


def _first(numbers: Sequence[int]) -> str:
    return (
        "utterance " + ", ".join(map(str, numbers[:_SHOWN_NUMBERS])) + (" ..." if len(numbers) > _SHOWN_NUMBERS else "")
    )
