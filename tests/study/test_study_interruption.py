"""An interrupted command says how to go on: before its study began, and once the journal is there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from study_helpers import make_spec, open_ledger

from mer.study import runner
from mer.study.preflight.interruption import OrderlyStop, going_on_told
from mer.study.preflight.run_options import RunOptions
from mer.study.runner import run_study
from mer.study.space.spec import StudySpec


def told(spec: StudySpec, options: RunOptions, *, between: object = None) -> str:
    """What is said when Ctrl-C comes in the block. Args: between: done in it before."""
    out = io.StringIO()
    with pytest.raises(OrderlyStop), going_on_told(options, spec, Console(file=out, width=40)):
        if callable(between):
            between()
        raise KeyboardInterrupt
    return out.getvalue()


def options_of(tmp_path: Path, **typed: bool) -> RunOptions:
    command = "python -m mer.tune 'my space.yaml' --set optim.epochs=3"
    return RunOptions(tmp_path, tmp_path / "features", command=command, trials=4, **typed)


NOTHING = "interrupted before the study began: nothing is lost. Begin again with\n"
BEGUN = "interrupted: nothing is lost. Go on with\n"
TYPED = "  python -m mer.tune 'my space.yaml' --set optim.epochs=3 --trials 4"


def test_before_and_after_the_journal_is_there(tmp_path: Path) -> None:
    spec, options = make_spec(tmp_path), options_of(tmp_path)
    assert told(spec, options) == f"{NOTHING}{TYPED}\n"
    assert told(spec, options, between=lambda: open_ledger(tmp_path / "small", spec)) == f"{BEGUN}{TYPED} --resume\n"
    assert told(spec, options_of(tmp_path, resume=True)) == f"{BEGUN}{TYPED} --resume\n"
    again = options_of(tmp_path, resume=True, retry_failed=True)
    assert told(spec, again) == f"{BEGUN}{TYPED} --resume --retry-failed\n"


def test_a_study_that_was_to_be_put_aside(tmp_path: Path) -> None:
    spec, options = make_spec(tmp_path), options_of(tmp_path, fresh=True)
    open_ledger(tmp_path / "small", spec)
    assert told(spec, options) == f"{NOTHING}{TYPED} --fresh\n", "the former one is still there"

    def replace() -> None:
        (tmp_path / "small").rename(tmp_path / "aside")
        open_ledger(tmp_path / "small", spec)

    assert told(spec, options, between=replace) == f"{BEGUN}{TYPED} --resume\n"


def test_who_has_said_it_says_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "check_study", interrupted)
    spec, options, out = make_spec(tmp_path), options_of(tmp_path), io.StringIO()
    console = Console(file=out)
    with pytest.raises(KeyboardInterrupt), going_on_told(options, spec, console):
        run_study(spec, options, console)
    assert out.getvalue() == f"{NOTHING}{TYPED}\n"
