"""Published data and records of splits, as somebody else made them."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from doors_clips import wav
from doors_export import WRITTEN
from hostile_corpus import sound_corpus
from hostile_door import Door, Input, file_input
from hostile_folders import (
    changed_folder,
    irregular,
    mutants_of,
    setting,
    with_bytes,
    with_json,
    without,
)
from hostile_mutations import json_bytes, mutated_tree

from mer.config import DataConfig
from mer.data.media import ClipFinder
from mer.data.media.faults import MediaFault
from mer.data.readers.split_record import read_record
from mer.data.registry import open_corpus, survey_corpus

_MELD = WRITTEN / "data"


def read_meld(root: Path) -> None:
    corpus = survey_corpus(DataConfig(dataset="meld", root=str(root)), ("train", "dev"))
    sound_corpus(corpus, ("train", "dev"))


def read_ravdess(root: Path) -> None:
    data = DataConfig(dataset="ravdess", root=str(root))
    corpus = open_corpus(data, ("train",))
    sound_corpus(corpus, ("train",))
    finder = ClipFinder(corpus.root, corpus.links)
    for utterance in corpus.utterances("train"):
        try:
            found = finder.find("audio", utterance.audio)
        except MediaFault:
            continue
        assert found.path.resolve().is_relative_to(root.resolve()), f"{found.path} leads out of the data"


def read_splits(path: Path) -> None:
    known = read_record(path)
    assert known["by"] in ("speaker", "dialogue", "row") and isinstance(known["seed"], int)


def kinds_of_meld(base: Path) -> list[Input]:
    name, other = "train_sent_emo.csv", base / "outside.csv"
    content = (_MELD / name).read_text(encoding="utf-8")
    other.write_text(content, encoding="utf-8")
    lines = content.splitlines()
    first = next(csv.reader([lines[1]]))
    cells = next(csv.reader([lines[0]]))
    found = [changed_folder("good", _MELD, lambda folder: None, "accepted")]
    for column in ("Utterance", "Dialogue_ID", "Utterance_ID", "Emotion", "Speaker", "StartTime", "EndTime"):
        for value in (
            "",
            "9" * 5000,
            "-1",
            "1e999",
            "nan",
            "\x1b[2J",
            "\x00",
            "a" * 200_000,
            "a\nb",
            "../../x",
            "=1+1",
            "0.0",
        ):
            row = list(first)
            row[cells.index(column)] = value
            stream = io.StringIO()
            csv.writer(stream).writerow(row)
            text = "\n".join([lines[0], stream.getvalue().rstrip("\n"), *lines[2:]]) + "\n"
            found.append(changed_folder(f"{column} is {value[:12]!r}", _MELD, with_bytes(name, text)))
    found += [changed_folder(f"{name} is {kind}", _MELD, change, "refused") for kind, change in irregular(name).items()]
    return found


def mutants_of_meld(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(_MELD, ("train_sent_emo.csv", "dev_sent_emo.csv"), rng)


@cache
def _ravdess(base: Path) -> Path:

    root = base / "ravdess"
    (root / "sounds").mkdir(parents=True)
    names = [f"03-01-{e:02d}-01-01-01-{a:02d}" for e in (1, 3, 5) for a in (1, 2)]
    for name in names:
        (root / "sounds" / f"{name}.wav").write_bytes(wav())
    lines = [f"sounds/{name}.wav,1.0" for name in names]
    (root / "metadata.csv").write_text("file,duration_s\n" + "\n".join(lines) + "\n")
    secret = base / "secret.wav"
    secret.write_bytes(wav())
    return root


def kinds_of_ravdess(base: Path) -> list[Input]:
    root = _ravdess(base)
    first = "sounds/03-01-01-01-01-01-01.wav"
    said = (root / "metadata.csv").read_text()

    def linked(folder: Path) -> None:
        (folder / first).unlink()
        (folder / first).symlink_to(base / "secret.wav")

    def folder_linked(folder: Path) -> None:
        shutil.move(folder / "sounds", base / f"moved-{folder.parent.name}-{random.random()}")
        moved = next(base.glob(f"moved-{folder.parent.name}-*"))
        (folder / "sounds").symlink_to(moved)

    found = [
        changed_folder("good", root, lambda folder: None, "accepted"),
        changed_folder("a sound is a link out", root, linked, "accepted"),
        changed_folder("the folder of sounds is a link out", root, folder_linked, "accepted"),
    ]
    for kind, path in {
        "a path out": "../secret/03-01-01-01-01-01-01.wav",
        "an absolute path": "/etc/03-01-01-01-01-01-01.wav",
        "no codes": "sounds/a.wav",
        "codes of 5 000 digits": "0" * 5000,
        "escapes": "\x1b[2J.wav",
        "NUL": "\x00",
        "nothing": "",
        "other digits": "03-01-01-01-01-01-٠١.wav",
    }.items():
        found.append(changed_folder(kind, root, with_bytes("metadata.csv", said.replace(first, path))))
    for value in ("nan", "inf", "-1", "9" * 400, "1e999", "x"):
        found.append(
            changed_folder(f"lasts {value[:9]}", root, with_bytes("metadata.csv", said.replace("1.0", value, 1)))
        )
    found += [
        changed_folder(f"metadata.csv is {kind}", root, change)
        for kind, change in irregular("metadata.csv").items()
        if kind != "a folder"
    ]
    return found


def mutants_of_ravdess(base: Path, rng: random.Random) -> Iterator[Input]:
    return mutants_of(_ravdess(base), ("metadata.csv",), rng)


_RECORD = {
    "made_of": "mine.csv",
    "by": "row",
    "seed": 0,
    "shares": {"dev": 0.2, "test": 0.1},
    "dev": ["a#0"],
    "test": ["b#0"],
}


def kinds_of_splits(base: Path) -> list[Input]:
    source = base / "record"
    source.mkdir(exist_ok=True)
    (source / "mine.splits.json").write_text(json.dumps(_RECORD))
    name = "mine.splits.json"
    found = [changed_folder("good", source, lambda folder: None, "accepted", give=name)]
    for key in _RECORD:
        found.append(changed_folder(f"no {key}", source, with_json(name, without(key)), give=name))
        for value in (None, 5, True, [], {}, "x", [5], {"dev": "x"}, {"dev": [1]}, {"other": 0.1}, float("nan")):
            edit = with_json(name, setting(key, value=value))
            found.append(changed_folder(f"{key} is {value!r}", source, edit, give=name))
    changes = irregular(name).items()
    return [
        *found,
        *(changed_folder(f"it is {kind}", source, change, "refused", give=name) for kind, change in changes),
    ]


def mutants_of_splits(base: Path, rng: random.Random) -> Iterator[Input]:
    while True:
        what, tree = mutated_tree(_RECORD, rng)
        yield file_input(what, "mine.splits.json", json_bytes(tree))


DOORS: Sequence[Door] = [
    Door("MELD folder", read_meld, kinds_of_meld, mutants_of_meld),
    Door("RAVDESS folder", read_ravdess, kinds_of_ravdess, mutants_of_ravdess),
    Door("splits.json", read_splits, kinds_of_splits, mutants_of_splits),
]
