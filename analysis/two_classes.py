"""Draw how two classes are told apart at every threshold: ROC and precision-recall curves of the best trial, on dev."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.pages import Section, note, paragraph
from analysis.plots import Axis, Plot
from analysis.sections import Part
from analysis.stores import Study
from analysis.tables import Table

TITLE = "Two classes at every threshold"


def two_classes(study: Study) -> Part | None:
    """Build the section; None for a study of more classes, or whose best trial has left no predictions."""
    predictions = study.predictions(study.best) if study.best else None
    if study.best is None or predictions is None or len(predictions.class_names) != 2:
        return None
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    true = [pair[0] for pair in predictions.pairs]
    counts = {name: true.count(name) for name in predictions.class_names}
    rare, other = sorted(predictions.class_names, key=lambda name: counts[name])  # on a tie the first is positive
    if not counts[rare]:
        return Section("curves2", TITLE, paragraph(f"No utterance of dev is {rare!r}: there is no curve.")), []
    column = predictions.class_names.index(rare)
    is_rare = [name == rare for name in true]
    margins = [scores[column] - scores[1 - column] for scores in predictions.scores]
    auc, precision = roc_auc_score(is_rare, margins), average_precision_score(is_rare, margins)
    false_rates, true_rates, _ = roc_curve(is_rare, margins)
    precisions, recalls, _ = precision_recall_curve(is_rare, margins, drop_intermediate=True)
    score = next(one for one in predictions.per_class() if one.name == rare)
    wrongly = score.predicted - round(score.recall * score.support)
    share = counts[rare] / len(true)
    answers = (wrongly / max(1, counts[other]), score.recall)
    roc = _curve("ROC", f"share of {other!r} taken for {rare!r}", "recall", false_rates, true_rates)
    roc.line([(0.0, 0.0), (1.0, 1.0)], "s5")
    roc.point(*answers, "best", f"the answers as they are: recall {100 * answers[1]:.1f}", radius=5.5)
    trade = _curve("precision and recall", f"recall of {rare!r}", "precision", recalls, precisions)
    trade.line([(0.0, share), (1.0, share)], "s5")
    trade.point(score.recall, score.precision, "best", f"precision {100 * score.precision:.1f}", radius=5.5)
    measures = {"positive class": rare, "ROC AUC": float(auc), "average precision": float(precision), "share": share}
    html = paragraph(
        f"Trial {study.best.number} on dev. {rare!r}, the rarer class, is the positive one. ROC AUC {100 * auc:.2f} "
        f"(chance 50), average precision {100 * precision:.2f} (chance {100 * share:.2f}, its share of dev)."
    )
    html += f'<div class="plots">{roc.svg()}{trade.svg()}</div>'
    html += note(
        "Mark: the answers as they are, the more probable class. Other line: chance. mer.export --threshold moves the "
        "answers along the curve, by dev alone."
    )
    return Section("curves2", TITLE, html), [Table("two_classes", ["measure", "value"], list(measures.items()))]


def _curve(title: str, x: str, y: str, xs: Sequence[float], ys: Sequence[float]) -> Plot:
    """Draw a curve between shares, both in percent."""
    axis = {"low": -0.02, "high": 1.02, "percent": True}
    plot = Plot(Axis(label=x, **axis), Axis(label=y, **axis), title, width=440, height=360)  # type: ignore[arg-type]
    plot.line([(float(one), float(two)) for one, two in zip(xs, ys, strict=True)], "s1")
    return plot
