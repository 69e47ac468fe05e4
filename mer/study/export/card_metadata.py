"""YAML front matter of the model card, in the form that the Hugging Face hub reads."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCardData

from mer.config import TargetKind
from mer.naming import predicted
from mer.study.export.card_facts import CardFacts, base_model_id

_TASKS = {"text": "text-classification", "audio": "audio-classification", "video": "video-classification"}
_SEVERAL = "other"  # the hub has no task that classifies several modalities at once
_Named = tuple[str, dict[str, str] | None, str]  # the hub's name of a metric, its argument, our words
_OF_CLASSES: dict[str, _Named] = {
    "weighted_f1": ("f1", {"average": "weighted"}, "weighted-F1"),
    "macro_f1": ("f1", {"average": "macro"}, "macro-F1"),
    "accuracy": ("accuracy", None, "accuracy"),
    "unweighted_accuracy": ("recall", {"average": "macro"}, "unweighted accuracy (mean recall)"),
}
_OF_NUMBERS: dict[str, _Named] = {
    "mae": ("mae", None, "mean absolute error"),
    "pearson": ("pearsonr", None, "Pearson's correlation"),
}
_OF_LABELS: dict[str, _Named] = {
    "macro_f1": ("f1", {"average": "macro"}, "macro-F1"),
    "micro_f1": ("f1", {"average": "micro"}, "micro-F1"),
    "samples_f1": ("f1", {"average": "samples"}, "samples-F1"),
    "accuracy": ("accuracy", None, "all labels right"),
}
_METRICS: dict[TargetKind, dict[str, _Named]] = {
    "class": _OF_CLASSES,
    "regression": _OF_NUMBERS,
    "multilabel": _OF_LABELS,
}


def card_metadata(facts: CardFacts) -> ModelCardData:
    """Describe the model for the hub: task, dataset, licence, base models, and its metrics as fractions in [0, 1].

    Metrics are those of the dev split, which chose the trial, and means over seeds on test where there are any; every
    result says which in `dataset.split` and its name.
    """
    config, modalities = facts.config, list(facts.config.encoders.present)
    classifies = config.data.task != "regression"
    task = _TASKS[modalities[0]] if len(modalities) == 1 and classifies else _SEVERAL
    known = _METRICS[config.data.task]
    names = predicted(config.data, facts.scores.class_names)
    what = f"{names} recognition" if config.data.task == "class" else f"prediction of {names}"
    dev = {name: facts.row[f"dev_{name}"] for name in known if f"dev_{name}" in facts.row}
    splits = [("dev", dev, "on dev")]
    if facts.on_test is not None:
        means = {name.removeprefix("test_"): of.mean for name, of in facts.on_test.summary.items()}
        count = len(facts.on_test.seeds)
        splits.append(("test", means, f"on test, {'mean of ' if count > 1 else ''}{count} seed{'s'[: count - 1]}"))
    results = [
        EvalResult(
            task_type=task,
            task_name=f"{what} from {' and '.join(modalities)}",
            dataset_type=facts.dataset_id,
            dataset_name=facts.dataset.name,
            dataset_split=split,
            metric_type=kind,
            metric_args=arguments,
            metric_name=f"{words} {where}",
            metric_value=float(values[name]),
        )
        for split, values, where in splits
        for name, (kind, arguments, words) in known.items()
        if name in values
    ]
    base_models = [name for name in map(base_model_id, facts.provenance["backbones"].values()) if name]
    adapted = [modality for modality, encoder in config.tuned.items() if encoder.mode == "lora"]
    return ModelCardData(
        model_name=f"{facts.study}-{facts.number:05d}",
        language="en" if facts.has_known_dataset else None,
        license=facts.license,
        license_name=f"{facts.dataset_id}-terms-see-below" if facts.license == "other" else None,
        library_name="mer",
        pipeline_tag=task,
        tags=[
            f"{config.data.label}-recognition",
            *(["conversation"] if config.data.dataset in ("meld", "emorynlp") else []),
            *(["multimodal"] if len(modalities) > 1 else []),
            *([config.data.task] if config.data.task != "class" else []),
            *modalities,
            *([config.loss.contrastive.kind] if config.loss.contrastive.kind != "none" else []),
            *(["lora"] if adapted else []),
            *(["knowledge-distillation"] if config.distill is not None else []),
        ],
        datasets=[facts.dataset_id] if facts.has_known_dataset else None,
        base_model=base_models or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        eval_results=results,
    )
