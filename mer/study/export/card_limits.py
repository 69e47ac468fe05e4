"""What the model card says of intended use, limits and bias."""

from __future__ import annotations

from mer.config import TargetKind
from mer.naming import predicted
from mer.study.export.card_facts import CardFacts

_WEAKEST = 3
_JUDGED: dict[TargetKind, str] = {"class": "label", "regression": "numbers", "multilabel": "labels"}


def intended_use(facts: CardFacts) -> str:
    """Say what the model is for, and what it must not be used for."""
    data, talk = facts.config.data, "" if facts.config.data.dataset == "ravdess" else " in conversation"
    names = predicted(data, facts.scores.class_names)
    what = f"{names} recognition" if data.task == "class" else f"the prediction of {names}"
    judged = f"which {_JUDGED[data.task]} annotators would probably give"
    return (
        f"For research on {what}{talk}: to compare methods, to label recordings of the kind that it was "
        f"trained on ({facts.dataset.name}), to teach or feed other models. It answers {judged}, "
        "not what somebody feels. It is not made for decisions about people (hiring, teaching, "
        "policing, credit, health), nor for watching people who have not agreed to it."
    )


def limits(facts: CardFacts) -> str:
    """List what the model is known to be bad at: by its data, its weakest classes, its probabilities."""
    if facts.config.data.task != "class":
        return "\n".join(f"* {line}" for line in [f"Data: {facts.dataset.limits}", *_of_targets(facts)])
    rows = [row for row in facts.scores.per_class() if int(row["support"])]
    weakest = sorted(rows, key=lambda row: float(row["f1"]))[:_WEAKEST]
    most = max(rows, key=lambda row: int(row["support"]))
    share = int(most["support"]) / sum(int(row["support"]) for row in rows)
    said = ", ".join(
        f"{row['class']} (F1 {100 * float(row['f1']):.1f}, {row['support']} utterances)" for row in weakest
    )
    lines = [
        f"Data: {facts.dataset.limits}",
        f"Classes: {most['class']} is {100 * share:.0f} % of the scored dev utterances. The weakest on dev: {said}.",
        f"It knows {len(rows)} classes and gives one of them to everything, also to what has none of them. What could "
        "not be read, is silent or empty gets an average answer and is marked (`fault`).",
    ]
    if "dev_ece" in facts.row:
        off = 100 * facts.provenance.get("temperature", {}).get("ece_after", facts.row["dev_ece"])
        lines.append(f"Probabilities are off by {off:.1f} points on average (expected calibration error on dev).")
    return "\n".join(f"* {line}" for line in lines)


def _of_targets(facts: CardFacts) -> list[str]:
    """Say what a model of numbers, or of several labels, is bad at."""
    nothing = "What could not be read, is silent or empty gets an average answer and is marked (`fault`)."
    rows = facts.scores.per_class()
    if facts.config.data.task == "regression":
        worst = min(rows, key=lambda row: float(row["ccc"]))
        return [
            f"Numbers: the weakest on dev is {worst['target']} (CCC {float(worst['ccc']):.3f}, mean absolute error "
            f"{float(worst['mae']):.3f}). Answers lean to the middle: extremes are told too mildly, as by most models "
            "that minimise an error.",
            f"It gives a number to everything, also outside the range of its data. {nothing}",
        ]
    weakest = sorted((row for row in rows if int(row["support"])), key=lambda row: float(row["f1"]))[:_WEAKEST]
    said = ", ".join(f"{row['class']} (F1 {100 * float(row['f1']):.1f}, {row['support']} rows)" for row in weakest)
    return [f"Labels: the weakest on dev: {said}.", f"It knows {len(rows)} labels, and may give none. {nothing}"]


def bias(facts: CardFacts) -> str:
    """Say which groups the numbers do not tell apart."""
    if facts.dataset_id == "sample":
        return facts.dataset.bias
    return (
        f"{facts.dataset.bias} Labels are judgements of a few annotators, who share a culture. Whether errors differ "
        "between speakers of different sex, age, accent or culture was not measured: measure it before you rely on it "
        "for anybody."
    )
