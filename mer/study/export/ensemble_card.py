"""README.md of an ensemble: its members and seeds, how their mean scores on dev beside them, origin, licences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mer.checkpoints.export_folder import Export
from mer.config import TargetKind
from mer.config.metrics import MAIN, USUAL
from mer.places import shown_place
from mer.study.export.card_calibration import calibration, scores_words
from mer.study.export.card_facts import CardFacts, backbone_terms
from mer.study.export.card_limits import bias, intended_use
from mer.study.export.facts_again import facts_of
from mer.study.export.machine_paths import without_places
from mer.study.export.markdown import table
from mer.study.export.model_card import decision_words, each_table, label_decision_words, picture_words, what_words
from mer.study.show.words import show
from mer.terminal.commands import command
from mer.training import AnyScores

_OPTIONS = {"text": '--text "Oh my God!"', "audio": "--audio a.flac", "video": "--video v.mp4"}

_WRITTEN: dict[TargetKind, str] = {
    "class": "the logarithm of each class's mean probability",
    "regression": "the means",
    "multilabel": "the log-odds of each label's mean probability",
}


def ensemble_card(folder: Path, members: Sequence[Export], scores: AnyScores, provenance: Mapping[str, Any]) -> str:
    """Write the card. Args: scores: of the mean on dev."""
    first, facts = members[0], [facts_of(member) for member in members]
    kind, count = first.kind, len(members)
    mean = "numbers" if kind == "regression" else "probabilities"
    reads = list(dict.fromkeys(modality for member in members for modality in member.reads))
    place = shown_place(str(folder))
    said = command("mer.predict", Path(place))
    options = " ".join(_OPTIONS[modality] for modality in reads)
    parts = [
        f"# {folder.name}: {count} models that answer together",
        f"Predicts {what_words(first.data)} of an utterance from its {' and '.join(reads)}: "
        f"{', '.join(first.class_names)}. "
        f"Each member answers by itself, and their {mean} are averaged. A member that can read nothing of an utterance "
        "is left out of that mean.",
        "## Use",
        f"```python\nimport mer\nmodel = mer.load({json.dumps(place, ensure_ascii=False)})\n```\n\n"
        f"or `{said} {options}`. It is asked as a single "
        "model is, and takes as long as its members together; members with one frozen encoder read it once.",
        "## Members",
        _members_table(provenance["members"], MAIN[kind]),
        "## Scores on dev",
        "These are scores on the **dev** split, which also chose every member and its epoch: expect less on unseen "
        "data. `python -m mer.evaluate` trains groups of new seeds, and reads test once for each group.",
        _dev_table(kind, members, provenance["dev_metrics"]),
        *decision_words(provenance.get("threshold")),
        *label_decision_words(provenance.get("thresholds")),
        *calibration(provenance.get("temperature")),
        each_table(kind, scores),
        picture_words(kind),
        f"Every dev utterance with {_WRITTEN[kind]}{scores_words(provenance)}: `dev_predictions.csv`.",
        "## Intended use",
        intended_use(facts[0]),
        "## Bias",
        bias(facts[0]),
        "## Provenance",
        f"Made by `{without_places(str(provenance['command']))}`, {provenance['created']}. `members/` holds every "
        "member whole, with its own card, configuration and provenance; `provenance.json` has seeds and hashes.",
        "## Licences",
        "\n".join(f"* {line}" for line in _terms(facts)),
    ]
    return "\n\n".join(parts) + "\n"


def _members_table(told: Sequence[Mapping[str, Any]], main: str) -> str:
    rows = [
        (
            number,
            f"{without_places(str(one['study']))}, trial {one['trial']}",
            one["seed"],
            f"`{one['method']}`",
            ", ".join(one["reads"]),
            show(main, one[f"dev_{main}"]),
        )
        for number, one in enumerate(told, start=1)
    ]
    return table(("member", "trial", "seed", "method", "reads", f"dev {main}"), rows)


def _dev_table(kind: TargetKind, members: Sequence[Export], mean: Mapping[str, float]) -> str:
    usual = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy", "ece", "loss")
    rows = []
    for name in (f"dev_{one}" for one in (usual if kind == "class" else USUAL[kind])):
        each = [member.provenance.get("dev_metrics", {}).get(name) for member in members]
        if name in mean and None not in each:
            rows.append((name, show(name, mean[name]), show(name, sum(each) / len(each)), _span(name, each)))
    return table(("metric", "together", "mean of the members alone", "from ... to"), rows)


def _span(name: str, each: Sequence[float]) -> str:
    return f"{show(name, min(each))} to {show(name, max(each))}"


def _terms(facts: Sequence[CardFacts]) -> list[str]:
    """List the terms of all data and backbones, each once."""
    said = [one.dataset.terms for one in facts]
    said += [
        backbone_terms(str(backbone["name"]), one.bundled)
        for one in facts
        for backbone in one.provenance["backbones"].values()
    ]
    return [*dict.fromkeys(said), "Whoever passes these models on must respect all of them."]
