"""Clips that a file given to predict names may not be links out of its folder; those of MELD's layout may."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.config import DataConfig
from mer.data.inputs.table import from_table
from mer.data.media import MediaFault
from mer.errors import MerError
from mer.predictor.request import Request, clips_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    outside = tmp_path / "outside.flac"
    outside.write_bytes(b"sound")
    (tmp_path / "here/audios/dev").mkdir(parents=True)
    for name in ("a.flac", "audios/dev/dia0_utt0.flac"):
        (tmp_path / "here" / name).symlink_to(outside)
    (tmp_path / "here/b.flac").write_bytes(b"sound")
    return tmp_path / "here"


def clips(file: Path) -> list[Path | MediaFault]:
    inputs = from_table(file, DataConfig(dataset="csv"), class_names=("joy",), reads=("audio",), speaker="S")
    return clips_of(inputs, "audio", Request(Path("export"), file=file), ("audio",))


def test_paths_of_a_file_stay_in_its_folder(folder: Path) -> None:
    file = folder / "clips.csv"
    file.write_text("audio\na.flac\nb.flac\n../outside.flac\n")
    linked, good, outside = clips(file)
    assert str(linked) == "a link that leads out of here: not opened" and good == folder / "b.flac"
    assert "leaves the data folder" in str(outside)
    file.write_text("audio\na.flac\n")
    with pytest.raises(MerError, match=r"not one clip of its 1 utterances is there \(a link that leads out of here"):
        clips(file)


def test_links_of_melds_layout_are_the_owners(folder: Path) -> None:
    file = folder / "dev_sent_emo.csv"
    file.write_text("Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\nHi,Ross,joy,0,0\n")
    assert clips(file) == [folder / "audios/dev/dia0_utt0.flac"]
