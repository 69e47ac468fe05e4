"""`mer.data check` finds what makes results wrong, says what should be known, and its exit code tells them apart.

Kinds C, D and K of what users reported: classes that train lacks, answers from nothing, clips that do not fit.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from media_files import write_flac, write_video
from meld_files import meld_csv

from mer.config import DataConfig
from mer.data import load_corpus
from mer.data.check import checked, summary
from mer.data.check.checked import Checked, check_rows
from mer.data.check.leakage import text_words
from mer.data.registry import survey_corpus

TIMES = {"StartTime": "00:00:01,000", "EndTime": "00:00:04,000"}


def row(dialogue: int, turn: int = 0, text: str = "", emotion: str = "neutral", **cells: str) -> dict[str, object]:
    """A turn with a text of its own."""
    named = {"Dialogue_ID": dialogue, "Utterance_ID": turn, "Emotion": emotion}
    return {**TIMES, **named, "Utterance": text or f"Sentence {turn} of a talk, number {dialogue}", **cells}


def by_kind(found: Checked) -> dict[str, tuple[str, str]]:
    return {one.kind: (one.level, one.words) for one in found.findings}


@pytest.fixture
def rows_of(meld_folder):
    """rows_of(train=[row, ...], dev=[...]) -> what a check of the rows finds."""

    def run(**splits) -> Checked:
        root = meld_folder(**splits)
        return check_rows(survey_corpus(DataConfig(root=str(root)), tuple(splits)))

    return run


# -- what splits share -----------------------------------------------------------------------------------------


def test_nothing_shared_is_sound(rows_of):
    found = rows_of(train=[row(0, Speaker="Ana")], dev=[row(1, Speaker="Bob")])
    assert found.findings == [] and found.exit_code == 0
    assert found.verdict == "sound: nothing was found that makes results wrong"


def test_speakers_are_a_note(rows_of):
    found = rows_of(train=[row(0)], dev=[row(1), row(2, Speaker="Zoe")])
    assert by_kind(found) == {
        "speakers": ("note", "splits share speakers: dev 1 of 2 with train; scores say little about new speakers")
    }
    assert found.exit_code == 0


def test_a_dialogue_under_another_name_makes_results_wrong(rows_of):
    talk = ["You never told me that before!", "I did.", "When?"]
    turns = [row(0, turn, text) for turn, text in enumerate(talk)]
    found = rows_of(train=turns, dev=[row(7, turn, text.upper()) for turn, text in enumerate(talk)])
    level, words = by_kind(found)["dialogues"]
    assert level == "wrong" and "dev 1 of 1 with train (dev/dia7 = train/dia0)" in words
    assert found.exit_code == 1 and found.verdict == "2 findings make results wrong"  # all its texts are shared too


def test_a_dialogue_torn_apart_makes_results_wrong_and_numbers_that_begin_anew_do_not(rows_of):
    torn = rows_of(train=[row(3, 0), row(3, 1)], dev=[row(3, 2), row(3, 3)])
    assert by_kind(torn)["dialogues"][0] == "wrong" and torn.leaks[1].examples == ("dev/dia3 = train/dia3",)
    anew = rows_of(train=[row(3, 0), row(3, 1)], dev=[row(3, 0, "Another talk"), row(3, 1, "with other words")])
    assert "dialogues" not in by_kind(anew)


@pytest.mark.parametrize(("copies", "level"), [(1, "note"), (3, "wrong")])
def test_many_equal_texts_make_results_wrong(rows_of, copies, level):
    train = [row(number) for number in range(20)]
    dev = [row(100 + number) for number in range(20 - copies)]
    found = rows_of(train=train, dev=dev + [row(300 + n, 0, str(train[n]["Utterance"])) for n in range(copies)])
    assert by_kind(found)["texts"][0] == level and f"dev {copies} of 20 with train" in by_kind(found)["texts"][1]


def test_short_texts_and_sentences_with_several_labels_are_apart(rows_of):
    """Everybody says "Yeah."; actors say one sentence in every emotion."""
    acted = "Kids are talking by the door"
    train = [row(0, 0, "Yeah."), row(1, 0, acted), row(2, 0, acted, "joy")]
    found = rows_of(train=train, dev=[row(8, 0, "yeah"), row(9, 0, f"{acted}!")])
    assert "texts" not in by_kind(found) and found.exit_code == 0
    assert [(leak.kind, leak.count) for leak in found.leaks if leak.kind != "speakers"] == [("common texts", 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don’t  KNOW, Ross…", ("i", "don't", "know", "ross")),
        ("我很难过。", ("我", "很", "难", "过")),
        ("...!?", ()),
        ("Ｃａｆé № 5", ("café", "no", "5")),
    ],
)
def test_texts_are_compared_by_their_words(text, words):
    assert text_words(text) == words


def test_equal_clips_make_results_wrong(tmp_path, typed):
    (tmp_path / "train_sent_emo.csv").write_text(meld_csv(row(0), row(1)))
    (tmp_path / "dev_sent_emo.csv").write_text(meld_csv(row(5, Speaker="Zoe")))
    first = write_flac(tmp_path / "audios/train/dia0_utt0.flac", 3.0)
    write_flac(tmp_path / "audios/train/dia1_utt0.flac", 3.0, hz=500)
    dev = tmp_path / "audios/dev/dia5_utt0.flac"
    write_flac(dev, 3.0, hz=300)
    assert typed("check", tmp_path)[0] == 0
    shutil.copy(first, dev)
    code, out, _ = typed("check", tmp_path, "--json", tmp_path / "found.json")
    assert code == 1 and "verdict: 1 finding makes results wrong" in out
    (leak,) = [one for one in json.loads((tmp_path / "found.json").read_text())["leakage"] if one["kind"] == "clips"]
    assert (leak["split"], leak["other"], leak["count"], leak["of"]) == ("dev", "train", 1, 1)
    assert leak["examples"] == ["audio dev/dia5_utt0 = train/dia0_utt0"]


# -- labels (kind C) -------------------------------------------------------------------------------------------


def test_a_class_that_train_lacks_makes_results_wrong(rows_of):
    found = rows_of(train=[row(0), row(1, 0, "", "anger")], dev=[row(2), row(3, 0, "", "joy")])
    level, words = by_kind(found)["unseen class"]
    assert (level, words) == ("wrong", "dev has 1 'joy' (emotion) and train none: no model can learn to answer it")
    assert by_kind(found)["class not in dev"][1].startswith("'anger' (emotion) occur in train and not in dev")


def test_labels_that_may_mean_none_are_named_with_what_leaves_them_out(tmp_path):
    """pandas writes nan where a cell was empty."""
    rows = "".join(f"sentence {n} of a talk,{('joy', 'nan', 'anger', 'N/A')[n % 4]}\n" for n in range(40))
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text("text,label\n" + rows)
    data = DataConfig(dataset="csv", root=str(tmp_path))
    words = by_kind(check_rows(survey_corpus(data, ("train", "dev"))))["label like none"][1]
    assert words == (
        "train has labels (emotion) that may mean none: 'N/A' (10), 'nan' (10); to leave them out: "
        "--set 'data.labels=[anger, joy]'"
    )
    left = survey_corpus(data.model_copy(update={"labels": ("anger", "joy")}), ("train", "dev"))
    assert "label like none" not in by_kind(check_rows(left))


def test_two_classes_of_seven_are_sound(rows_of):
    train, dev = ([row(first + n, 0, "", ("neutral", "anger")[n % 2]) for n in range(4)] for first in (0, 10))
    assert rows_of(train=train, dev=dev).exit_code == 0


# -- nothing to answer from (kind D) ---------------------------------------------------------------------------

CHINESE = ["我今天很开心", "他非常难过地走了", "我生气了"]


def test_texts_that_the_backbone_does_not_read_make_results_wrong(meld_folder, typed):
    texts = [row(number, 0, text) for number, text in enumerate(CHINESE)]
    root = meld_folder(train=texts, dev=[row(9, 0, "你在干什么呢")])
    code, out, _ = typed("check", root)
    said = " ".join(out.split())
    assert code == 1 and re.search(r"wrong \d+ % of tokens are unknown: backbone 'minilm' does not read Chinese", said)
    assert typed("check", root, "--backbone", "none")[0] == 0


@pytest.mark.parametrize("text", ["😂😂😂", "🎉", "…", "   "])
def test_texts_without_a_word_are_counted(rows_of, meld_folder, typed, text):
    found = rows_of(train=[row(0), row(1)], dev=[row(2), row(3, 0, text)])
    assert by_kind(found)["empty"] == ("note", "texts without a word: dev 1")


def test_no_text_and_no_clip_makes_results_wrong(rows_of):
    found = rows_of(train=[row(0, 0, " ")], dev=[row(1, 0, "?")])
    assert by_kind(found)["empty"] == ("wrong", "no utterance has a text, and there are no clips")


@pytest.fixture
def heard(tmp_path, typed):
    """heard(flac, modality) -> exit code, words of the findings, for 21 good clips and one made by `flac`."""

    def run(make, modality: str = "audio") -> tuple[int, dict[str, str]]:
        train, suffix = [row(number) for number in range(22)], {"audio": "flac", "video": "mp4"}[modality]
        (tmp_path / "train_sent_emo.csv").write_text(meld_csv(*train))
        (tmp_path / "dev_sent_emo.csv").write_text(meld_csv(row(90, Speaker="Zoe")))
        folder = tmp_path / f"{modality}s"
        good = write_flac if modality == "audio" else lambda path, seconds: write_video(path, round(25 * seconds))
        first = good(folder / f"train/dia0_utt0.{suffix}", 3.0)
        for number in range(1, 21):
            shutil.copy(first, folder / f"train/dia{number}_utt0.{suffix}")
        good(folder / f"dev/dia90_utt0.{suffix}", 2.9)
        make(folder / f"train/dia21_utt0.{suffix}")
        code, _, _ = typed("check", tmp_path, "--clips", "--backbone", "none", "--json", tmp_path / "found.json")
        found = json.loads((tmp_path / "found.json").read_text())["findings"]
        return code, {one["kind"]: one["words"] for one in found}

    return run


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: write_flac(path, samples=np.zeros(48000, np.float32)), "silent"),
        (lambda path: write_flac(path, samples=np.full(48000, 0.25, np.float32)), "silent"),  # a recorder's offset
        (lambda path: write_flac(path, 0.006), "shorter than 100 ms"),
        (lambda path: write_flac(path, 0.05), "shorter than 100 ms"),
    ],
    ids=["digital silence", "constant", "6 ms", "50 ms"],
)
def test_clips_that_say_nothing_are_counted(heard, make, reason):
    code, words = heard(make)
    assert code == 0
    assert words["silent"] == f"audio in which there is nothing to hear: train 1 (train/dia21_utt0: {reason})"


def test_a_clip_without_a_sound_track_is_named(heard):
    code, words = heard(lambda path: write_video(path.with_suffix(".mp4"), 75, sound=False).rename(path))
    assert code == 0
    assert words["unreadable"] == "audio that cannot be used: train 1 (train/dia21_utt0: no sound track)"


# -- clips of another length (kind K) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "make", "length"),
    [
        ("audio", lambda path: write_flac(path, 15.0), "15.00"),
        ("audio", lambda path: write_flac(path, 0.5), "0.50"),
        ("audio", lambda path: write_flac(path, 5.0), "5.00"),
        ("video", lambda path: write_video(path, 150), "6.00"),
    ],
    ids=["15 s", "half a second", "5 s", "a video of 6 s"],
)
def test_a_clip_of_another_length_than_the_data_say_is_named(heard, modality, make, length):
    code, words = heard(make, modality)
    assert code == 0
    assert words["other length"] == (
        f"{modality} of another length than the data say: train 1 (train/dia21_utt0: {length} s instead of 3.00 s)"
    )


def test_small_differences_of_length_are_none(heard):
    assert "other length" not in heard(lambda path: write_flac(path, 4.2))[1]


def test_lengths_that_differ_throughout_make_results_wrong(tmp_path, typed):
    (tmp_path / "train_sent_emo.csv").write_text(meld_csv(row(0), row(1)))
    for number in (0, 1):
        write_flac(tmp_path / f"audios/train/dia{number}_utt0.flac", 9.0)
    code, out, _ = typed("check", tmp_path)
    said = " ".join(out.split())
    assert code == 1
    assert "wrong audio of train: 2 of 2 clips (100%) have another length than the data say; scores with audio" in said


# -- the published data, the page, the JSON --------------------------------------------------------------------


def test_facts_of_published_data_are_shown_as_such(rows_of, monkeypatch):
    class Published:
        def official(self, root: Path, split: str) -> bool:
            return True

    monkeypatch.setattr(summary, "find_dataset", lambda name: Published())
    talk = [row(0, 0, "You never told me that before!"), row(0, 1, "I did.")]
    found = rows_of(train=talk, dev=[{**turn, "Dialogue_ID": 4} for turn in talk])
    assert {one.level for one in found.findings} == {"known"} and found.exit_code == 0


def test_the_json_holds_the_whole_check(meld_folder, typed, tmp_path):
    root, file = meld_folder(train=[row(0), row(1)], dev=[row(2)]), tmp_path / "elsewhere" / "found.json"
    code, out, _ = typed("check", root, "--json", file)
    found = json.loads(file.read_text())
    assert code == found["exit_code"] == 0 and f"written: {file}" in out
    assert found["splits"]["train"]["speaker_counts"] == {"Adira": 2} and found["clips_were"] == "not looked at"
    assert found["splits"]["dev"]["label_counts"]["emotion"]["neutral"] == 1
    assert found["tokens"]["backbone"] == "minilm" and found["format"] == checked.FORMAT
    again = check_rows(load_corpus("meld", root))
    assert found["data_sha256"] == again.data_sha256 and len(set(found["data_sha256"].values())) == 2


@pytest.mark.parametrize("width", [80, 140])
def test_the_page_fits_the_terminal(meld_folder, typed, monkeypatch, width):
    root = meld_folder(train=[row(n, Speaker=f"S{n % 9}") for n in range(30)], dev=[row(50, Speaker="S1")])
    write_flac(root / "audios/train/dia0_utt0.flac", 3.0)
    real = monkeypatch.setenv
    monkeypatch.setattr(monkeypatch, "setenv", lambda name, value: real(name, str(width)))
    out = typed("check", root)[1]
    tables = [line for line in out.splitlines() if line[:1] in "┏┃│└├┡"]
    assert tables and max(map(len, out.splitlines()[:-1])) <= width and "…" not in "".join(tables)


@pytest.mark.real
def test_the_real_meld_is_sound_and_its_facts_are_known(real_data, typed):
    code, out, _ = typed("check", real_data("meld"))
    said = " ".join(out.split())
    assert code == 0 and "known splits share speakers: dev 33 of 47 with train, test 69 of 100 with train" in said
    assert "known: a fact of the published data; nothing to mend" in said and " note " not in said
