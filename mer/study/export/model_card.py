"""Write the README.md of an export: what the model is, how it is used, its scores, its origin, its licences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer.config import DataConfig, TargetKind, TrialConfig, flatten
from mer.config.metrics import USUAL
from mer.naming import label_of, method_name
from mer.study.export.card_calibration import calibration, scores_words
from mer.study.export.card_facts import CardFacts, backbone_terms
from mer.study.export.card_limits import bias, intended_use, limits
from mer.study.export.card_metadata import card_metadata
from mer.study.export.card_on_test import on_test_section
from mer.study.export.card_use import adapter_alone, install, other_forms, use
from mer.study.export.data_check import data_lines
from mer.study.export.machine_paths import without_places
from mer.study.export.markdown import table
from mer.study.export.one_fold import fold_words
from mer.study.paths import picture_of
from mer.study.show.words import show
from mer.training import AnyScores

_METHODS = {
    "supcon": "supervised contrastive learning (Khosla et al. 2020)",
    "spcl": "supervised prototypical contrastive learning, SPCL (Song et al. 2022)",
    "apcl": "adaptive prototypical contrastive learning, APCL",
    "eacl": "emotion-anchored contrastive learning, EACL (Yu et al. 2024)",
}
_REGRESSION = {
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "huber": "Huber's loss",
    "ccc": "one minus the concordance correlation",
}
_ANSWERS: dict[TargetKind, str] = {"class": "class scores", "regression": "numbers", "multilabel": "label scores"}
_PREDICTION = {
    "head": "a linear layer on the learned representation",
    "nearest_center": "the nearest class centre of the training split",
    "nearest_anchor": "the nearest emotion anchor",
}


def model_card(facts: CardFacts) -> str:
    """Write the README.md of an export: YAML front matter for the hub, then Markdown for people.

    It names no place of this machine: paths from the root or the home keep their last name.
    """
    config = facts.config
    modality = " and ".join(config.encoders.present)
    backbones = facts.provenance["backbones"]
    names = {name: f"`{backbone['name']}`" for name, backbone in backbones.items()}
    licences = "\n* ".join(backbone_terms(str(one["name"]), facts.bundled) for one in backbones.values())
    objective = facts.provenance["objective"][0]
    metric = objective["metric"]
    tested = (
        "Test scores over seeds are below."
        if facts.on_test
        else "The test split is read by `python -m mer.evaluate` alone."
    )
    parts = [
        f"# {facts.study}, trial {facts.number}",
        f"Predicts {what_words(config.data)} of an utterance"
        f"{'' if config.data.dataset == 'ravdess' else ' in a conversation'} "
        f"from its {modality}: {_outputs(facts)}. Trained on {facts.dataset.name} by `mer`; "
        f"{_method(config)} on {_encoders(config, names)}, "
        f"read by {_PREDICTION[config.training.prediction]}.",
        f"Method `{method_name(config)}`, label `{label_of(config)}`.",
        "## Install",
        install(facts),
        "## Use",
        use(facts),
        *other_forms(facts),
        *adapter_alone(facts),
        "## Intended use",
        intended_use(facts),
        "## Limits",
        limits(facts),
        "## Bias",
        bias(facts),
        "## Scores on dev",
        f"These are scores on the **dev** split, which also chose this trial (by {metric}) and its epoch: expect less "
        f"on unseen data. {tested}",
        *([fold_words(facts.provenance["fold"])] if "fold" in facts.provenance else []),
        table(("metric", "value"), [(name, show(name, facts.row[name])) for name in _shown(facts, metric)]),
        *decision_words(facts.provenance.get("threshold")),
        *label_decision_words(facts.provenance.get("thresholds")),
        *calibration(facts.provenance.get("temperature")),
        f"Epoch {facts.row['epoch']:.0f} of {config.training.epochs}; {len(facts.scores.scored_N)} utterances. "
        f"{_units(config.data.task)} The trial {_ending(facts.state)}.",
        each_table(config.data.task, facts.scores),
        picture_words(config.data.task),
        f"Every dev utterance with its {_ANSWERS[config.data.task]}{scores_words(facts.provenance)}: "
        "`dev_predictions.csv`.",
        *(on_test_section(facts.on_test) if facts.on_test else []),
        "## Configuration",
        "What the search drew is marked with *; `config.json` has the same.",
        table(("key", "value"), _settings(config, facts.sampled)),
        "## Data",
        without_places("\n".join(data_lines(facts.provenance.get("data_check")))),
        "## Provenance",
        table(("", ""), _origin(facts)),
        "`provenance.json` has all of it, with package versions and machine.",
        "## Licences",
        f"* {facts.dataset.terms}\n* {licences}\n* Whoever passes this model on must respect both.",
    ]
    return f"---\n{card_metadata(facts).to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def what_words(data: DataConfig) -> str:
    """Say what is predicted: "the emotion", "numbers", "labels"."""
    return {"regression": "numbers", "multilabel": "labels"}.get(data.task, f"the {data.label}")


def _outputs(facts: CardFacts) -> str:
    """Say what the model answers with."""
    names, data = ", ".join(facts.scores.class_names), facts.config.data
    if data.task == "class":
        return f"one of {names}"
    if data.task == "multilabel":
        return f"any of {names}"
    span = f", from {data.range[0]:g} to {data.range[1]:g}" if data.range else ""
    return f"{names}, as {'a number' if len(facts.scores.class_names) == 1 else 'numbers'}{span}"


def _units(task: TargetKind) -> str:
    if task == "regression":
        return "Errors in the numbers' own unit, accuracies in percent."
    return "Metrics in percent, dev_loss in nats."


def each_table(task: TargetKind, scores: AnyScores) -> str:
    """Write the table of every class, number or label."""
    rows = scores.per_class()
    told: list[tuple[object, ...]]
    if task == "regression":
        kinds = ("ccc", "pearson", "mae", "rmse")
        told = [(row["target"], *(f"{float(row[key]):.4f}" for key in kinds), row["rows"]) for row in rows]
        return table(("number", "CCC", "Pearson", "MAE", "RMSE", "utterances"), told)
    shares = ("precision", "recall", "f1")
    told = [(row["class"], *(f"{100 * float(row[key]):.2f}" for key in shares), row["support"]) for row in rows]
    return table(("class", "precision", "recall", "F1", "utterances"), told)


def picture_words(task: TargetKind) -> str:
    """Show the picture of dev."""
    what = "Predicted against true numbers" if task == "regression" else "Confusion matrix"
    return f"![{what} of the dev split]({picture_of(task)})"


def _encoders(config: TrialConfig, names: Mapping[str, str]) -> str:
    """Write e.g. "the layers above 3 of `minilm`, tuned by LoRA of rank 16 and frozen features of `melstats`"."""
    said = []
    for modality, encoder in config.tuned.items():
        above = f"the layers above {encoder.freeze_layers} of " if encoder.freeze_layers else ""
        how = f"by LoRA of rank {encoder.lora.rank}" if encoder.mode == "lora" else "in full"
        said.append(f"{above}{names[modality]}, tuned {how}")
    frozen = [names[modality] for modality in config.encoders.present if modality not in config.tuned]
    return " and ".join(said + ([f"frozen features of {', '.join(frozen)}"] if frozen else []))


def _method(config: TrialConfig) -> str:
    """Name the losses in words, with their papers."""
    loss = config.loss
    supervised = "cross-entropy" if loss.classification.kind == "ce" else "focal loss"
    if config.data.task == "regression":
        supervised = _REGRESSION[loss.regression.kind]
    elif config.data.task == "multilabel":
        supervised = "binary cross-entropy"
    parts = [supervised] + ([_METHODS[loss.contrastive.kind]] if loss.contrastive.kind != "none" else [])
    if config.distill is not None:
        taught = without_places(str(config.distill.teacher))
        source = "its own fused head" if config.distill.source == "fused" else f"`{taught}`"
        parts.append(
            f"knowledge distillation from {source} (response {config.distill.response}, feature "
            f"{config.distill.feature})"
        )
    return " and ".join(parts)


def _shown(facts: CardFacts, metric: str) -> list[str]:
    """List the metrics of the table, the objective first."""
    usual = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy", "ece", "loss")
    task = facts.config.data.task
    names = [metric, *(f"dev_{name}" for name in (usual if task == "class" else USUAL[task]))]
    return [name for name in dict.fromkeys(names) if name in facts.row]


def decision_words(threshold: Mapping[str, Any] | None) -> list[str]:
    """Say at which threshold the model answers, and what dev gains by it; nothing for the more probable class."""
    if threshold is None:
        return []
    before, after = (f"{100 * threshold[when]:.2f}" for when in ("before", "after"))
    return [
        f"The model answers {threshold['name']} where its probability is at least {threshold['at_least']:.4f}, else "
        f"the other class. Dev chose this threshold by {threshold['metric']}: {after} there, {before} at 0.5. All "
        "other scores on this card are those of the more probable class (0.5). The gain was fitted to dev: "
        "`python -m mer.evaluate` chooses a threshold on dev for each seed and scores test at it."
    ]


def label_decision_words(thresholds: Mapping[str, Any] | None) -> list[str]:
    """Say at which thresholds the labels are given, and what dev gains by them."""
    if thresholds is None:
        return []
    told = ", ".join(f"{name} {chance:.3f}" for name, chance in thresholds["above"].items())
    before, after = (f"{100 * thresholds[when]:.2f}" for when in ("before", "after"))
    return [
        f"A label is given where its probability is above its own threshold: {told}. Dev chose them, each by the F1 of "
        f"its label: macro-F1 {after} there, {before} at 0.5. All other scores on this card are those at 0.5. The gain "
        "was fitted to dev: `python -m mer.evaluate` chooses thresholds on dev for each seed and scores test at them."
    ]


def _ending(state: str) -> str:
    return "finished" if state == "finished" else f"was {state} by the search before its last epoch"


def _settings(config: TrialConfig, sampled: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """List every key of the configuration with its value; sampled keys get a star."""
    flat = flatten(config.model_dump(mode="json"))
    return [(f"`{key}`{' *' if key in sampled else ''}", _value(value)) for key, value in flat.items()]


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else without_places(str(value))


def _origin(facts: CardFacts) -> list[tuple[object, ...]]:
    """List the rows of the provenance table."""
    come = facts.provenance
    environment, backbone = come["environment"], come["backbone"]
    sha = environment.get("git_sha") or "unknown"
    dirty = " with uncommitted changes" if environment.get("git_dirty") else ""
    packages = environment.get("packages", {})
    versions = ", ".join(f"{name} {packages[name]}" for name in ("mer", "torch", "transformers") if name in packages)
    taught = come.get("teacher")
    revision = f", revision {backbone['revision']}" if backbone["revision"] else ""
    return [
        ("study", f"{facts.study} (generation {come['generation']})"),
        ("trial", f"{facts.number}{', the ' + come['student'] + ' student' if come.get('student') else ''}"),
        ("seed", facts.config.seed),
        ("searched by", without_places(environment.get("command", "unknown"))),
        ("exported by", without_places(f"{come['command']}, {come['created']}")),
        ("code", f"{sha}{dirty}"),
        ("packages", versions or "unknown"),
        ("backbone", f"{backbone['name']}{revision}, weights sha256 {backbone['weights_sha256']}"),
        *(
            [("teacher", f"{without_places(taught['name'])}, weights sha256 {taught['weights_sha256']}")]
            if taught
            else []
        ),
        ("features", ", ".join(f"{split}: {name}" for split, name in come["features"].items())),
    ]
