"""python -m mer.data, as typed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer

from mer.cli_app import launch
from mer.errors import MerError


def test_sample_then_check(typed, tmp_path):
    code, out, _ = typed("sample", tmp_path / "s", "--seed", 7, "--modalities", "text")
    assert code == 0 and f"next: python -m mer.data check {tmp_path / 's'}" in out
    code, out, _ = typed("check", tmp_path / "s")
    assert code == 0
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in out.splitlines() if line.count("│") == 5}
    assert [int(cell) for cell in rows["dialogues"]] == [120, 40, 40]
    assert [cell.strip() for cell in rows["official file"]] == ["no"] * 3
    emotions = [int(row[0].split("(")[0]) for name, row in rows.items() if name.startswith("emotion: ")]
    assert len(emotions) == 7 and sum(emotions) == int(rows["utterances"][0])


def test_a_smaller_sample_begins_like_the_usual_one(typed, tmp_path):
    for name, more in (("usual", ()), ("small", ("--dialogues", 6))):
        assert typed("sample", tmp_path / name, "--modalities", "text", *more)[0] == 0
    usual, small = ((tmp_path / name / "train_sent_emo.csv").read_text() for name in ("usual", "small"))
    assert usual.startswith(small) and len(small) < len(usual)
    assert "dialogues" in (typed("sample", tmp_path / "none", "--dialogues", 2)[2])


def test_check_reads_the_splits_that_are_there_or_asked_for(typed, meld_folder):
    root = meld_folder(train=[{}, {"Utterance_ID": 5}], test=b"\x81")
    code, out, _ = typed("check", root, "--splits", "train")
    assert code == 0 and "│ utterances                 │           2 │" in out  # one column
    code, out, err = typed("check", root)  # test is there, and broken
    assert code == 2 and out == "" and "test_sent_emo.csv:1: byte 0x81 is not UTF-8" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "No such command 'nope'"),
        (["get"], "Missing argument"),
        (["get", "iemocap"], "iemocap"),
        (["check"], "Missing argument"),
        (["sample", "x", "--sede", "3"], "No such option"),
        ([], "Usage: python -m mer.data"),
    ],
)
def test_usage_errors_show_the_usage_and_exit_2(typed, words, said):
    code, out, err = typed(*words)
    assert code == 2 and said in out + err and "Usage" in out + err and "unexpected" not in err


def test_help_is_a_success_on_standard_output(typed):
    code, out, err = typed("check", "--help")
    assert code == 0 and "--debug" in out and err == ""


def test_faults_are_one_message_and_debug_adds_the_traceback(typed, tmp_path):
    code, out, err = typed("check", tmp_path / "no")
    assert (code, out) == (2, "") and err.startswith(f"error: {tmp_path / 'no'}: there is no such folder\n")
    assert "Traceback" not in err
    code, _, err = typed("check", tmp_path / "no", "--debug")
    assert code == 2 and "Traceback" in err and "there is no such folder" in err


def _raise(fault: BaseException) -> None:
    raise fault


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (typer.Abort(), 130, "interrupted\n"),
        (typer.Exit(3), 3, ""),
        (typer.Exit(0), 0, ""),
        (MerError("here", "broken"), 2, "error: here: broken\n"),
        (RuntimeError("oops"), 1, "error: unexpected RuntimeError: oops\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: /x: Permission denied\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_launch_turns_every_ending_into_a_code_and_a_message(fault, code, said, monkeypatch, capsys):
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(lambda: _raise(fault))
    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as end:
        launch(app, "mer.data")
    assert (end.value.code or 0) == code
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_module_runs_from_the_shell(tmp_path):
    """One real process: exit code, no stray output, files in place."""
    command = [sys.executable, "-W", "error", "-m", "mer.data", "sample", str(tmp_path / "s"), "--modalities", "text"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"}, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "s/dev_sent_emo.csv").is_file()
