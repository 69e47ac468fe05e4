"""Show how the best trial tells the classes apart on dev: confusion, per class, calibration."""

from __future__ import annotations

from analysis.findings.utterances import calibration
from analysis.page.document import Section
from analysis.page.html import note, paragraph, say
from analysis.page.tables import Table
from analysis.page.words import counted, show
from analysis.plots.axis import Axis
from analysis.plots.matrix import matrix
from analysis.plots.picture import USUAL, figure
from analysis.plots.plot import Plot
from analysis.stores.predictions import ClassScore, Predictions
from analysis.stores.study import Study


def percent(value: float) -> str:
    return show("fraction", value)


def per_class_table(scores: list[ClassScore], name: str = "per_class") -> tuple[Table, Table]:
    """Build the table of precision, recall and F1 by class: for the page with a bar of F1, and for the file."""
    header = ["class", "precision", "recall", "F1", "support", "predicted"]
    rows = [[s.name, s.precision, s.recall, s.f1, s.support, s.predicted] for s in scores]
    formats = dict.fromkeys(header[1:4], percent)
    barred = [[*row[:4], row[3], *row[4:]] for row in rows]
    page = Table(name, [*header[:4], " ", *header[4:]], barred, formats, lanes={" ": 1.0})
    return page, Table(name, header, rows, formats)


def classes(study: Study) -> Section:
    title = "Classes"
    if study.best is None:
        return Section("classes", title, paragraph("No trial has finished."))
    predictions = study.predictions(study.best)
    if predictions is None:
        return Section(
            "classes", title, paragraph("The best trial's dev predictions cannot be read, or were not kept.")
        )
    counts, names, scores = predictions.confusion(), predictions.class_names, predictions.per_class()
    shown, table = per_class_table(scores)
    confusion = Table(
        "confusion", ["true \\ predicted", *names], [[n, *c] for n, c in zip(names, counts.tolist(), strict=True)]
    )
    html = paragraph(
        f"Trial {study.best.number} on dev, {counted(len(predictions.ids), 'utterance')}. Percent and depth of colour: "
        "share of the true class, so the diagonal is recall."
    )
    if never := [score.name for score in scores if not score.predicted]:
        html += say(f"Never predicted: {', '.join(never)}.", "warn")
    picture = matrix(counts.tolist(), names, "Confusion on dev")
    html += f'<div class="side">{picture}<div><h3>F1 by class, in percent</h3>{shown.html()}</div></div>'
    return Section("classes", title, html, [table, confusion])


def calibrated(study: Study) -> Section | None:
    """Draw how often the best trial is right against how sure it is."""
    predictions = study.predictions(study.best) if study.best else None
    if study.best is None or predictions is None:
        return None
    bins, error = calibration(predictions)
    html = paragraph(
        f"Trial {study.best.number} on dev. On the dashed line it would be right as often as it is sure. Expected "
        f"calibration error: {100 * error:.2f} %."
    )
    table = Table(
        "calibration", ["confidence", "accuracy", "utterances"], [[b.confidence, b.accuracy, b.count] for b in bins]
    )
    return Section(
        "calibration", "Calibration", html + figure(reliability(predictions)) + note(_lean(predictions)), [table]
    )


def reliability(predictions: Predictions, cooled: Predictions | None = None) -> str:
    """Draw accuracy over confidence, a mark per bin, as large as it holds utterances.

    Args: cooled: the same at a temperature, drawn beside it.
    """
    axis = {"low": 0.0, "high": 1.0, "percent": True}
    plot = Plot(Axis(label="how sure, %", **axis), Axis(label="right, %", **axis), "calibration", USUAL, 330)  # type: ignore[arg-type]
    plot.line([(0.0, 0.0), (1.0, 1.0)], "s8 dash")
    for shown, css in ((predictions, "s1"), (cooled, "s3")):
        if shown is None:
            continue
        bins, _ = calibration(shown)
        plot.line([(one.confidence, one.accuracy) for one in bins], css)
        most = max(one.count for one in bins)
        for one in bins:
            hint = f"sure to {100 * one.confidence:.1f} %\nright in {100 * one.accuracy:.1f} %"
            hint += f"\n{counted(one.count, 'utterance')}"
            plot.point(one.confidence, one.accuracy, f"dot {css}", hint, radius=3 + 6 * (one.count / most) ** 0.5)
    return plot.svg()


def _lean(predictions: Predictions) -> str:
    sure, right = float(predictions.probabilities_NC.max(axis=1).mean()), float(predictions.right_N.mean())
    which = "surer than it is right" if sure > right else "less sure than it is right"
    return f"On average it is {which}: {100 * sure:.1f} % sure, {100 * right:.1f} % right."
