"""Paths as users write them: homes, and variables of the environment."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from mer.errors import MerError
from mer.places import expanded, home


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name, value in {"SCRATCH": "/scratch/me", "EMPTY": "", "ODD": "${SCRATCH}", "MY_TOKEN": "t0p"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOT_SET", raising=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("${SCRATCH}/MELD", "/scratch/me/MELD"),
        ("a/${SCRATCH}${SCRATCH}", "a//scratch/me/scratch/me"),
        ("${NOT_SET:-data}/MELD", "data/MELD"),
        ("${EMPTY:-data}", "data"),
        ("${NOT_SET:-}x", "x"),
        ("${SCRATCH:-data}", "/scratch/me"),
        ("${ODD}", "${SCRATCH}"),
        ("$SCRATCH/50% off", "$SCRATCH/50% off"),
        ("plain", "plain"),
    ],
)
def test_variables(text, path):
    assert expanded(text, "data.root") == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "${NOT_SET}/x",
            "data.root: the environment variable NOT_SET is not set\n"
            "  allowed: ${NOT_SET:-DEFAULT} where it may be missing\n"
            "  next: export NOT_SET=... and run the command again",
        ),
        ("${EMPTY}/x", "data.root: the environment variable EMPTY is not set\n"),
        ("${MY_TOKEN}/x", "data.root: the variable MY_TOKEN looks like a secret, which no path may hold"),
        ("${MY_TOKEN:-x}", "data.root: the variable MY_TOKEN looks like a secret, which no path may hold"),
        ("${SCRATCH", "data.root: got '${SCRATCH'\n  allowed: ${NAME}, or ${NAME:-what to take when it is not set}"),
        ("${}", "data.root: got '${}'"),
        ("${a b}", "data.root: got '${a b}'"),
        ("${NOT_SET:-${SCRATCH}}", "data.root: got"),
        ("x" * 5000, "data.root: got a path of 5000 characters\n  allowed: at most 4096"),
    ],
)
def test_refused(text, message):
    with pytest.raises(MerError) as caught:
        expanded(text, "data.root")
    assert str(caught.value).startswith(message)


def test_homes(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert home("~/x") == Path("/home/me/x") and home(Path("a~/x")) == Path("a~/x")
    with pytest.raises(MerError) as caught:
        home("~nosuchuser/x", "data.root")
    assert str(caught.value).startswith("data.root: ~nosuchuser is nobody's home on this machine\n")
    with pytest.raises(MerError, match="~nosuchuser/x: ~nosuchuser is nobody"):
        home("~nosuchuser/x")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("mer.export", ["~nosuchuser/x", "--out", "x"]),
        ("mer.predict", ["~nosuchuser/x", "--text", "x"]),
        ("mer.data", ["check", "~nosuchuser/x"]),
    ],
)
def test_commands_name_the_home_of_nobody(module, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [module, *words])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{module}.__main__" if module == "mer.data" else module).main()
    assert ended.value.code == 2
    assert "~nosuchuser is nobody's home on this machine" in capsys.readouterr().err
