"""The live table: who runs, who waits for a place, how far the study is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from study_helpers import report
from test_study_packs import TWO_WIDTHS, WIDTHS
from test_study_slots import open_slots

from mer.study.search.slots import Slots
from mer.study.show.live_table import Display


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """A study of 6 trials of two shapes, in packs of 2, shown on a terminal."""
    points = "".join(f"  - {{optim.head_lr: {n + 1}e-3, head.hidden: {width}}}\n" for n, width in enumerate(WIDTHS))
    slots = open_slots(tmp_path, monkeypatch, 2, TWO_WIDTHS, ("  - {optim.head_lr: 1e-3, head.hidden: 32}\n", points))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    slots.engine.listeners.append(Display(slots.engine.spec, 6, console=console))
    return slots


def drawn(slots: Slots) -> list[str]:
    (display,) = slots.engine.listeners
    assert isinstance(display, Display)
    console = Console(file=io.StringIO(), width=100)
    console.print(display._table())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_who_waits_for_a_place_is_not_said_to_run(slots: Slots) -> None:
    slots.fill("a")  # trials 0 and 2; trial 1 was asked too, and is of another shape
    head, _, _, *lines = drawn(slots)
    assert head == "small      running 2  waiting 1"
    assert [line.split()[0] for line in lines] == ["00000", "00002"]
    slots.fill("b")
    head, _, _, *lines = drawn(slots)
    assert head == "small      running 4", "nobody waits, so nothing is said of it"
    assert [line.split()[0] for line in lines] == ["00000", "00001", "00002", "00003"]


def test_a_trial_that_lost_its_worker_waits_with_what_it_had(slots: Slots) -> None:
    slots.fill("a")
    slots.record("a", [report(0, [0.5])])
    slots.close("a", lost=True)
    assert drawn(slots)[0] == "small      running 0  waiting 3"
    slots.fill("b"), slots.fill("c")  # 1 waited longest, then both of the lost slot
    head, _, _, first, *_ = drawn(slots)
    assert head.endswith("running 3") and first.split()[-3:] == ["1/6", "50.00", "50.00"]


def test_an_ended_trial_leaves_the_table(slots: Slots) -> None:
    slots.fill("a")
    slots.record("a", [report(0, [0.5], "finished"), report(2, [0.4], "error", reason="boom")])
    head, progress, *_ = drawn(slots)
    assert head.split()[:5] == ["small", "failed", "1", "finished", "1"]
    assert progress.startswith("2/6 trials, best 50.00 (trial 0), trial 0 50.00, ")


def test_the_three_best_are_shown_with_their_settings_and_how_the_best_rose(slots: Slots) -> None:
    slots.fill("a"), slots.fill("b")
    for slot, number, score in (("a", 0, 0.3), ("b", 1, 0.5), ("a", 2, 0.4), ("b", 3, 0.2)):
        slots.record(slot, [report(number, [score], "finished")])
    lines = drawn(slots)
    start = next(index for index, line in enumerate(lines) if line.split()[:1] == ["best"])
    assert lines[start].split() == ["best", "weighted_f1", "▁███"]
    assert [line.split()[:2] for line in lines[start + 1 : start + 4]] == [
        ["00001", "50.00"], ["00002", "40.00"], ["00000", "30.00"],
    ]  # fmt: skip
    assert "head_lr=2e-3" in lines[start + 1] and "hidden=" in lines[start + 1]


def test_places_of_packs_are_shown_and_single_ones_are_not(slots: Slots) -> None:
    slots.fill("a"), slots.fill("b")
    (display,) = slots.engine.listeners
    display.tick(slots.occupied)
    assert "2 workers, packs of 2 of 2, 2 of 2 places" in drawn(slots)
    display.tick([(1, 1), (1, 1)])
    assert not any("workers" in line for line in drawn(slots))


def test_rows_are_cut_where_the_terminal_ends(slots: Slots) -> None:
    slots.fill("a")
    slots.record("a", [report(0, [0.5], "finished")])
    (display,) = slots.engine.listeners
    console = Console(file=io.StringIO(), width=40)
    console.print(display._table())
    assert max(len(line.rstrip()) for line in console.file.getvalue().splitlines()) <= 40
