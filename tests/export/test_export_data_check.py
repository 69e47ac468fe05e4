"""The card says what a check found in the data: a whole one beside them, or a quick one made at the export."""

from __future__ import annotations

import json

import pytest
from export_helpers import HEAD, Made

from mer.checkpoints.export_folder import Export
from mer.config import DataConfig
from mer.data import load_corpus
from mer.data.check.checked import as_json, check_everything
from mer.study.export import data_check as room
from mer.study.export.data_check import data_check, data_lines


@pytest.fixture
def data(small_study: Made, tmp_path) -> DataConfig:
    """A copy of the study's texts, for a check.json beside them."""
    for split in ("train", "dev"):
        name = f"{split}_sent_emo.csv"
        (tmp_path / name).write_bytes((small_study.corpus / name).read_bytes())
    return DataConfig(dataset="meld", root=str(tmp_path))


def write_check(data: DataConfig, **changes: object) -> None:
    found = check_everything(load_corpus("meld", data.root), deep=False, workers=1, progress=lambda done, total: None)
    (room.Path(data.root) / "check.json").write_text(json.dumps(as_json(found) | changes))


def test_the_card_and_the_provenance_have_it(exported: Export) -> None:
    card, check = (exported.folder / "README.md").read_text(), exported.provenance["data_check"]
    section = card.split("## Data\n")[1].split("\n## ")[0]
    assert section.strip().splitlines() == data_lines(check)
    assert f"Utterances: train {check['splits']['train']['utterances']}, dev" in section
    assert "Verdict of `python -m mer.data check`: sound" in section and "Clips were not looked at" in section
    assert "a quick check at the export; `python -m mer.data check ROOT --json ROOT/check.json` before it" in section
    assert "Splits share speakers: dev" in section and exported.provenance["trial"] == HEAD


def test_a_whole_check_beside_the_data_is_taken(data):
    write_check(data, clips_were="decoded", created="2026-11-27T20:00:00+0000")
    found = data_check(data)
    assert found["clips_were"] == "decoded" and found["source"] == "check.json beside the data, of 2026-11-27"


def test_a_check_of_other_data_is_not_taken(data):
    write_check(data, data_sha256={"train": "0" * 64, "dev": "1" * 64})
    found = data_check(data)
    assert found["clips_were"] == "not looked at" and found["source"].endswith("is of other texts or labels")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "null", '{"format": 1}', '{"format": 1, "made_by": "python -m mer.data check", "splits": []}'],
)
def test_a_file_that_no_check_wrote_is_passed_over(data, text):
    (room.Path(data.root) / "check.json").write_text(text)
    assert data_check(data)["source"].startswith("a quick check at the export; `python")


def test_what_makes_results_wrong_is_said_in_bold(data):
    write_check(data, findings=[{"level": "wrong", "kind": "clips", "words": "splits share clips", "examples": []}])
    assert data_lines(data_check(data))[-1] == "* **Makes results wrong:** Splits share clips."
