"""Show dev utterance by utterance: a map of the best trial's class scores, and the hardest dialogues."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.findings.utterances import flat_map, hardest_dialogues
from analysis.page.document import Section
from analysis.page.html import folded, note, paragraph
from analysis.page.palette import SERIES
from analysis.page.tables import Table
from analysis.page.words import counted, show
from analysis.plots.axis import Axis, span
from analysis.plots.picture import cut, figure, swatches
from analysis.plots.plot import Plot
from analysis.stores.predictions import Predictions
from analysis.stores.study import Study
from analysis.stores.texts import Turn

_MOST = 1500  # marks
_OTHERS = 4  # trials beside the best
_TEXT = 160  # characters of an utterance in a tooltip


def utterance_map(study: Study, texts: Mapping[str, Turn]) -> Section | None:
    """Lay the utterances out by their class scores; None without predictions or with more classes than colours."""
    predictions = study.predictions(study.best) if study.best else None
    if study.best is None or predictions is None or not 2 < len(predictions.class_names) <= SERIES:
        return None
    html = paragraph(
        f"Each mark is an utterance of dev, by what trial {study.best.number} says of it: near each other means scored "
        "alike. Colour: the true class. Hollow: taken for another class."
    )
    items = [(f"b{index + 1} s{index + 1}", name) for index, name in enumerate(predictions.class_names)]
    html += swatches(items)
    html += figure(_map(predictions, texts, 760, 480), "on-wide")
    html += figure(_map(predictions, texts, 390, 380), "on-narrow")
    step = -(-len(predictions.ids) // _MOST)
    html += note(
        "The two main directions of the log-probabilities (PCA)."
        + (f" Every {step}. utterance is drawn." if step > 1 else "")
    )
    return Section("map", "Map of dev utterances", html)


def _map(predictions: Predictions, texts: Mapping[str, Turn], width: int, height: int) -> str:
    flat = flat_map(predictions)
    axes = [span(flat[:, side].tolist(), label="", percent=False) for side in (0, 1)]
    bare = [Axis(axis.low, axis.high, silent=True) for axis in axes]
    plot = Plot(bare[0], bare[1], "utterances of dev", width=width, height=height)
    names, sure = predictions.class_names, predictions.probabilities_NC.max(axis=1)
    step = -(-len(predictions.ids) // _MOST)
    for index in range(0, len(predictions.ids), step):
        true, guess = predictions.true_N[index], predictions.predicted_N[index]
        said = (
            f"right, {100 * sure[index]:.0f} % sure"
            if true == guess
            else f"taken for {names[guess]}, {100 * sure[index]:.0f} % sure"
        )
        hint = f"{predictions.ids[index]}\n{names[true]}: {said}"
        if turn := texts.get(predictions.ids[index]):
            hint += f"\n{cut(turn.text, _TEXT)}"
        css = f"dot s{true + 1}" + ("" if true == guess else " wrong")
        plot.point(float(flat[index, 0]), float(flat[index, 1]), css, hint, radius=3.4)
    return plot.svg()


def hardest(study: Study, texts: Mapping[str, Turn]) -> Section | None:
    """List the dialogues with the largest share of mistakes."""
    predictions = study.predictions(study.best) if study.best else None
    if study.best is None or predictions is None or len(set(predictions.dialogues)) < 5:
        return None
    others = [found for trial in study.finished[1 : 1 + _OTHERS] if (found := study.predictions(trial)) is not None]
    hard = hardest_dialogues(predictions, others)
    rows = [[one.dialogue, one.share_wrong, one.share_wrong, one.wrong, one.utterances, one.mistakes] for one in hard]
    header = ["dialogue", "wrong", " ", "mistakes of the best", "utterances", "true class as predicted class"]
    table = Table("hardest_dialogues", header, rows, {"wrong": lambda v: show("fraction", v)}, lanes={" ": 1.0})
    trials = counted(1 + len(others), "trial")
    html = paragraph(
        f"Share of wrong answers over the best {trials}, in percent; what trial {study.best.number} mistook."
    )
    file = Table("hardest_dialogues", [*header[:2], *header[3:]], [[*row[:2], *row[3:]] for row in rows])
    html += table.html()
    if texts:
        html += "".join(_dialogue(predictions, one.dialogue, texts) for one in hard)
    return Section("hardest", "Hardest dialogues", html, [file])


def _dialogue(predictions: Predictions, dialogue: str, texts: Mapping[str, Turn]) -> str:
    """Write what was said in a dialogue, turn by turn; turns that were mistaken stand out."""
    names = predictions.class_names
    rows: list[list[str | None]] = []
    marks: list[str] = []
    for index, (name, own) in enumerate(zip(predictions.ids, predictions.dialogues, strict=True)):
        if own == dialogue and (turn := texts.get(name)):
            true, guess = names[predictions.true_N[index]], names[predictions.predicted_N[index]]
            rows.append([turn.speaker or None, turn.text, true, guess if guess != true else None])
            marks.append("failed" if guess != true else "")
    return folded(dialogue, Table("dialogue", ["speaker", "said", "true", "taken for"], rows, marks=marks).html())
