"""Draw how two classes are told apart at every threshold: ROC and precision-recall curves of the best trial, on dev."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.page.document import Section
from analysis.page.html import note, paragraph, plots
from analysis.page.tables import Table
from analysis.plots.axis import Axis
from analysis.plots.picture import figure
from analysis.plots.plot import Plot
from analysis.stores.study import Study

TITLE = "Two classes at every threshold"


def two_classes(study: Study) -> Section | None:
    """Build the section; None for a study of more classes, or whose best trial has left no predictions."""
    predictions = study.predictions(study.best) if study.best else None
    if study.best is None or predictions is None or len(predictions.class_names) != 2:
        return None
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    counts = {name: int((predictions.true_N == index).sum()) for index, name in enumerate(predictions.class_names)}
    rare, other = sorted(predictions.class_names, key=lambda name: counts[name])  # on a tie the first is positive
    if not counts[rare]:
        return Section("curves2", TITLE, paragraph(f"No utterance of dev is {rare!r}: there is no curve."))
    column = predictions.class_names.index(rare)
    is_rare = predictions.true_N == column
    margins = predictions.scores_NC[:, column] - predictions.scores_NC[:, 1 - column]
    auc, precision = roc_auc_score(is_rare, margins), average_precision_score(is_rare, margins)
    false_rates, true_rates, _ = roc_curve(is_rare, margins)
    precisions, recalls, _ = precision_recall_curve(is_rare, margins, drop_intermediate=True)
    score = next(one for one in predictions.per_class() if one.name == rare)
    wrongly = score.predicted - round(score.recall * score.support)
    share = counts[rare] / len(predictions.ids)
    answers = (wrongly / max(1, counts[other]), score.recall)
    roc = _curve("ROC", f"share of {other!r} taken for {rare!r}", "recall", false_rates, true_rates)
    roc.line([(0.0, 0.0), (1.0, 1.0)], "s8 dash")
    roc.point(*answers, "best", f"the answers as they are: recall {100 * answers[1]:.1f}", radius=5.5)
    trade = _curve("precision and recall", f"recall of {rare!r}", "precision", recalls, precisions)
    trade.line([(0.0, share), (1.0, share)], "s8 dash")
    trade.point(score.recall, score.precision, "best", f"precision {100 * score.precision:.1f}", radius=5.5)
    measures = {"positive class": rare, "ROC AUC": float(auc), "average precision": float(precision), "share": share}
    html = paragraph(
        f"Trial {study.best.number} on dev. {rare!r}, the rarer class, is the positive one. ROC AUC {100 * auc:.2f} "
        f"(chance 50), average precision {100 * precision:.2f} (chance {100 * share:.2f}, its share of dev)."
    )
    html += plots(figure(roc.svg()), figure(trade.svg()))
    html += note(
        "Mark: the answers as they are, the more probable class. Other line: chance. mer.export --threshold moves the "
        "answers along the curve, by dev alone."
    )
    return Section("curves2", TITLE, html, [Table("two_classes", ["measure", "value"], list(measures.items()))])


def _curve(title: str, x: str, y: str, xs: Sequence[float], ys: Sequence[float]) -> Plot:
    """Draw a curve between shares, both in percent."""
    axis = {"low": -0.02, "high": 1.02, "percent": True}
    plot = Plot(Axis(label=x, **axis), Axis(label=y, **axis), title, width=398, height=340)  # type: ignore[arg-type]
    plot.line([(float(one), float(two)) for one, two in zip(xs, ys, strict=True)], "s1")
    return plot
