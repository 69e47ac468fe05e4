"""Raw archives that `mer.data prepare` reads, and the folder that it writes."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
from doors_export import WRITTEN
from hostile_door import Door, Input
from hostile_folders import (
    Change,
    changed_folder,
    irregular,
    mutants_of,
    with_bytes,
)

from mer.data.prepare.from_archive import prepare

_MELD = WRITTEN / "data"


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
        for path in (path for path in out.rglob("*") if path.name != "manifest.json"):
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
    name, ours = "out/manifest.json", {"made_by": "mer.data.prepare", "version": 2, "raw": "", "unannotated": {}}
    contents = {
        "nothing": "",
        "a list": "[]",
        "of another program": '{"made_by": "x"}',
        "nested": "[" * 100_000,
        "entries are a list": json.dumps({**ours, "entries": []}),
        "an entry is a number": json.dumps({**ours, "entries": {"a": 5}}),
    }
    found += [
        changed_folder(f"manifest: {kind}", place, with_bytes(name, content), "refused")
        for kind, content in contents.items()
    ]
    found += [changed_folder(f"the manifest is {kind}", place, change) for kind, change in irregular(name).items()]
    return found


def mutants_of_archive(base: Path, rng: random.Random) -> Iterator[Input]:
    place = _archive(base)
    clips = [path.relative_to(place).as_posix() for path in (place / "raw" / "dev_splits_complete").iterdir()]
    return mutants_of(place, ("raw/dev_sent_emo.csv", *clips), rng)


DOORS: Sequence[Door] = [Door("prepare", read_archive, kinds_of_archive, mutants_of_archive)]
