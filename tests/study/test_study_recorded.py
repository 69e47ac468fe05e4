"""What a trial recorded, edited or replaced by something else: read and right, or refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mer.read_files import NoRegularFile, Unreadable
from mer.study.evaluate.verify_trial import verify_trial
from mer.study.folder.recorded import read_config, read_environment, read_history, read_predictions, read_scores

WRITTEN = Path(__file__).resolve().parents[1] / "written_before"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A finished trial of an older version, to be edited."""
    shutil.copytree(WRITTEN / "searched", tmp_path / "searched", symlinks=True)
    return tmp_path / "searched" / "before" / "trials" / "00000"


def test_it_is_read(trial):
    assert len(read_history(trial)) == 8 and read_history(trial)[0]["epoch"] == 1.0
    ids, labels_N, logits_NC = read_predictions(trial / "artifacts/dev_predictions.csv")
    assert len(ids) == len(labels_N) == len(logits_NC) == 31 and logits_NC.shape[1] == 7
    assert read_config(trial).head.hidden == 32 and read_environment(trial).threads == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epoch,dev_loss\n1.0,much\n", "history.csv:2: dev_loss is 'much'\n  allowed: a number"),
        ('epoch\n"1.0', "history.csv: is no CSV file"),
        (b"\xff\xfe\x00", "history.csv: is no CSV file"),
    ],
)
def test_a_history_that_is_garbage(trial, content, words):
    path = trial / "artifacts/history.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Unreadable) as caught:
        read_history(trial)
    assert caught.value.message.endswith(words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no file of predictions"),
        ("a,b,c\n", "is no file of predictions"),
        ("id,true,predicted,logit_joy\n", "holds no prediction"),
        ("id,true,predicted,logit_joy,logit_joy\nx,joy,joy,1,1\n", "is no file of predictions"),
        ("id,true,predicted,logit_joy\nx,anger,joy,1\n", "csv:2: the label is 'anger'"),
        ("id,true,predicted,logit_joy\nx,joy,joy\n", "csv:2: the row has 3 cells"),
        ("id,true,predicted,logit_joy\nx,joy,joy,y\n", "csv:2: a class score is 'y'"),
    ],
)
def test_predictions_that_are_garbage(trial, content, words):
    path = trial / "artifacts/dev_predictions.csv"
    path.write_text(content)
    for read in (read_predictions, read_scores):
        with pytest.raises(Unreadable) as caught:
            read(path)
        assert words in caught.value.message


@pytest.mark.timeout(20)
def test_what_is_no_file(trial):
    for name, read in {
        "history.csv": read_history,
        "config.json": read_config,
        "environment.json": read_environment,
    }.items():
        path = trial / "artifacts" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(NoRegularFile, match="a pipe"):
            read(trial)


def test_verify_refuses_what_it_cannot_compare(trial):
    study, place = trial.parents[1], trial / "artifacts"
    environment = json.loads((place / "environment.json").read_text())
    (place / "environment.json").write_text(json.dumps({**environment, "threads": 10**9}))
    with pytest.raises(Unreadable, match="threads is 1000000000"):
        verify_trial(study, 0, study, str(WRITTEN / "data"))
    (place / "history.csv").write_text("epoch\n1.0\n")
    with pytest.raises(Exception, match="has an epoch without dev_weighted_f1"):
        verify_trial(study, 0, study, str(WRITTEN / "data"))
