"""The quick start, typed: every command in order in a fresh folder; and the commands that are printed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from page_door import Door
from page_folder import make_folder, type_page
from page_typist import Page

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1500)]
MOST_FOLLOWED = 14


def test_the_quick_start_works_as_printed(quick_start: Page):
    assert [one.program for one in quick_start.ran][:2] == ["mer.data", "mer.tune"]  # of `make demo`
    assert (quick_start.folder / "exports/spcl-meld-text/evaluation.json").exists()


def printed_commands(output: str) -> Iterator[str]:
    """Commands that a command printed for the user to paste; none with a place to fill in."""
    for line in output.splitlines():
        if (found := re.search(r"(?:^|: +|^ +)(python -m (?:mer|analysis)\.\S+ .*?)(?:  \(.*\))?$", line)) and (
            "STUDY" not in found[1] and "RAW" not in found[1]
        ):
            yield found[1]


def test_commands_that_are_printed_work(door: Door, tmp_path_factory: pytest.TempPathFactory):
    """From `make demo` on, every printed command is typed as it is, then those that it prints."""
    folder = tmp_path_factory.mktemp("followed")
    make_folder(folder, door.path)
    before, page, seen = len(door.ran), folder / "page.md", set()
    page.write_text("    make demo\n", encoding="utf-8")
    assert not (ended := type_page(page, folder)).failed, ended.failed
    waiting = [one for ran in door.ran[before:] for one in printed_commands(ran.output)]
    while waiting and len(seen) < MOST_FOLLOWED:
        command = waiting.pop(0)
        if (kind := re.sub(r"\d+", "0", command)) in seen:
            continue
        seen.add(kind)
        at = len(door.ran)
        page.write_text(f"    {command}\n", encoding="utf-8")
        assert not (ended := type_page(page, folder)).failed, ended.failed
        assert all(ran.code == 0 for ran in door.ran[at:]), command
        waiting += [one for ran in door.ran[at:] for one in printed_commands(ran.output)]
    modules = {kind.split()[2] for kind in seen}
    assert {"mer.data", "mer.tune", "mer.ui", "analysis.report", "mer.export", "mer.evaluate", "mer.predict"} <= modules
