"""What the page of `mer.demo` shows of an answer: bars of classes, or a table of numbers or of labels."""

from __future__ import annotations

from typing import Any

from mer.checkpoints.ensemble_folder import Ensemble
from mer.checkpoints.export_folder import Export
from mer.predictor.prediction import Prediction

_COLUMNS = {  # of the table of an answer, and their types
    "regression": (("number", "value"), ("str", "number")),
    "multilabel": (("label", "%", "given above", "given"), ("str", "number", "number", "str")),
}
_DECIMALS = 4  # of a number


def what(export: Export | Ensemble) -> str:
    """Name what is predicted: emotion, numbers, labels."""
    return {"regression": "numbers", "multilabel": "labels"}.get(export.kind, export.task)


def widget(gradio: Any, export: Export | Ensemble) -> Any:
    """Draw the place of an answer."""
    if export.kind == "class":
        return gradio.Label(label=what(export), num_top_classes=len(export.class_names))
    headers, types = _COLUMNS[export.kind]
    return gradio.Dataframe(headers=list(headers), datatype=list(types), interactive=False, label=what(export))


def nothing(export: Export | Ensemble) -> Any:
    """Return what stands there before anything is asked."""
    return {} if export.kind == "class" else []


def shown(export: Export | Ensemble, answer: Prediction) -> Any:
    """Return what stands there after: the bars, or the rows of the table."""
    if export.kind == "class":
        return answer.probabilities
    if export.kind == "regression":
        return [[name, round(value, _DECIMALS)] for name, value in answer.numbers.items()]
    return [
        [name, _percent(chance), _percent((export.thresholds or {}).get(name, 0.5)), _yes(name in answer.labels)]
        for name, chance in answer.probabilities.items()
    ]


def turn_columns(export: Export | Ensemble) -> tuple[list[str], list[str]]:
    """Name the columns that each turn of a dialogue has, and their types."""
    if export.kind == "class":
        return [what(export), "%"], ["str", "number"]
    if export.kind == "regression":
        return list(export.class_names), ["number"] * len(export.class_names)
    return [what(export)], ["str"]


def turn_cells(export: Export | Ensemble, answer: Prediction) -> list[Any]:
    """Return the cells of a turn under these columns."""
    if export.kind == "class":
        return [answer.label, _percent(answer.probabilities[answer.label])]
    if export.kind == "regression":
        return [round(answer.numbers[name], _DECIMALS) for name in export.class_names]
    return [answer.label or "(none)"]


def words_on(answer: Prediction) -> str:
    """Say what a reader of the answer should know."""
    said = [f"An answer from nothing: {answer.fault}."] if answer.fault else []
    return " ".join([*said, *(["It was longer than the model reads."] if answer.truncated else [])])


def _percent(chance: float) -> float:
    return round(100 * chance, 1)


def _yes(there: bool) -> str:
    return "yes" if there else ""
