"""What commands print: nothing that a terminal obeys, in any encoding, for any reader; commands that can be pasted."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from mer import console
from mer.errors import MerError
from mer.terminal.commands import changed, command
from mer.terminal.escapes import neutral
from mer.terminal.spreadsheet import csv_text, harmless_cell, text_of_cell
from mer.terminal.streams import NeutralStream

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u2066b\rc\x08\x7f\u2028\ud800"
SOURCES = [path for folder in ("mer", "analysis", "trainables") for path in Path(folder).rglob("*.py")]


def test_control_characters_are_written_out():
    shown = neutral(HOSTILE)
    assert shown == ("a\\u001b[2J\\u001b]0;title\\u0007\\u009b31m\\u202e\\u2066b\\u000dc\\u0008\\u007f\\u2028\\ud800")
    plain = "Zeile 1\n\tSpalte: 学习 😂 שלום"
    assert neutral(plain) == plain


@pytest.mark.parametrize(
    "text", ["=1+1", "'=1", "''-x", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "＝1", "- a dash"]
)
def test_no_cell_is_a_formula_and_each_can_be_read_back(text: str):
    assert harmless_cell(text) == f"'{text}" and text_of_cell(f"'{text}") == text


@pytest.mark.parametrize("value", ["-0.5", "+1e-3", "-inf", "joy", "'quoted'", "", -0.5, 3, None])
def test_numbers_and_words_stay_as_they_are(value: object):
    assert harmless_cell(value) == value
    if isinstance(value, str):
        assert text_of_cell(value) == value


def test_a_csv_file_is_written_without_formulas():
    assert csv_text([["id", "label"], ["=A1", -1.5], ["x", None]]) == "id,label\n'=A1,-1.5\nx,\n"


def test_a_page_shows_control_characters_and_keeps_its_own(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", NeutralStream(screen))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = Table(title="x\x1b[2J", box=None)
    table.add_column("y\x1b]0;")
    table.add_row("z\x1bc")
    console.page(markup=True).print(table, "[red]red[/]", "q\x1b[2J")
    print("plain\x1b[2J")
    seen = screen.getvalue()
    assert "plain\\u001b[2J" in seen and all(f"{letter}\\u001b" in seen for letter in "xyzq"), seen
    assert "\x1b[31mred" in seen and "\x1b[2J" not in seen and "\x07" not in seen and "\x1b]" not in seen


def test_an_error_message_is_neutral(capsys, monkeypatch):
    def refuse() -> None:
        raise MerError("x\x1b[2J.yaml", "no such key '\x1b]0;pwned\x07'")

    monkeypatch.setattr(sys, "argv", ["mer", "--debug"])
    with pytest.raises(SystemExit):
        console.run(refuse)
    assert "\x1b" not in capsys.readouterr().err


# -- encodings and readers --

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def typed(code: str, **environment: str) -> subprocess.Popen[bytes]:
    given = os.environ | environment
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=given, text=False
    )


def test_a_terminal_without_a_sign_gets_its_number():
    code = (
        "from mer import console\n"
        "console.run(lambda: (print('\\xe9tude \\u5b66\\u4e60'), console.page().print('\\u5b66 [b]')))"
    )
    child = typed(code, **C_LOCALE)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, b"")
    assert out == b"\\xe9tude \\u5b66\\u4e60\n\\u5b66 [b]\n"


def test_names_of_files_are_utf_8_in_any_locale(tmp_path: Path):
    folder = tmp_path / "données 学习"
    folder.mkdir()
    (folder / "space.yaml").write_text("study: x\nétude: 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "mer.tune", str(folder / "space.yaml")]
    told = subprocess.run(command, capture_output=True, env=os.environ | C_LOCALE, timeout=60)
    assert told.returncode == 2 and told.stdout == b""
    assert b"donn\\xe9es \\u5b66\\u4e60/space.yaml:2: \\xe9tude: unknown key." in told.stderr


def test_a_reader_that_leaves_interrupts_the_command():
    code = "from mer import console\ndef f():\n    while True: print('y' * 1000)\nconsole.run(f)"
    writer = typed(code)
    assert writer.stdout and writer.stderr
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.wait(timeout=60) == 130 and writer.stderr.read() == b""
    writer.stderr.close()


@pytest.mark.parametrize(
    "line", ["print('y' * 1000)", "print('y' * 1000, file=sys.stderr)", "raise MerError('a', 'b')"]
)
def test_a_reader_of_both_streams_that_leaves_is_no_signal(line: str):
    """`2>&1 | head`: what is said after the command's end goes nowhere, and ends nothing."""
    code = (
        f"import sys; from mer import console; from mer.errors import MerError\ndef f():\n  sys.stdin.read()\n  {line}"
    )
    words = [sys.executable, "-c", f"{code}\nconsole.run(f)"]
    writer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert writer.stdout and writer.stdin
    writer.stdout.close()
    writer.stdin.close()
    assert writer.wait(timeout=60) == (2 if "MerError" in line else 130)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_a_signal_interrupts_a_command(number: str):
    code = "import time; from mer import console\nconsole.run(lambda: (print('now', flush=True), time.sleep(60)))"
    child = typed(code)
    assert child.stdout
    child.stdout.readline()
    child.send_signal(getattr(signal, number))
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, b"interrupted\n")


def test_nohup_is_respected():
    code = "import time; from mer import console\nconsole.run(lambda: (print('now', flush=True), time.sleep(0.3)))"
    child = subprocess.Popen(["nohup", sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout
    child.stdout.readline()
    child.send_signal(signal.SIGHUP)
    assert child.wait(timeout=60) == 0
    child.stdout.close()


# -- commands to paste --


@pytest.mark.parametrize("name", ["my studies", "50% done", "run#2", "what?", "étude 学习", "it's", '"x"', "$(id)"])
def test_a_printed_command_is_split_into_the_words_that_were_meant(name: str):
    printed = command("mer.export", Path(name) / "a", "--trial", 3, *changed({"--studies": (Path(name), "studies")}))
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {printed}"], capture_output=True, text=True, timeout=10)
    words = ["python", "-m", "mer.export", f"{name}/a", "--trial", "3", "--studies", name]
    assert said.stdout.split("\0")[:-1] == words == shlex.split(printed)


def test_a_place_is_no_option():
    assert command("mer.export", Path("-x"), "--out", Path("--y")) == "python -m mer.export ./-x --out ./--y"
    assert changed({"--studies": (Path("studies"), "studies")}) == []


def test_a_tilde_is_the_home_folder_and_an_unknown_one_no_folder(tmp_path: Path):
    def told(studies: str) -> str:
        command = [sys.executable, "-m", "mer.export", "x", f"--studies={studies}"]
        given = os.environ | {"HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, env=given, timeout=60, text=True, cwd=tmp_path).stderr

    known = told("~/studies")
    assert f"{tmp_path}/studies" in known and "~" not in known
    assert told("~nosuchuser/x").startswith("error: ~nosuchuser/x: ~nosuchuser is nobody's home")


# -- one owner --


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_goes_past_the_owners(path: Path):
    """Consoles come from `page`, text goes to sys.stdout and sys.stderr, printed commands are built by `command`."""
    if path.is_relative_to("mer/terminal") or path.name == "quiet_server.py":  # that one quiets what MLflow prints
        return
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<!\w)Console\(|typer\.echo|click\.echo|sys\.__std|stdout\.buffer", text)
    if path.is_relative_to("mer"):
        assert not re.search(r"python -m (mer|analysis)[\w.]*[^\"'`\n]*\{", text), "build it with mer.terminal.commands"
