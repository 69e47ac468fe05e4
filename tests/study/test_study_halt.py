"""When failures of trials stop a study: those of one shape count once where the study has tried others."""

from __future__ import annotations

import pytest

from mer.study.search.halt import Halt
from mer.study.search.live_trial import Ending

BOOM, WELL, NAN = Ending("error", "boom 7"), Ending("finished", ""), Ending("nonfinite", "the loss became nan")


def after(tried: str, *endings: tuple[Ending, str]) -> Halt:
    """Args: tried: shapes that were handed out, a letter each; endings: and the shape of the trial."""
    halt = Halt()
    for shape in tried:
        halt.tried(shape)
    for ending, shape in endings:
        halt.note(ending, shape)
    return halt


def failing(shapes: str) -> list[tuple[Ending, str]]:
    return [(BOOM, shape) for shape in shapes]


@pytest.mark.parametrize(
    ("tried", "shapes", "stops"),
    [
        ("a", "aaaaa", True),  # there is no other shape that could go well
        ("a", "aaaa", False),
        ("ab", "aaaaaaaa", False),  # a pack of one shape, which may be what is wrong
        ("ab", "aaaaaaaab", True),  # so is the other
        ("abcdefg", "aaabbcc", False),
        ("abcdefg", "abcde", True),
    ],
)
def test_failures_in_a_row_by_one_cause(tried: str, shapes: str, stops: bool) -> None:
    halt = after(tried, (WELL, "a"), *failing(shapes))
    assert bool(halt) is stops
    assert halt._pattern == (f"{len(shapes)} trials in a row failed alike" if stops else "")


@pytest.mark.parametrize(
    ("tried", "shapes", "stops"),
    [("a", "aaa", True), ("abc", "aaa", False), ("abc", "aaabc", True), ("ab", "aab", True), ("abcd", "abc", True)],
)
def test_the_first_failures(tried: str, shapes: str, stops: bool) -> None:
    endings = [(Ending("error", f"boom {letter}"), shape) for letter, shape in zip("uvwxy", shapes, strict=False)]
    halt = after(tried, *endings)
    assert bool(halt) is stops
    assert halt._pattern == (f"the first {len(shapes)} trials all failed" if stops else "")


def test_what_is_no_failure_of_the_first_three() -> None:
    """A loss that is not a number: that trial did train."""
    assert not after("abc", (NAN, "a"), *failing("bca"))
    assert not after("abc", *failing("ab"), (NAN, "c"), (BOOM, "c"))
    assert after("abc", *failing("abc"))
