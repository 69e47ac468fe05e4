"""What the page of `mer.demo` shows of an answer: of classes, numbers, several labels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mer.predictor.demo_answers import nothing, shown, turn_cells, turn_columns, what, widget, words_on
from mer.predictor.prediction import as_predictions

NAMES = {"class": ("joy", "calm"), "regression": ("valence", "arousal"), "multilabel": ("joy", "fear")}


def export(kind: str, **more: Any) -> Any:
    told = {"kind": kind, "task": "emotion", "class_names": NAMES[kind], "thresholds": None}
    return SimpleNamespace(**(told | more))


def answer(one: Any) -> Any:
    outputs = np.array([[1.23456789, -2.0]], dtype=np.float32)
    return as_predictions(outputs, one.class_names, kind=one.kind, thresholds=one.thresholds)[0]


def test_classes_are_bars() -> None:
    one = export("class")
    assert shown(one, answer(one)) == pytest.approx({"joy": 0.96206, "calm": 0.03794}, abs=1e-4)
    assert turn_columns(one) == (["emotion", "%"], ["str", "number"])
    assert turn_cells(one, answer(one)) == ["joy", 96.2] and nothing(one) == {} and what(one) == "emotion"


def test_numbers_are_a_table() -> None:
    one = export("regression")
    assert shown(one, answer(one)) == [["valence", 1.2346], ["arousal", -2.0]] and nothing(one) == []
    assert turn_columns(one)[0] == ["valence", "arousal"] and turn_cells(one, answer(one)) == [1.2346, -2.0]


def test_labels_are_a_table_with_their_thresholds() -> None:
    one = export("multilabel", thresholds={"joy": 0.5, "fear": 0.1})
    assert shown(one, answer(one)) == [["joy", 77.5, 50.0, "yes"], ["fear", 11.9, 10.0, "yes"]]
    assert turn_cells(one, answer(one)) == ["joy; fear"]
    strict = export("multilabel", thresholds={"joy": 0.8, "fear": 0.8})
    assert [row[3] for row in shown(strict, answer(strict))] == ["", ""]
    assert turn_cells(strict, answer(strict)) == ["(none)"]


def test_a_widget_of_each_kind_is_drawn() -> None:
    made: dict[str, dict[str, Any]] = {}
    gradio = SimpleNamespace(
        Label=lambda **said: made.setdefault("Label", said), Dataframe=lambda **said: made.setdefault("table", said)
    )
    for kind in ("class", "multilabel"):
        widget(gradio, export(kind))
    assert made["Label"]["num_top_classes"] == 2 and made["table"]["headers"][0] == "label"
    assert len(made["table"]["headers"]) == len(made["table"]["datatype"])


def test_words_on_an_answer() -> None:
    one = as_predictions(np.zeros((1, 2)), ("a", "b"), [True], ["is silent"])[0]
    assert words_on(one) == "An answer from nothing: is silent. It was longer than the model reads."
    assert words_on(answer(export("class"))) == ""


@pytest.mark.slow
def test_the_page_is_drawn_for_numbers() -> None:
    pytest.importorskip("gradio")
    from mer.predictor.demo_page import build

    one = export("regression", reads_context=False, title="a model")
    page = build(SimpleNamespace(export=one, modalities=("audio",)))  # type: ignore[arg-type]
    tables = [block for block in page.blocks.values() if type(block).__name__ == "Dataframe"]
    assert any(list(block.headers) == ["number", "value"] for block in tables)
