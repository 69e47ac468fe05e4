"""Every fault that a user can make, as one message with the way out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from export_helpers import BARE, FAILED, HEAD, RUNNING, Made
from open_study import quiet
from typer.testing import CliRunner

import mer
from mer import console
from mer.checkpoints import load_tensors, save_tensors
from mer.checkpoints.export_folder import read_export
from mer.errors import MerError
from mer.export import app
from mer.study.export.choose import ExportOptions
from mer.study.export.write import export_study
from mer.study.folder.lock import live_owner, study_lock
from mer.study.folder.read_study import find_study, read_record
from mer.study.search.ledger import Ledger


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(MerError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def empty_study(made: Made, folder: Path, **ends: int) -> Path:
    """A study whose trials all end as told: {outcome: how many}."""
    folder.mkdir(parents=True)
    shutil.copy(made.folder / "space.json", folder)
    ledger = Ledger(folder, made.spec)
    for outcome, count in ends.items():
        for _ in range(count):
            assignment = ledger.next_assignment()
            ledger.end(assignment.number, outcome, best=None, reason=f"ValueError: {outcome}")
    return folder


# -- which study ---------------------------------------------------------------------------------------------------


def test_no_such_study(small_study: Made, tmp_path):
    said = refusal(find_study, "smal", small_study.folder.parent)
    assert "no such study" in said and "Did you mean 'small'?" in said and "--studies DIR" in said
    said = refusal(find_study, str(tmp_path), tmp_path)
    assert "not a study (no journal.log in it)" in said
    assert find_study("small", small_study.folder.parent) == find_study(str(small_study.folder), tmp_path)


def test_a_journal_that_cannot_be_read(tmp_path):
    (tmp_path / "journal.log").write_text("")
    assert "no study" in refusal(read_record, tmp_path)


def test_an_empty_study(small_study: Made, tmp_path):
    record = read_record(empty_study(small_study, tmp_path / "small"))
    assert "this study is empty: no trial was started" in refusal(export_study, record, ExportOptions(), quiet())
    assert "none: the study is empty" in refusal(export_study, record, ExportOptions(trial=0), quiet())


def test_all_failed(small_study: Made, tmp_path):
    record = read_record(empty_study(small_study, tmp_path / "small", error=2, nonfinite=1))
    said = refusal(export_study, record, ExportOptions(), quiet())
    assert "no trial of 3 has finished (failed): 2 x ValueError: error; 1 x ValueError: nonfinite" in said
    assert "--resume or --fresh" in said


def test_a_running_study_gives_finished_trials_only(study_copy: Made, tmp_path):
    with study_lock(study_copy.folder.parent, "small"):
        assert "pid" in (live_owner(study_copy.folder.parent, "small") or "")
        said = refusal(study_copy.export, tmp_path / "model")
        assert "this study is running (pid" in said and re.search(r"--trial \d \(the best so far\)", said)
        assert "is still running" in refusal(study_copy.export, tmp_path / "model", trial=RUNNING)
        assert study_copy.export(tmp_path / "model", trial=HEAD).standing.number == HEAD
    assert live_owner(study_copy.folder.parent, "small") is None
    assert not (tmp_path / "nothing").exists() and live_owner(tmp_path / "nothing", "small") is None


# -- which trial ---------------------------------------------------------------------------------------------------


def test_trials_that_cannot_be_exported(small_study: Made, tmp_path):
    out = tmp_path / "model"
    said = refusal(small_study.export, out, trial=99)
    assert "there is no trial 99" in said and "0 to 6" in said
    said = refusal(small_study.export, out, trial=FAILED)
    assert "this trial failed: RuntimeError: out of luck" in said and "finished, best first:" in said
    assert "it has no best.safetensors" in refusal(small_study.export, out, trial=BARE)
    assert "was interrupted" in refusal(small_study.export, out, trial=RUNNING)
    assert not out.exists()


def test_weights_of_an_earlier_version(study_copy: Made, tmp_path):
    best = study_copy.folder / "trials/00000/best.safetensors"
    tensors, card = load_tensors(best)
    save_tensors(best, tensors, {"epoch": card["epoch"]})
    assert "an earlier version of mer" in refusal(study_copy.export, tmp_path / "model", trial=HEAD)


# -- data ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_data_that_moved_or_changed(small_study: Made, tmp_path):
    said = refusal(small_study.export, tmp_path / "model", trial=HEAD, data_root=str(tmp_path / "gone"))
    assert "no such file or folder" in said and "--data-root FOLDER_OR_FILE" in said
    changed = shutil.copytree(small_study.corpus, tmp_path / "changed")
    dev = changed / "dev_sent_emo.csv"
    dev.write_text(dev.read_text().replace("neutral", "joy", 1))
    said = refusal(small_study.export, tmp_path / "model", trial=HEAD, data_root=str(changed))
    assert "is not the one the study was trained with" in said
    moved = shutil.copytree(small_study.corpus, tmp_path / "moved")
    assert small_study.export(tmp_path / "model", trial=HEAD, data_root=str(moved)).standing.number == HEAD


# -- the place -----------------------------------------------------------------------------------------------------


def test_a_place_that_is_taken(small_study: Made, tmp_path):
    model = tmp_path / "model"
    small_study.export(model, trial=HEAD)
    said = refusal(small_study.export, model, trial=HEAD)
    assert "an export is here already" in said and "--force" in said
    (model / "mine.txt").write_text("a note")
    small_study.export(model, trial=HEAD, force=True)
    assert not (model / "mine.txt").exists() and not list(tmp_path.glob(".*"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    assert small_study.export(tmp_path / "folder", trial=HEAD).standing.number == HEAD, "an empty folder is free"
    assert "a file: it is not replaced" in refusal(small_study.export, tmp_path / "file", trial=HEAD, force=True)
    said = refusal(small_study.export, small_study.corpus, trial=HEAD, force=True)
    assert "a folder that is no export of ours: it is not replaced" in said


def test_the_command_says_it_in_one_message(small_study: Made, tmp_path, monkeypatch, capsys):
    def typed(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["mer.export", *arguments])
        with pytest.raises(SystemExit) as end:
            console.run(lambda: app(list(arguments), standalone_mode=True))
        return int(end.value.code or 0), capsys.readouterr().err

    folder = str(small_study.folder)
    code, said = typed(folder, "--trial", "1", "--top", "2")
    assert code == 2 and said == "error: --trial --top: they exclude each other\n  next: give one of the two\n"
    code, said = typed(folder, "--trial", "3", "--out", str(tmp_path / "m"))
    assert code == 2 and said.startswith("error: ") and "Traceback" not in said
    assert "--bundle" in CliRunner().invoke(app, ["--help"]).output


# -- an export that is not whole -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md", "confusion.svg"])
def test_edited_files_are_named_with_both_hashes(export_copy: Path, name):
    path = export_copy / name
    expected = json.loads((export_copy / "MANIFEST.json").read_text())["sha256"][name]
    path.write_bytes(path.read_bytes()[:-1])
    said = refusal(mer.load, export_copy)
    assert said.startswith(f"{path}: truncated or edited") and f"allowed: sha256 {expected}" in said
    assert len(re.findall(r"[0-9a-f]{64}", said)) == 2 and "--force" in said
    path.unlink()
    assert f"{path}: this file of the export is missing" in refusal(mer.load, export_copy)


def test_what_is_no_export(export_copy: Path, small_study: Made, tmp_path):
    assert "no such folder" in refusal(mer.load, tmp_path / "nothing")
    assert "it is a study: python -m mer.export" in refusal(mer.load, small_study.folder)
    assert "not an export (no MANIFEST.json in it)" in refusal(mer.load, tmp_path)
    (export_copy / "MANIFEST.json").write_text("{")
    assert "MANIFEST.json: not JSON" in refusal(mer.load, export_copy)
    (export_copy / "MANIFEST.json").write_text('{"sha256": {"../other": "0"}}')
    assert "names '../other'" in refusal(mer.load, export_copy)
    (export_copy / "MANIFEST.json").write_text('{"sha256": {"labels.json": "0"}}')
    assert "does not name config.json, model.safetensors," in refusal(mer.load, export_copy)


def test_a_file_that_the_manifest_does_not_name(export_copy: Path):
    (export_copy / ".DS_Store").write_text("of another program")
    read_export(export_copy)
    (export_copy / "tokenizer.py").write_text("print()")
    assert "tokenizer.py: MANIFEST.json does not name this file" in refusal(mer.load, export_copy)


def reseal(folder: Path) -> None:
    """Change an export as another version would write it, with hashes that fit."""
    from mer.files import sha256_file, write_json

    hashes = {path.name: sha256_file(path) for path in folder.iterdir() if path.name != "MANIFEST.json"}
    write_json(folder / "MANIFEST.json", {"format": 1, "sha256": hashes})


def change(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    reseal(folder)


def test_exports_of_another_version(export_copy: Path):
    change(export_copy, "config.json", '"head_lr"', '"head_rate"')
    assert "does not know such a configuration" in refusal(read_export, export_copy)
    change(export_copy, "config.json", '"head_rate"', '"head_lr"')
    change(export_copy, "preprocessor.json", '"normalisation_version": 1', '"normalisation_version": 0')
    assert "normalisation_version 0" in refusal(mer.load, export_copy)
    change(export_copy, "provenance.json", '"format": 1', '"format": 9')
    assert "an export of format 9" in refusal(read_export, export_copy)


@pytest.mark.slow
def test_another_backbone(export_copy: Path, tmp_path):
    from mer.config import TextEncoderConfig
    from mer.features.backbone.files import MINILM_SHA256, locate
    from mer.features.backbone.files import weight_files as weights

    folder = locate(TextEncoderConfig(), weights=True).folder
    other = shutil.copytree(folder, tmp_path / "other")
    assert mer.load(export_copy, backbone=other).class_names
    file = weights(other)[0]
    file.write_bytes(file.read_bytes()[:-4] + b"1234")
    said = refusal(mer.load, export_copy, backbone=other)
    assert "are not those the model was trained on" in said and MINILM_SHA256 in said and "--bundle" in said
    shutil.copy(weights(folder)[0], file)
    (other / "tokenizer.json").write_text("{}")
    assert "the tokenizer of backbone 'minilm'" in refusal(mer.load, export_copy, backbone=other)
