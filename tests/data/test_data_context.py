"""Windows and the text in them."""

from __future__ import annotations

import pytest

from mer.data import Dialogue, Utterance, normalise, windows
from mer.data.text import repair_c1
from mer.errors import MerError


def dialogue(name: str, *turns: tuple[str, str]) -> Dialogue:
    said = [
        Utterance("train", name, 2 * number, speaker, text, "neutral", "neutral", None, None)
        for number, (speaker, text) in enumerate(turns)
    ]
    return Dialogue(f"train/{name}", tuple(said))


ONE = dialogue("dia0", ("Joey", "a"), ("Ross", "b"), ("Joey", "c"), ("Monica", "d"))
TWO = dialogue("dia1", ("Ross", "e"), ("Joey", "f"))


def turns(past, future) -> list[str]:
    return ["".join(window.turns) for window in windows([ONE, TWO], past=past, future=future, speaker="none")]


def test_past_future_and_all_stay_inside_their_dialogue():
    assert turns(0, 0) == ["a", "b", "c", "d", "e", "f"]
    assert turns(1, 0) == ["a", "ab", "bc", "cd", "e", "ef"]
    assert turns(0, 2) == ["abc", "bcd", "cd", "d", "ef", "f"]
    assert turns("all", 0) == ["a", "ab", "abc", "abcd", "e", "ef"]
    assert turns(1, 1) == ["ab", "abc", "bcd", "cd", "ef", "ef"]


@pytest.mark.parametrize("past", [0, 1, 2, "all"])
@pytest.mark.parametrize("future", [0, 1, 5])
def test_target_points_at_the_utterance_itself(past, future):
    made = windows([ONE, TWO], past=past, future=future, speaker="none")
    assert [window.turns[window.target] for window in made] == list("abcdef")
    assert [window.id for window in made] == [
        "train/dia0_utt0",
        "train/dia0_utt2",
        "train/dia0_utt4",
        "train/dia0_utt6",
        "train/dia1_utt0",
        "train/dia1_utt2",
    ]


@pytest.mark.parametrize(
    ("style", "expected", "speaker"),
    [
        ("none", ("b", "c"), "Joey"),
        ("name", ("Ross: b", "Joey: c"), "Joey"),
        ("name_says", ("Ross says: b", "Joey says: c"), "Joey"),
        ("upper", ("ROSS: b", "JOEY: c"), "JOEY"),
        ("local", ("<s2> b", "<s1> c"), "<s1>"),
    ],
)
def test_speaker_styles(style, expected, speaker):
    window = windows([ONE], past=1, future=0, speaker=style)[2]
    assert (window.turns, window.speaker) == (expected, speaker)


def test_local_speakers_are_numbered_by_first_appearance_in_each_dialogue():
    made = windows([ONE, TWO], past=0, future=0, speaker="local")
    assert [window.speaker for window in made] == ["<s1>", "<s2>", "<s1>", "<s3>", "<s1>", "<s2>"]


def test_turns_are_normalised():
    said = dialogue("dia0", ("Zoë", " I don’t… know —  really "))
    assert windows([said], past=0, future=0, speaker="name")[0].turns == ("Zoë: I don't... know -- really",)


def test_what_cannot_be_a_window_is_refused():
    with pytest.raises(
        MerError, match=r"speaker: unknown style 'nmae'\. Did you mean 'name'\?\n  allowed: none, name,"
    ):
        windows([ONE], past=0, future=0, speaker="nmae")
    with pytest.raises(MerError, match="past: -1\n  allowed: a number of turns, 0 or more, or 'all'"):
        windows([ONE], past=-1, future=0, speaker="none")
    with pytest.raises(MerError, match="past: 'most'"):
        windows([ONE], past="most", future=0, speaker="none")
    with pytest.raises(MerError, match="future: -2"):
        windows([ONE], past=0, future=-2, speaker="none")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Don’t” – he said", '"Don\'t" - he said'),
        ("wait—what…", "wait--what..."),
        ("I don\u0092t\u0085 \u0093ever\u0094", 'I don\'t... "ever"'),
        ("  a\u00a0 b\t\nc\u2028d ", "a b c d"),
        ("café\u200b", "café"),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected
    assert normalise(expected) == expected


def test_c1_repair_leaves_everything_else_alone():
    right = "".join(chr(code) for code in range(0x2100) if not 0x80 <= code < 0xA0)
    assert repair_c1(right) == right
    # Exactly what re-encoding as Latin-1 and decoding as cp1252 gives, wherever cp1252 has a character.
    wrong = "".join(chr(code) for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D))
    assert repair_c1(wrong) == wrong.encode("latin-1").decode("cp1252")
