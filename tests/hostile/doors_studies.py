"""What lies in a folder of studies that somebody else sends: feature files, records of trials, weights."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from doors_export import WRITTEN
from hostile_door import Door, Input
from hostile_folders import (
    Change,
    changed_folder,
    header_of,
    irregular,
    mutants_of,
    setting,
    tensors_bytes,
    with_bytes,
    with_json,
    without,
)

from mer.checkpoints import load_tensors, read_card
from mer.features.backbone.hash_memo import HashMemo
from mer.features.cache.feature_file import load_features
from mer.features.cache.upkeep import entries, verify
from mer.study.evaluate.verify_trial import recorded_trials
from mer.study.folder.artifacts import draw_picture
from mer.study.folder.recorded import read_config, read_environment, read_history, read_predictions
from mer.study.paths import trial_folder, trial_numbers

CACHE, STUDIES = WRITTEN / "encoded", WRITTEN / "searched"
STUDY = STUDIES / "before"
_FOLDER = "meld/text/backbone"
DEV = f"{_FOLDER}/dev-712da06b0a6a.safetensors"
CARD = DEV.replace(".safetensors", ".json")
TRIAL = "before/trials/00000/artifacts"


# ---- features


def read_cache(cache: Path) -> None:
    memo = HashMemo(cache / "weights.json")
    memo.save()
    found = entries(cache)
    for path, fault in verify(cache):
        if fault is not None:
            raise fault
        table = load_features(path)
        names = table.label_names["emotion"]
        assert np.isfinite(table.features).all() and len(table.ids) == len(table.features)
        assert ((table.labels["emotion"] >= -1) & (table.labels["emotion"] < len(names))).all()
        assert table.card["ingredients"]["modality"] == "text", "the sidecar decides what is in the file"
    assert len(found) == 2, "a file is not listed"


def kinds_of_cache(base: Path) -> list[Input]:
    header, tensors = header_of((CACHE / DEV).read_bytes())
    said = json.loads(header["__metadata__"]["mer"])

    def file(kind: str, edit: Any, content: bytes = tensors, must: Any = "refused") -> Input:
        tree = json.loads(json.dumps(header))
        edit(tree)
        return changed_folder(f"features: {kind}", CACHE, with_bytes(DEV, tensors_bytes(tree, content)), must)

    def says(kind: str, edit: Any) -> Input:
        tree = json.loads(json.dumps(said))
        other = edit(tree)
        text = json.dumps(tree if other is None else other)
        return file(kind, setting("__metadata__", "mer", value=text))

    found = [
        changed_folder("good", CACHE, lambda folder: None, "accepted"),
        changed_folder("no sidecar", CACHE, lambda folder: (folder / CARD).unlink(), "accepted"),
        changed_folder("a sidecar of other features", CACHE, with_json(CARD, setting("key", value="x")), "accepted"),
        changed_folder(
            "a sidecar that claims another modality",
            CACHE,
            with_json(CARD, setting("ingredients", "modality", value="audio")),
            "accepted",
        ),
        changed_folder("a sidecar without ingredients", CACHE, with_json(CARD, without("ingredients")), "accepted"),
        file("no header of ours", without("__metadata__")),
        file("a header that is a list", setting("__metadata__", "mer", value="[]")),
        file("a header nested deep", setting("__metadata__", "mer", value="[" * 100_000)),
        file("NaN", lambda tree: None, b"\xff" * len(tensors)),
        file("of another type", lambda tree: tree["ids"].update(dtype="I8")),
        file("of BF16", lambda tree: tree["features"].update(dtype="BF16")),
        file("cut short", lambda tree: None, tensors[:-1]),
        says("ingredients null", setting("ingredients", value=None)),
        says("ingredients a list", setting("ingredients", value=[])),
        says("no split", without("ingredients", "split")),
        says("names a list", setting("label_names", value=["a"])),
        says("names are numbers", setting("label_names", "emotion", value=[1, 2, 3, 4, 5, 6, 7])),
        says("names one less", lambda tree: tree["label_names"]["emotion"].pop()),
        says("another format", setting("ingredients", "format", value=99)),
        says("a key that is a number", setting("key", value=5)),
        says("tokens", setting("ingredients", "modality", value="tokens")),
    ]
    for name in (DEV, CARD, "weights.json", DEV.replace("dev-", "other-"), f"{_FOLDER}/.dev-712da06b0a6a.parts"):
        for kind, change in irregular(name).items():
            found.append(changed_folder(f"{name.rsplit('/')[-1]} is {kind}", CACHE, change))
    for kind, content in {"nothing": "", "a list": "[]", "nested": "[" * 100_000, "numbers": '{"a": 5}'}.items():
        found.append(changed_folder(f"memo: {kind}", CACHE, with_bytes("weights.json", content), "accepted"))
        found.append(changed_folder(f"sidecar: {kind}", CACHE, with_bytes(CARD, content), "accepted"))
    return found


def mutants_of_cache(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(CACHE, (DEV, DEV, CARD), rng)


# ---- trials


_FILES = [
    *(f"{TRIAL}/{name}" for name in ("history.csv", "config.json", "environment.json", "dev_predictions.csv")),
    *(f"before/trials/{name}" for name in ("00000/best.safetensors", "00000/best.json", "00001/last.safetensors")),
]


def read_trials(studies: Path) -> None:
    folder = studies / STUDY.name
    for number in recorded_trials(folder):
        place = trial_folder(folder, number)
        rows = read_history(place)
        assert all(isinstance(value, float) for row in rows for value in row.values())
        if number == 0:
            read_config(place)
            read_environment(place)
            ids, labels_N, logits_NC = read_predictions(place / "artifacts" / "dev_predictions.csv")
            assert len(ids) == len(labels_N) == len(logits_NC) and (labels_N < logits_NC.shape[1]).all()
            if np.isfinite(logits_NC).all():
                draw_picture(place, "title", 1)
    for number in trial_numbers(folder):
        best = trial_folder(folder, number) / "best.safetensors"
        card, (tensors, same) = read_card(best), load_tensors(best)
        assert card == same and tensors


def kinds_of_trials(base: Path) -> list[Input]:
    found = [changed_folder("good", STUDIES, lambda folder: None, "accepted")]
    for name in ("history.csv", "dev_predictions.csv"):
        text = (STUDIES / TRIAL / name).read_text()
        header, first, *rest = text.splitlines()
        contents: dict[str, Any] = {
            "nothing": b"",
            "a header": header,
            "random": random.Random(2).randbytes(5000),
            "NUL": text.replace("0.", "\x00", 1),
            "words": text.replace("0.", "x", 1),
            "a cell less": "\n".join([header, first.rpartition(",")[0], *rest]),
            "a cell more": "\n".join([header, f"{first},5", *rest]),
            "an open quote": f'{header}\n"{first}',
            "UTF-16": text.encode("utf-16"),
            "a text of 1 MB": f"{header}\n" + "x" * 1_000_000,
            "NaN": text.replace("0.", "nan", 1),
            "columns twice": text.replace(header, ",".join([header, *header.split(",")]), 1),
            "other columns": text.replace(header, "a,b,c", 1),
            "10**400": text.replace("0.", "1" + "0" * 400, 1),
            "JSON": "[]",
        }
        found += [
            changed_folder(f"{name}: {kind}", STUDIES, with_bytes(f"{TRIAL}/{name}", c)) for kind, c in contents.items()
        ]
    for name in ("config.json", "environment.json"):
        for kind, content in {
            "nothing": "",
            "a list": "[]",
            "nested": "[" * 100_000,
            "a number": "5",
            "{}": "{}",
        }.items():
            found.append(changed_folder(f"{name}: {kind}", STUDIES, with_bytes(f"{TRIAL}/{name}", content)))
    edits: list[tuple[str, Change]] = [
        ("threads 10**9", with_json(f"{TRIAL}/environment.json", setting("threads", value=10**9))),
        ("threads text", with_json(f"{TRIAL}/environment.json", setting("threads", value="x"))),
        ("packages a list", with_json(f"{TRIAL}/environment.json", setting("packages", value=[]))),
    ]
    found += [changed_folder(f"environment: {kind}", STUDIES, change, "refused") for kind, change in edits]
    for name in _FILES:
        for kind, change in irregular(name).items():
            found.append(changed_folder(f"{name} is {kind}", STUDIES, change))
    return found


def mutants_of_trials(base: Path, rng: random.Random) -> Iterator[Input]:
    names = [f"{TRIAL}/{name}" for name in ("history.csv", "dev_predictions.csv", "config.json", "environment.json")]
    weights = [
        "before/trials/00000/best.safetensors",
        "before/trials/00000/best.json",
        "before/trials/00001/last.safetensors",
    ]
    return mutants_of(STUDIES, [*names, *weights], rng)


DOORS: Sequence[Door] = [
    Door("feature cache", read_cache, kinds_of_cache, mutants_of_cache),
    Door("trials of a study", read_trials, kinds_of_trials, mutants_of_trials),
]
