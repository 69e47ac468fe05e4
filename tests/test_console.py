"""Messages and exit codes of commands when something goes wrong."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys

import pytest
import typer

from mer import cli, console, tune
from mer.cli_app import launch
from mer.errors import Faults, MerError, did_you_mean

FAULT = MerError("space.yaml:3", "no such key 'lr'", allowed="head_lr", then="write optim.head_lr")


@pytest.fixture
def ended(monkeypatch, capsys):
    """ended(fault, *argv) -> (exit code, stderr) of a command that raises `fault`."""
    for name in console.QUIET_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    def run(fault: BaseException, *argv: str) -> tuple[object, str]:
        def command() -> None:
            raise fault

        monkeypatch.setattr(sys, "argv", ["mer", *argv])
        with pytest.raises(SystemExit) as end:
            console.run(command)
        out, err = capsys.readouterr()
        assert out == ""
        return end.value.code, err

    return run


def test_a_users_fault_is_one_message(ended):
    message = "error: space.yaml:3: no such key 'lr'\n  allowed: head_lr\n  next: write optim.head_lr\n"
    assert ended(FAULT) == (2, message)


def test_debug_shows_the_traceback_too(ended):
    code, err = ended(FAULT, "--debug")
    assert code == 2 and err.startswith("Traceback") and err.endswith("  next: write optim.head_lr\n")
    assert ended(PermissionError(13, "Permission denied", "/x"), "--debug")[1].startswith("Traceback")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(28, "x", "/data/f"), ["/data/f: No space left on device", "mer.features gc", "same command"]),
        (PermissionError(13, "x", "/data/f"), ["/data/f: Permission denied", "mend its permissions"]),
        (OSError(30, "x", "/data/f"), ["/data/f: Read-only file system", "choose another folder"]),
        (FileNotFoundError(2, "x", "/data/f"), ["/data/f: No such file", "check the path"]),
        (OSError("the hub is away"), ["file system: the hub is away", "--debug"]),
    ],
)
def test_the_operating_systems_refusals_are_explained(ended, fault, words):
    code, err = ended(fault)
    assert code == 2 and err.startswith("error: ") and "Traceback" not in err
    assert all(word in err for word in words), err


def test_an_interrupted_command_says_how_to_go_on_once(capsys):
    class Told(KeyboardInterrupt):
        """The user knows."""

    for stop, said in ((KeyboardInterrupt(), "interrupted\n  next: type it again\n"), (Told(), "interrupted\n")):

        def command(stop=stop):
            raise stop

        with pytest.raises(SystemExit) as end:
            console.run(command, "type it again")
        assert (end.value.code, capsys.readouterr().err) == (130, said)
        app = typer.Typer()
        app.command()(command)
        with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["x"])
            launch(app, "x", "type it again")
        assert capsys.readouterr().err == said


def test_interruption_and_the_unexpected(ended):
    assert ended(KeyboardInterrupt()) == (130, "interrupted\n")
    code, err = ended(ZeroDivisionError("oh"))
    assert code == 1 and err.startswith("error: unexpected ZeroDivisionError: oh\n  next: run it again with --debug")
    assert "Traceback" not in err


def test_the_unexpected_with_debug_has_its_traceback(ended):
    code, err = ended(ZeroDivisionError("oh"), "--debug")
    assert code == 1 and err.startswith("Traceback") and "error: unexpected ZeroDivisionError: oh" in err


def test_success_says_nothing_and_libraries_are_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mer"])
    for name in console.QUIET_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    seen = {}
    console.run(lambda: seen.update(os.environ))
    assert capsys.readouterr() == ("", "")
    assert seen["RAY_USAGE_STATS_ENABLED"] == "0" and seen["TRANSFORMERS_VERBOSITY"] == "info"


def in_process(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)


def test_in_a_real_process():
    raising = (
        "from mer import console; from mer.errors import MerError\ndef f(): raise MerError('a', 'b')\nconsole.run(f)"
    )
    ended = in_process(raising)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "error: a: b\n")
    unexpected = in_process("from mer import console; console.run(lambda: 1 / 0)", "--debug")
    assert unexpected.returncode == 1 and "ZeroDivisionError" in unexpected.stderr


def test_the_command_without_words_says_what_there_is():
    for argv in ([], ["--help"], ["-h"]):
        ended = subprocess.run([sys.executable, "-m", "mer", *argv], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0 and ended.stderr == "" and "usage: mer COMMAND" in ended.stdout
        assert all(name in ended.stdout for name in ("tune", "data", "features"))
    ended = subprocess.run([sys.executable, "-m", "mer", "tun"], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and ended.stdout == "" and "unknown command 'tun'" in ended.stderr


def test_a_command_is_handed_its_words(monkeypatch):
    seen = []
    monkeypatch.setattr(tune, "main", lambda: seen.append(list(sys.argv)))
    monkeypatch.setattr(sys, "argv", ["mer", "tune", "x.yaml", "--resume"])
    cli.main()
    assert seen == [["mer tune", "x.yaml", "--resume"]]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_exists(command):
    module, words = cli.COMMANDS[command]
    assert callable(getattr(importlib.import_module(module), "main", None)), f"{module} has no main()"
    assert words


def test_errors_survive_pickling():
    copy = pickle.loads(pickle.dumps(FAULT))  # noqa: S301
    assert type(copy) is MerError and copy.message == FAULT.message and copy.then == FAULT.then
    faults = Faults("x.yaml", [FAULT, MerError("b", "c")])
    copied = pickle.loads(pickle.dumps(faults))  # noqa: S301
    assert type(copied) is Faults and str(copied) == str(faults) == f"{FAULT.message}\nb: c"


def test_did_you_mean():
    assert did_you_mean("temprature", ["temperature", "weight"]) == " Did you mean 'temperature'?"
    assert did_you_mean("zzz", ["temperature"]) == "" == did_you_mean("zzz", [])


def test_what_a_user_typed_in_square_brackets_is_printed(monkeypatch, capsys):
    """`--set 'data.labels=[laut, ruhig]'` in the command that goes on with a study was cut off as markup."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    for typed in ("--set 'data.labels=[laut, ruhig]'", "[/b]", "x" * 150):
        console.page().print(typed)
        assert capsys.readouterr().out == f"{typed}\n"


def test_a_file_that_ends_too_early_is_no_interruption(monkeypatch, capsys):
    """Typer takes every EOFError for the end of what a user types."""
    app = typer.Typer()

    @app.command()
    def read() -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr(sys, "argv", ["mer.read"])
    with pytest.raises(SystemExit) as end:
        launch(app, "mer.read")
    assert end.value.code == console.EXIT_UNEXPECTED
    assert "error: unexpected EOFError: Ran out of input" in capsys.readouterr().err


ENDED_BY_CTRL_C = ("ui", "demo")  # servers: Ctrl-C is how they end


@pytest.mark.parametrize("name", sorted({*cli.COMMANDS} - {*ENDED_BY_CTRL_C, "completion"}))
def test_every_command_says_how_to_go_on_after_an_interruption(name, monkeypatch):
    """Also in the seconds before a study has begun, while the space is read and libraries are imported."""
    module, told = importlib.import_module(cli.COMMANDS[name][0]), []
    monkeypatch.setattr(module, "launch", lambda app, module, then="": told.append(then))
    monkeypatch.setattr("sys.argv", [f"mer {name}"])
    module.main()
    assert len(told) == 1 and told[0]
