"""Study folders, their lock, and what is noted of the machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.folder import environment
from mer.study.folder.claim import claim_folder, whole_or_absent
from mer.study.folder.lock import study_lock

COMMAND = "python -m mer.tune space.yaml"


def claim(studies, resume=False, fresh=False):
    return claim_folder(studies, "s", COMMAND, resume=resume, fresh=fresh)


def refusal(studies, **options) -> str:
    with pytest.raises(MerError) as caught:
        claim(studies, **options)
    return str(caught.value)


def journal(studies, text="x"):
    (studies / "s").mkdir(parents=True, exist_ok=True)
    (studies / "s/journal.log").write_text(text)


def test_a_new_folder_and_an_empty_one(tmp_path):
    assert claim(tmp_path / "studies") == claim(tmp_path / "studies") == tmp_path / "studies" / "s"
    assert claim(tmp_path, resume=True).is_dir() and claim(tmp_path, fresh=True).is_dir()


def test_an_existing_study_names_both_commands(tmp_path):
    journal(tmp_path)
    assert refusal(tmp_path) == (
        f"{tmp_path / 's'}: this study exists already\n"
        f"  next: go on with it:  {COMMAND} --resume\n        start over:     {COMMAND} --fresh"
    )
    assert claim(tmp_path, resume=True) == tmp_path / "s"


def test_resume_and_fresh_exclude_each_other(tmp_path):
    assert refusal(tmp_path, resume=True, fresh=True) == (
        "--resume --fresh: they exclude each other\n  next: give one of the two"
    )


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"fresh": True}])
def test_a_folder_of_something_else_is_left_alone(tmp_path, options):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/photo.jpg").touch()
    assert refusal(tmp_path, **options) == (
        f"{tmp_path / 's'}: exists and is not a study (no journal.log in it)\n"
        "  next: move it away, or give the study another name with --set study=NAME"
    )
    assert (tmp_path / "s/photo.jpg").exists()


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "s").touch()
    assert refusal(tmp_path, fresh=True).startswith(f"{tmp_path / 's'}: is a file\n  next: move it away")


def test_fresh_puts_aside_and_never_deletes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    for text in ("one", "two", "three"):  # within one second
        journal(tmp_path, text)
        assert list(claim(tmp_path, fresh=True).iterdir()) == []
        assert "the earlier study was put aside: " in capsys.readouterr().out
    kept = {path.parent.name: path.read_text() for path in (tmp_path / ".replaced").glob("*/journal.log")}
    assert kept == {"s-20260101-120000": "one", "s-20260101-120000-2": "two", "s-20260101-120000-3": "three"}


def fails_to_begin(folder: Path, *names: str) -> None:
    with pytest.raises(OSError, match="full"), whole_or_absent(folder):
        for name in names:
            (folder / name).write_text("written")
        raise OSError("full")


def test_a_study_that_cannot_begin_leaves_nothing(tmp_path):
    fails_to_begin(claim(tmp_path))
    assert not (tmp_path / "s").exists()
    fails_to_begin(claim(tmp_path), "journal.log", "space.json")
    assert not (tmp_path / "s").exists()
    fails_to_begin(tmp_path / "s")


def test_a_study_that_was_there_keeps_everything(tmp_path):
    journal(tmp_path)
    fails_to_begin(tmp_path / "s", "space.json")
    assert (tmp_path / "s/journal.log").exists() and (tmp_path / "s/space.json").exists()
    fails_to_begin(claim(tmp_path, fresh=True), "notes.txt")
    assert (tmp_path / "s/notes.txt").exists(), "not ours"


# -- lock ----------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from mer.study.folder.lock import study_lock
with study_lock(Path(sys.argv[1]), "s"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.faults
def test_a_live_driver_is_named_and_a_killed_one_leaves_no_lock(tmp_path, holder):
    with pytest.raises(MerError) as caught, study_lock(tmp_path, "s"):
        raise AssertionError("two drivers at once")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 's'}: a live driver works on this study: pid {holder.pid} on ")
    assert text.endswith(
        "  allowed: one driver per study\n  next: wait for it, or stop it (Ctrl-C there), then run again with --resume"
    )
    with study_lock(tmp_path, "other"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with study_lock(tmp_path, "s"):
        owner = json.loads((tmp_path / ".s.owner.json").read_text())
        assert owner["pid"] == os.getpid()
    assert not (tmp_path / ".s.owner.json").exists()


def test_the_lock_is_given_back_when_the_study_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), study_lock(tmp_path, "s"):
        1 / 0  # noqa: B018
    with study_lock(tmp_path, "s"):
        pass


def test_a_timeout_inside_is_not_taken_for_another_driver(tmp_path):
    from filelock import Timeout

    with pytest.raises(Timeout), study_lock(tmp_path, "s"):
        raise Timeout("features.lock")


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_a_broken_owner_note_does_not_hide_the_message(tmp_path, text):
    with study_lock(tmp_path, "s"):
        (tmp_path / ".s.owner.json").write_text(text)
        with pytest.raises(MerError, match="a live driver works on this study\n"), study_lock(tmp_path, "s"):
            pass


# -- environment ---------------------------------------------------------------------------------------------------


def test_no_environment_variable_leaks(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    text = json.dumps(environment.describe_environment(["mer", "tune"])) + environment.code_diff()
    assert "hunter2-secret" not in text and "hf_abcdef" not in text
    known = environment.describe_environment(["mer", "tune"])
    assert known["command"] == "mer tune" and known["packages"]["optuna"].startswith("5.")
    assert "not installed" not in known["packages"].values()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository with a copy of the module in it, committed or not."""

    def make(committed: bool) -> Path:
        source = tmp_path / "environment.py"
        shutil.copy(environment.__file__, source)
        git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run([*git, "init", "-q"], check=True)
        (tmp_path / "README").write_text("x\n")
        subprocess.run([*git, "add", "README", *(["environment.py"] if committed else [])], check=True)
        subprocess.run([*git, "commit", "-qm", "x"], check=True)
        monkeypatch.setattr(environment, "_HERE", source)
        return source

    return make


def test_outside_a_git_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_HERE", tmp_path / "environment.py")
    known = environment.describe_environment([])
    assert (known["git_sha"], known["git_dirty"], environment.code_diff()) == ("", False, "")


def test_installed_inside_somebody_elses_repository(checkout):
    checkout(committed=False)
    assert environment.describe_environment([])["git_sha"] == ""


def test_changes_in_any_encoding_are_noted(checkout):
    source = checkout(committed=True)
    assert len(environment.describe_environment([])["git_sha"]) == 40 and environment.code_diff() == ""
    source.write_bytes(source.read_bytes() + "# ä\n".encode("latin-1"))
    assert environment.describe_environment([])["git_dirty"] is True
    assert "+# \ufffd" in environment.code_diff()


def test_secrets_are_left_out_of_the_patch_that_is_kept(checkout):
    source = checkout(committed=True)
    made_up = "hf_" + "aB3" * 12
    source.write_bytes(source.read_bytes() + f"TOKEN = '{made_up}'\nlr = 0.1\n".encode())
    first, *patch = environment.stored_diff().splitlines()
    assert first == "# 1 text that looks like a secret is left out of this patch; provenance: {diff: false} keeps none"
    assert patch[-2:] == ["+TOKEN = '[left out: a token of Hugging Face]'", "+lr = 0.1"]
    assert made_up in environment.code_diff(), "the hash that tells one state of the code from another is of the whole"


def test_the_command_is_kept_as_it_can_be_pasted_and_without_secrets():
    command = ["mer/tune.py", "my space.yaml", "--set", "hub.token=abc"]
    said = environment.describe_environment(command)["command"]
    assert said == "mer/tune.py 'my space.yaml' --set 'hub.token=[left out: a secret]'"


def test_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.describe_environment([])["git_sha"] == "" and environment.code_diff() == ""


def test_a_machine_that_tells_little(monkeypatch):
    assert environment._version("no-such-package-anywhere") == "not installed"

    def unreadable(*_, **__):
        raise OSError

    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr("platform.processor", lambda: "some processor")
    assert environment._processor() == "some processor"
