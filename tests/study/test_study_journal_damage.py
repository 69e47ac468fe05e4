"""A damaged journal: what is whole is kept, what is not is named, and nothing begins anew beside it."""

from __future__ import annotations

import pytest
from ledger_lab import finish
from optuna.trial import TrialState
from study_helpers import make_spec, open_ledger

from mer.errors import MerError
from mer.study.search.journal import readable_journal


@pytest.mark.parametrize("garbage", [b"{", b'{"op_code": 4, "worker', b"\x00\x00", b"x" * 5000])
def test_a_torn_last_line_is_dropped(tmp_path, garbage):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + garbage)
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.trials()[0].state == TrialState.COMPLETE
    finish(heir, heir.next_assignment())
    assert [t.state.name for t in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE"] * 2
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


DAMAGED_ENDS = [b"\n", b"\n\n \t\n", b"garbage\n", b"\xff\xfe\n\x00\x00\n5\n[1]\n{}\n", b'{"op_code": "4"}\n\n{']


@pytest.mark.parametrize("end", DAMAGED_ENDS)
def test_a_damaged_end_costs_no_whole_line(tmp_path, end):
    """`echo >> journal.log`, an editor, a power cut: the study goes on, and what was whole is there."""
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + end)
    with readable_journal(tmp_path / "s", "small") as readable:  # readers change nothing
        assert readable.trials[0].state == TrialState.COMPLETE
    assert journal.read_bytes() == whole + end
    for done in (2, 3):
        heir = open_ledger(tmp_path / "s", spec)
        finish(heir, heir.next_assignment())
        assert [t.state.name for t in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE"] * done
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


def test_a_last_line_that_lost_only_its_newline_is_kept(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-1])
    assert open_ledger(tmp_path / "s", spec).trials()[0].state == TrialState.COMPLETE
    assert journal.read_bytes().startswith(whole)


def test_blank_lines_in_the_middle_are_taken_out(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"\n", b"\n\n", 2))
    assert open_ledger(tmp_path / "s", spec).trials()[0].state == TrialState.COMPLETE
    assert journal.read_bytes().startswith(whole)


def test_damage_in_the_middle_is_named_and_left_as_it_is(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    lines = journal.read_bytes().split(b"\n")
    damaged = b"\n".join([*lines[:2], b"\x1b]0;title", *lines[2:]])
    journal.write_bytes(damaged)
    said = rf"(?s)journal\.log:3: is damaged: '.*x1b]0;title' is no operation.*next: .*sed -i 3d {journal}\n.*--fresh"
    with pytest.raises(MerError, match=said):
        open_ledger(tmp_path / "s", spec)
    with pytest.raises(MerError, match=said), readable_journal(tmp_path / "s", "small"):
        pass
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"x", b"\x00" * 4096, b"{}\n{}\n"])
def test_a_file_without_one_whole_line_does_not_begin_a_new_study(tmp_path, content):
    """The trials of an overwritten journal are still in their folders: a study that began at 0 would mix with them."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "journal.log").write_bytes(content)
    with pytest.raises(MerError, match=r"journal\.log:1: is damaged: .*and no line of it is whole"):
        open_ledger(tmp_path / "s", make_spec(tmp_path))
    assert (tmp_path / "s" / "journal.log").read_bytes() == content


def test_a_journal_that_is_only_a_torn_line(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "journal.log").write_bytes(b'{"op_')
    assert open_ledger(tmp_path / "s", make_spec(tmp_path)).next_assignment().number == 0
