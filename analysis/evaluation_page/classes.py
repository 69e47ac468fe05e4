"""Show how the seeds tell the classes apart: confusion over seeds, F1 per class."""

from __future__ import annotations

import numpy as np

from analysis.page.document import Section
from analysis.page.html import note, paragraph
from analysis.page.tables import Table
from analysis.page.words import counted, show
from analysis.plots.interval import Estimate, intervals_svg
from analysis.plots.matrix import matrix
from analysis.plots.picture import both
from analysis.stores.evaluation import Evaluation
from analysis.stores.files import inner
from analysis.stores.predictions import Predictions


def alike(one: Evaluation) -> list[Predictions]:
    """List the predictions of the seeds, as far as they are of the same utterances and classes."""
    found = list(one.predictions.values())
    return [other for other in found if other.ids == found[0].ids and other.class_names == found[0].class_names]


def confusion(one: Evaluation) -> Section:
    title = "Confusion over seeds"
    found = alike(one)
    if not found:
        return Section(
            "confusion", title, paragraph(f"The predictions of the seeds on {one.split} are not in the folder.")
        )
    mean, names = np.mean([other.confusion() for other in found], axis=0), found[0].class_names
    caption = f"Confusion on {one.split}, mean of {counted(len(found), 'seed')}"
    table = Table(
        "confusion", ["true \\ predicted", *names], [[n, *row] for n, row in zip(names, mean.tolist(), strict=True)]
    )
    html = paragraph("Counts and shares of the true class: the diagonal is recall.") + matrix(
        mean.tolist(), names, caption
    )
    return Section("confusion", title, html, [table])


def per_class(one: Evaluation) -> Section:
    """Draw F1 per class, every seed and the mean."""
    title, prefix = "F1 per class", f"{one.split}_f1_"
    keys = dict.fromkeys(key for row in one.told["seeds"] for key in inner(row, one.split) if key.startswith(prefix))
    rows, lines = [], []
    for key in keys:
        name, values = key.removeprefix(prefix), one.values(key.removeprefix(f"{one.split}_"))
        if not values:
            continue
        mean = float(np.mean(list(values.values())))
        dots = [(value, f"seed {seed}: {show('f1', value)}") for seed, value in values.items()]
        lines.append(Estimate(name, mean, dots, (min(values.values()), max(values.values()))))
        rows.append([name, mean, float(np.std(list(values.values()), ddof=1)) if len(values) > 1 else None])
    if not rows:
        return Section("classes", title, paragraph("The results hold no F1 per class."))
    formats = dict.fromkeys(("mean F1", "sd"), lambda value: show("f1", value))
    table = Table("per_class", ["class", "mean F1", "sd"], rows, formats)
    html = both(lambda width: intervals_svg(lines, f"F1 by class on {one.split}, in percent", width, unit="%"))
    return Section(
        "classes",
        title,
        html + note("Diamond: the mean. Dots: seeds. Band: from the lowest to the highest seed.") + table.html(),
        [table],
    )
