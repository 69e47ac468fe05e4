"""How `--seeds` is read."""

from __future__ import annotations

import pytest

from mer.errors import MerError
from mer.evaluate import join_seeds, parse_seeds


@pytest.mark.parametrize("text", ["0 42 43", "0,42,43", " 0, 42 43 "])
def test_seeds_by_space_or_comma(text: str) -> None:
    assert parse_seeds(text) == [0, 42, 43]


def test_a_shell_list_becomes_one_value() -> None:
    typed = ["exports/a", "--seeds", "0", "42", "--against", "exports/b"]
    assert join_seeds(typed) == ["exports/a", "--seeds", "0 42", "--against", "exports/b"]
    assert join_seeds(["--seeds", "1"]) == ["--seeds", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 42 0", "--seeds: 0 is there twice\n  next: give each seed once: a repeat tells nothing new"),
        ("0 x", "--seeds: 'x' is not a seed\n  allowed: whole numbers from 0, e.g. --seeds 0 42 43"),
        ("-1", "--seeds: '-1' is not a seed\n  allowed: whole numbers from 0, e.g. --seeds 0 42 43"),
        ("9999999999", "--seeds: '9999999999' is not a seed\n  allowed: whole numbers from 0, e.g. --seeds 0 42 43"),
        ("", "--seeds: no seed given\n  allowed: e.g. --seeds 0 42 43 114 3407"),
    ],
)
def test_what_is_no_list_of_seeds(text: str, message: str) -> None:
    with pytest.raises(MerError) as fault:
        parse_seeds(text)
    assert fault.value.message == message
