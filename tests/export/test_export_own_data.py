"""Exports of studies on a user's own file: it is read again as the study read it, columns, labels and splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from open_study import begin_study

from mer.errors import MerError

SPACE = """study: own
trainable: text
budget: {trials: 1, epochs: 1}
scheduler: {kind: none}
fixed:
  data:
    dataset: csv
    root: FILE
    columns: {text: said, label: mood, dialogue: talk}
    labels: [low, high]
    merge_labels: {low: [sad, tired]}
    split: {dev: 0.3, test: 0.0, by: dialogue, seed: 3}
  encoders: {text: {backbone: minilm, layers: [-1]}}
  head: {hidden: 8}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""


@pytest.mark.slow
def test_a_file_with_columns_and_labels_of_its_own_is_exported_also_from_another_place(tmp_path: Path) -> None:
    file = tmp_path / "talks.csv"
    moods = ("sad", "high", "tired", "odd", "high")
    rows = [f"sentence {n} of a talk;{moods[n % 5]};{n // 4};x" for n in range(40)]
    file.write_text("\n".join(["said;mood;talk;text", *rows, ""]), encoding="utf-8")
    study = begin_study(SPACE, tmp_path, FILE=file)
    assert (tmp_path / "talks.splits.json").is_file()
    _, (export,) = study.train_and_export(1)
    assert (
        export.class_names == ("low", "high") and export.provenance["data_check"]["splits"]["dev"]["utterances"] == 12
    )
    moved = tmp_path / "elsewhere/talks.csv"
    moved.parent.mkdir()
    shutil.move(file, moved)
    with pytest.raises(MerError, match="there is no such file or folder: the data of the study are needed"):
        study.export(tmp_path / "again")
    assert study.export(tmp_path / "again", data_root=str(moved)).standing.number == 0
