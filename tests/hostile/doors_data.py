"""Tables of utterances, splits, archives and texts that somebody else sends."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from doors_export import BACKBONE, EXPORT, WRITTEN
from hostile_door import Door, Input, file_input
from hostile_folders import Change, changed_folder, irregular, mutants_of, setting, with_bytes, with_json, without
from hostile_mutations import deep, json_bytes, mutated_bytes, mutated_tree

import mer
from mer.config import Columns, DataConfig
from mer.data.corpus_file import read_corpus_file
from mer.data.inputs import from_table
from mer.data.media import ClipFinder
from mer.data.media.faults import MediaFault
from mer.data.prepare.from_archive import prepare
from mer.data.prepare.manifest import read_manifest
from mer.data.readers.split_record import read_record
from mer.data.registry import open_corpus, survey_corpus
from mer.data.types import Corpus
from mer.predictor.predictor import Predictor

_LABELS = ("joy", "anger", "neutral")
_MELD = WRITTEN / "data"


def _sound_corpus(corpus: Corpus, splits: Sequence[str]) -> None:
    for split in splits:
        ids = [utterance.id for utterance in corpus.utterances(split)]
        assert len(set(ids)) == len(ids), "two utterances have one id"
        assert all("\n" not in one and one.isprintable() for one in ids), f"an id is {max(ids, key=len)!r}"
        for utterance in corpus.utterances(split):
            assert not any(0xD800 <= ord(c) <= 0xDFFF for c in utterance.text)
            for seconds in (utterance.start_s, utterance.end_s):
                assert seconds is None or (math.isfinite(seconds) and seconds >= 0), seconds
    for names in corpus.label_names.values():
        assert len(set(names)) == len(names) and all(names), names


def read_csv(path: Path) -> None:
    data = DataConfig.model_validate({"dataset": "csv", "root": str(path), "split": {"dev": 0.3}})
    _sound_corpus(open_corpus(data), ("train", "dev"))


def read_meld(root: Path) -> None:
    corpus = survey_corpus(DataConfig(dataset="meld", root=str(root)), ("train", "dev"))
    _sound_corpus(corpus, ("train", "dev"))


def read_ravdess(root: Path) -> None:
    data = DataConfig(dataset="ravdess", root=str(root))
    corpus = open_corpus(data, ("train",))
    _sound_corpus(corpus, ("train",))
    finder = ClipFinder(corpus.root, corpus.links)
    for utterance in corpus.utterances("train"):
        try:
            found = finder.find("audio", utterance.audio)
        except MediaFault:
            continue
        assert found.path.resolve().is_relative_to(root.resolve()), f"{found.path} leads out of the data"


def read_for_prediction(path: Path) -> None:
    inputs = from_table(path, DataConfig(), class_names=_LABELS, reads=("text",), speaker="Speaker", named=Columns())
    assert len(inputs.rows) == len(inputs.utterances) and set(inputs.labels) <= {*_LABELS, ""}


def read_description(path: Path) -> None:
    assert read_corpus_file(path)["data.dataset"] in ("csv", "meld", "emorynlp", "ravdess")


def read_splits(path: Path) -> None:
    known = read_record(path)
    assert known["by"] in ("speaker", "dialogue", "row") and isinstance(known["seed"], int)


# ---- tables


def table(rows: int = 12, **columns: Any) -> str:
    """Write a good table. Args: columns: name -> the cell of each row."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    made = {"text": "Line {}.", "label": None, **columns}
    writer.writerow(made)
    for row in range(rows):
        cells = [_LABELS[row % 3] if cell is None else str(cell).replace("{}", str(row)) for cell in made.values()]
        writer.writerow(cells)
    return stream.getvalue()


_RUIN: dict[str, Any] = {
    "nothing": b"",
    "a header": b"text,label\n",
    "a header and blanks": b"text,label\n\n\n,\n",
    "NUL": table().replace("Line 3.", "a\x00b"),
    "escapes in a text": table().replace("Line 3.", "\x1b[2J\x1b]0;title\x07"),
    "escapes in the header": table().replace("text", "text\x1b[2J", 1),
    "escapes in a label": table().replace("anger", "an\x1b[2Jger"),
    "a line end in a label": table().replace("anger", '"an\nger"'),
    "a formula": table().replace("Line 3.", "=cmd|' /C calc'!A0"),
    "an id of 5 000 digits": table(id="9" * 5000),
    "ids with line ends": table(id="a{}\nb"),
    "ids with escapes": table(id="a{}\x1b[2J"),
    "ids with slashes": table(id="../../{}"),
    "ids with NUL": table(id="a{}\x00"),
    "one id for all": table(id="a"),
    "a turn of 5 000 digits": table(dialogue="a", turn="9" * 5000 + "{}"),
    "a negative turn": table(dialogue="a", turn="-{}"),
    "a time of 10**400": table(start="1" + "0" * 400, end="2" + "0" * 400),
    "times NaN": table(start="nan", end="nan"),
    "times infinite": table(start="-inf", end="inf"),
    "a text of 10 MB": table().replace("Line 3.", "word " * 2_000_000),
    "a word of 10 MB": table().replace("Line 3.", "x" * 10_000_000),
    "an open quote": table().replace("Line 3.", '"Line 3.'),
    "a quote within": table().replace("Line 3.", 'Li"ne" 3.'),
    "the header twice": table().replace("text,label", "text,label,text", 1),
    "the same column twice, in other letters": table().replace("text,label", "text,Text", 1),
    "100 000 columns": ",".join(f"c{i}" for i in range(100_000)) + "\n" + "1," * 99_999 + "1\n",
    "a header of 10 MB": "x" * 10_000_000 + ",label\na,joy\n",
    "rows of one cell": "text,label\n" + "x\n" * 100,
    "rows of 10 000 cells": "text,label\n" + ",".join("x" * 10_000) + "\n",
    "100 000 faulty rows": "text,label\n" + "x\n" * 100_000,
    "10 000 classes": "text,label\n" + "".join(f"a,label{i}\n" for i in range(10_000)),
    "a label of 100 000 characters": table().replace("anger", "a" * 100_000),
    "one class": table(label="joy"),
    "labels that are numbers": table(label="{}"),
    "labels that differ by case": table().replace("anger", "JOY"),
    "a lone surrogate": table().replace("Line 3.", "\ud800"),
    "UTF-16": table().encode("utf-16"),
    "UTF-16 cut": table().encode("utf-16")[:-1],
    "UTF-32": table().encode("utf-32"),
    "half of a BOM": b"\xef\xbb" + table().encode(),
    "cp1252": table().replace("Line 3.", "café").encode("cp1252"),
    "random": random.Random(1).randbytes(20_000),
    "zeros": b"\x00" * 100_000,
    "line ends only": b"\r\n" * 100_000,
    "commas only": b"," * 1_000_000,
    "a zip": b"PK\x03\x04" + b"\x00" * 1000,
    "a pickle": b"\x80\x04K\x05.",
    "sep=": "sep=\n" + table(),
    "a path out": table(audio="../../../../etc/passwd"),
    "an absolute path": table(audio="/etc/passwd"),
    "a path with NUL": table(audio="a\x00b.wav"),
}
_MUST = {
    "nothing": "refused", "a header": "refused", "the header twice": "refused", "one class": "refused",
    "ids with slashes": "", "cp1252": "accepted", "UTF-16": "accepted", "UTF-32": "accepted", "a formula": "accepted",
    "a lone surrogate": "refused", "a text of 10 MB": "refused", "an open quote": "refused",
}  # fmt: skip


def kinds_of_csv(base: Path) -> list[Input]:
    good = table(id="u{}", speaker="s{}", dialogue="d{}", turn="1")
    found = [file_input("good", "mine.csv", good, "accepted")]
    found += [file_input(kind, "mine.csv", content, _MUST.get(kind, "")) for kind, content in _RUIN.items()]  # type: ignore[arg-type]
    found += _not_files(base, "mine.csv", good)
    found += [file_input(kind, "mine.csv.splits.json", content) for kind, content in {"a record alone": "{}"}.items()]
    return found


def _not_files(base: Path, name: str, content: str) -> list[Input]:
    source = base / f"of {name}"
    source.mkdir(exist_ok=True)
    (source / name).write_text(content)
    changes = irregular(name).items()
    return [changed_folder(f"{name} is {kind}", source, change, "refused", give=name) for kind, change in changes]


def mutants_of_csv(base: Path, rng: random.Random) -> Iterator[Input]:
    good = table(id="u{}", speaker="s{}", dialogue="d{}", turn="1").encode()
    while True:
        what, content = mutated_bytes(good, rng)
        for _ in range(rng.randrange(3)):
            what, content = mutated_bytes(content, rng)
        yield file_input(f"bytes: {what}", "mine.csv", content)


def json_lines(rows: int = 12, **changes: Any) -> list[dict[str, Any]]:
    return [{"id": f"u{i}", "text": f"Line {i}.", "label": _LABELS[i % 3], **changes} for i in range(rows)]


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json_bytes(row) + b"\n" for row in rows)


def kinds_of_json_lines(base: Path) -> list[Input]:
    values: dict[str, Any] = {
        "null": None, "a number": 5, "10**400": 10**400, "a list": [1], "an object": {"a": 1}, "nested": deep(500),
        "nested without end": deep(200_000), "a lone surrogate": "\ud800", "escapes": "\x1b[2J", "NUL": "a\x00b",
        "10 MB": "word " * 2_000_000, "true": True, "NaN": float("nan"), "infinity": float("inf"), "a fraction": 0.5,
    }  # fmt: skip
    found = [file_input("good", "mine.jsonl", _lines(json_lines()), "accepted")]
    for key in ("text", "label", "id", "audio", "start"):
        for kind, value in values.items():
            rows = json_lines()
            rows[3] = {**rows[3], key: value}
            found.append(file_input(f"{key}: {kind}", "mine.jsonl", _lines(rows)))
    rest: dict[str, bytes] = {
        "nothing": b"", "a list": b"[]\n", "a key twice": b'{"text": "a", "text": "b", "label": "joy"}\n',
        "nested without end": b"[" * 1_000_000, "not UTF-8": b'{"text": "\xff"}\n', "one line": b'{"text": "a"}',
        "an empty key": b'{"": 1, "text": "a", "label": "joy"}\n', "100 000 keys": _lines([{f"k{i}": 1 for i in range(100_000)}]),
    }  # fmt: skip
    found += [file_input(kind, "mine.jsonl", content) for kind, content in rest.items()]
    return [*found, *_not_files(base, "mine.jsonl", '{"text": "a", "label": "joy"}\n')]


def mutants_of_json_lines(base: Path, rng: random.Random) -> Iterator[Input]:
    while True:
        rows: list[Any] = json_lines()
        place = rng.randrange(len(rows))
        what, rows[place] = mutated_tree(rows[place], rng)
        content = _lines(rows)
        if rng.random() < 0.3:
            what, content = mutated_bytes(content, rng)
        yield file_input(what, "mine.jsonl", content)


# ---- folders of published data


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
    from doors_clips import wav

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
        "a path out": "../secret/03-01-01-01-01-01-01.wav", "an absolute path": "/etc/03-01-01-01-01-01-01.wav",
        "no codes": "sounds/a.wav", "codes of 5 000 digits": "0" * 5000, "escapes": "\x1b[2J.wav", "NUL": "\x00",
        "nothing": "", "other digits": "03-01-01-01-01-01-٠١.wav",
    }.items():  # fmt: skip
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


# ---- records


_RECORD = {
    "made_of": "mine.csv", "by": "row", "seed": 0, "shares": {"dev": 0.2, "test": 0.1}, "dev": ["a#0"], "test": ["b#0"],
}  # fmt: skip


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


# ---- texts


@cache
def _model() -> Predictor:
    return mer.load(EXPORT, backbone=BACKBONE)


def read_text(path: Path) -> None:
    """As `--text` gives it: bytes that are not UTF-8 come as halves of characters."""
    (one,) = _model().predict([os.fsdecode(path.read_bytes())])
    chances = list(one.probabilities.values())
    assert all(map(math.isfinite, chances)) and abs(sum(chances) - 1) < 1e-6, f"chances {chances}"


def kinds_of_text(base: Path) -> list[Input]:
    texts: dict[str, Any] = {
        "words of 10 MB": "word " * 2_000_000, "one word of 10 MB": "x" * 10_000_000, "10 MB of Chinese": "开心" * 1_700_000,
        "10 MB of emoji": "😂" * 2_500_000, "10 MB of spaces": " " * 10_000_000 + "a", "NUL": "a\x00b", "escapes": "\x1b[2Ja",
        "a million accents": "a" + "\u0301" * 1_000_000, "joined emoji": "👩\u200d" * 100_000, "from right to left": "\u202eabc",
        "a mask": "<mask> [MASK] </s> [SEP]" * 1000, "private signs": "\ue000" * 1000, "no sign": "\uffff" * 1000,
        "10 MB of brackets": "[" * 10_000_000, "10 MB of line ends": "a\n" * 5_000_000, "wide": "Ｗ" * 1_000_000,
        "10 MB of special tokens": "[SEP]" * 2_000_000,
    }  # fmt: skip
    found = [file_input(kind, "text", text, "accepted") for kind, text in texts.items()]
    found += [
        file_input("half of a character", "text", "a\ud800b", "refused"),
        file_input("bytes", "text", b"\xff\xfe", "refused"),
    ]
    return [*found, file_input("nothing", "text", b"", "refused"), file_input("spaces", "text", b" \n", "refused")]


def mutants_of_text(base: Path, rng: random.Random) -> Iterator[Input]:
    signs = [
        "a",
        " ",
        "\x00",
        "\n",
        "é",
        "开",
        "😂",
        "\u200d",
        "\u0301",
        "\x1b",
        "[MASK]",
        "\u202e",
        "\U000e0001",
        "\xad",
        "ﷺ",
    ]
    while True:
        text = "".join(rng.choice(signs) for _ in range(rng.choice([1, 3, 30, 3000])))
        content = text.encode()
        if rng.random() < 0.3:
            content = mutated_bytes(content, rng)[1]
        yield file_input("signs", "text", content)


# ---- archives


@cache
def _archive(base: Path) -> Path:
    """A raw archive of MELD with two clips of dev, and an empty folder to write."""
    place = base / "archive"
    clips = place / "raw" / "dev_splits_complete"
    clips.mkdir(parents=True)
    (place / "out").mkdir()
    lines = (_MELD / "dev_sent_emo.csv").read_text(encoding="utf-8").splitlines()
    (place / "raw" / "dev_sent_emo.csv").write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
    for row in csv.DictReader(lines[:3]):
        with av.open(str(clips / f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            sound = container.add_stream("aac", rate=16000, layout="mono")
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            block = av.AudioFrame.from_ndarray(np.full((1, 4096), 0.1, np.float32), "fltp", "mono")
            block.sample_rate, block.pts = 16000, 0
            for packets in (stream.encode(None), sound.encode(block), sound.encode(None)):
                container.mux(packets)
    shutil.copy(next(clips.iterdir()), base / "secret.mp4")
    (base / "secret.mp4").chmod(0o600)
    return place


SECRET = b"a secret of 1 234 567 bits"


def read_archive(place: Path) -> None:
    raw, out = place / "raw", place / "out"
    try:
        prepare(raw, out, workers=1, link="copy", progress=lambda done, total: None)
    finally:
        for path in out.rglob("*"):
            assert not path.is_symlink() or path.resolve().is_relative_to(place.resolve()), f"{path} leads out"
            assert not path.is_file() or SECRET not in path.read_bytes(), f"{path} holds what lies outside"


def kinds_of_archive(base: Path) -> list[Input]:
    place = _archive(base)
    first = (
        next(path for path in sorted((place / "raw" / "dev_splits_complete").iterdir())).relative_to(place).as_posix()
    )
    table_name = "raw/dev_sent_emo.csv"
    secret = base / "secret.csv"
    secret.write_bytes((place / table_name).read_bytes().rstrip() + b"\n" + SECRET)
    film = base / "secret-film.mp4"
    film.write_bytes((place / first).read_bytes() + SECRET)

    def link(name: str, target: Path) -> Change:
        def change(folder: Path) -> None:
            (folder / name).unlink()
            (folder / name).symlink_to(target)

        return change

    found = [
        changed_folder("good", place, lambda folder: None, "accepted"),
        changed_folder("a clip is a link out", place, link(first, film), "accepted"),
        changed_folder("the table is a link out", place, link(table_name, secret), "refused"),
    ]
    found += [
        changed_folder(f"a clip is {kind}", place, change, "accepted") for kind, change in irregular(first).items()
    ]
    found += [
        changed_folder(f"the table is {kind}", place, change, "refused")
        for kind, change in irregular(table_name).items()
    ]
    for name in ("out/manifest.json",):
        for kind, content in {
            "nothing": "", "a list": "[]", "of another program": '{"made_by": "x"}', "nested": "[" * 100_000,
            "entries are a list": '{"made_by": "mer.data.prepare", "version": 2, "entries": [], "raw": "", "unannotated": {}}',
            "an entry is a number": '{"made_by": "mer.data.prepare", "version": 2, "entries": {"a": 5}, "raw": "", "unannotated": {}}',
        }.items():  # fmt: skip
            found.append(changed_folder(f"manifest: {kind}", place, with_bytes(name, content), "refused"))
        changes = irregular(name).items()
        found += [changed_folder(f"the manifest is {kind}", place, change) for kind, change in changes]
    return found


def read_prepared(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    for entry in manifest.entries.values():
        assert entry.source is None or isinstance(entry.source, str)


def mutants_of_archive(base: Path, rng: random.Random) -> Iterator[Input]:
    place = _archive(base)
    clips = [path.relative_to(place).as_posix() for path in (place / "raw" / "dev_splits_complete").iterdir()]
    return mutants_of(place, ("raw/dev_sent_emo.csv", *clips), rng)


# ---- descriptions


_DESCRIPTION = "root: recordings.csv\ncolumns: {text: said, label: mood}\nmerge_labels: {happy: [joy, excited]}\n"


def kinds_of_description(base: Path) -> list[Input]:
    texts: dict[str, Any] = {
        "nothing": "", "a list": "- a\n", "a number": "5", "nested": "[" * 30_000, "nested by lines": "- " * 30_000, "aliases":
        "a: &a [x, x]\nb: [*a, *a]\n", "a tag": "root: !!python/object/apply:os.system [true]\n", "a tagged bool": "root: !!bool x\n",
        "a key twice": "root: a\nroot: b\n", "numbers": "1: 2\n", "root is a list": "root: [a]\n", "root is NUL": 'root: "\\0"\n',
        "nobody's home": "root: ~nosuchuser/x\n", "escapes": 'root: "\\e[2J"\n', "columns is a list": "columns: [a]\n",
        "merge_labels is a number": "merge_labels: 5\n", "70 KB": "#" * 70_000, "not UTF-8": b"root: \xff\n", "a long number":
        "split: {seed: " + "9" * 5000 + "}\n", "a date": "root: 2026-13-45\n", "a bad date": "root: 2026-02-31\n",
        "a merge key": "<<: {root: a}\n", "a merge of a number": "<<: 5\n", "a sexagesimal": "root: 190:20:30\n",
    }  # fmt: skip
    found = [file_input("good", "mine.yaml", _DESCRIPTION, "accepted")]
    return [
        *found,
        *(file_input(kind, "mine.yaml", text) for kind, text in texts.items()),
        *_not_files(base, "mine.yaml", _DESCRIPTION),
    ]


def mutants_of_description(base: Path, rng: random.Random) -> Iterator[Input]:
    while True:
        what, content = mutated_bytes(_DESCRIPTION.encode(), rng)
        yield file_input(what, "mine.yaml", content)


def kinds_for_prediction(base: Path) -> list[Input]:
    return [*kinds_of_csv(base), *kinds_of_json_lines(base)]


def mutants_for_prediction(base: Path, rng: random.Random) -> Iterator[Input]:
    tables, lines = mutants_of_csv(base, rng), mutants_of_json_lines(base, rng)
    while True:
        yield next(rng.choice([tables, lines]))


DOORS: Sequence[Door] = [
    Door("own.csv", read_csv, kinds_of_csv, mutants_of_csv),
    Door("own.jsonl", read_csv, kinds_of_json_lines, mutants_of_json_lines),
    Door("MELD folder", read_meld, kinds_of_meld, mutants_of_meld),
    Door("RAVDESS folder", read_ravdess, kinds_of_ravdess, mutants_of_ravdess),
    Door("predict --file", read_for_prediction, kinds_for_prediction, mutants_for_prediction),
    Door("corpus.yaml", read_description, kinds_of_description, mutants_of_description),
    Door("splits.json", read_splits, kinds_of_splits, mutants_of_splits),
    Door("text", read_text, kinds_of_text, mutants_of_text),
    Door("prepare", read_archive, kinds_of_archive, mutants_of_archive),
]
