"""Readers: the quirks they absorb and the files they open."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mer.data import load_corpus
from mer.data.tables.times import interval_s, seconds

EMORY_HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time"


def test_utterances_come_in_the_order_of_their_numbers_with_unique_ids(meld_folder):
    root = meld_folder(
        train=[
            {"Dialogue_ID": 4, "Utterance_ID": 7, "Utterance": "third"},
            {"Dialogue_ID": 4, "Utterance_ID": 2, "Utterance": "first"},
            {"Dialogue_ID": 1, "Utterance_ID": 0, "Utterance": "alone"},
            {"Dialogue_ID": 4, "Utterance_ID": 3, "Utterance": "second"},
        ],
        dev=[{"Dialogue_ID": 4, "Utterance_ID": 2}],
    )
    corpus = load_corpus("meld", root)
    assert [u.text for u in corpus.utterances("train")] == ["first", "second", "third", "alone"]
    assert [u.id for u in corpus.utterances("train")] == [
        "train/dia4_utt2",
        "train/dia4_utt3",
        "train/dia4_utt7",
        "train/dia1_utt0",
    ]
    assert [d.id for d in corpus.dialogues("train")] == ["train/dia4", "train/dia1"]
    assert corpus.utterances("dev")[0].id == "dev/dia4_utt2"


def test_labels_are_numbers_in_the_stated_order(meld_folder):
    root = meld_folder(
        train=[
            {"Utterance_ID": 0, "Emotion": "surprise", "Sentiment": "negative"},
            {"Utterance_ID": 1, "Emotion": " Joy ", "Sentiment": "positive"},
            {"Utterance_ID": 2},
        ]
    )
    corpus = load_corpus("meld", root, ["train"])
    assert corpus.label_names["emotion"] == ("neutral", "joy", "surprise")  # those of train, in MELD's order
    assert corpus.labels("train", "emotion").tolist() == [2, 1, 0]
    assert corpus.labels("train", "sentiment").tolist() == [2, 1, 0]
    assert corpus.labels("train", "emotion").dtype == np.int64


def test_only_the_asked_splits_are_opened(meld_folder):
    root = meld_folder(train=[{}], dev=[{}], test=b"\xff\xfe garbage")
    assert set(load_corpus("meld", root).splits) == {"train", "dev"}
    (root / "test_sent_emo.csv").unlink()
    assert set(load_corpus("meld", root, ["dev"]).splits) == {"dev"}


def test_u0085_inside_a_text_is_a_broken_ellipsis_not_a_line_end(meld_folder):
    # cp1252 bytes decoded as Latin-1, as in TelME's copies; str.splitlines would tear the row apart at U+0085.
    root = meld_folder(
        train=[
            {"Utterance": "Well\u0085 I don\u0092t know \u0097 caf\u00e9 \u2019til", "Speaker": "Jo\u0092s"},
            {"Utterance_ID": 1},
        ]
    )
    first, second = load_corpus("meld", root, ["train"]).utterances("train")
    assert first.text == "Well… I don’t know — café ’til"
    assert first.speaker == "Jo’s"
    assert second.number == 1


def test_byte_order_mark_quotes_blank_lines_and_joint_speakers(meld_folder):
    text = (
        "\ufeffUtterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,StartTime,EndTime\r\n"
        '"He said ""no"", twice",Joey and Chandler,neutral,neutral,0,0,0:00:01,0:00:02\r\n'
        "\r\n"
        "Hi,Phoebe/Waitress,neutral,neutral,0,1,0:00:02,0:00:03\n"
    )
    first, second = load_corpus("meld", meld_folder(train=text), ["train"]).utterances("train")
    assert (first.text, first.speaker) == ('He said "no", twice', "Joey and Chandler")
    assert second.speaker == "Phoebe/Waitress"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0:16:59,500", 1019.5),
        ("00:16:59,500", 1019.5),
        ("01:00:00.250", 3600.25),
        ("00:06:47,28", 407.28),
        ("00:06:47", 407.0),
        ("", None),
        ("00:61:00,000", None),
        ("soon", None),
        ("00:06:47,", None),
    ],
)
def test_time_formats(written, expected):
    assert seconds(written) == (None if expected is None else pytest.approx(expected))


def test_an_end_that_is_not_after_its_start_is_no_end():
    assert interval_s("00:00:05,000", "00:00:05,000") == (5.0, None)
    assert interval_s("?", "00:00:05,000") == (None, 5.0)
    assert interval_s("00:00:04,000", "00:00:05,000") == (4.0, 5.0)


def test_emorynlp_scenes_and_speaker_lists(tmp_path):
    (tmp_path / "emorynlp_dev_final.csv").write_text(
        f"{EMORY_HEADER}\n"
        "Coffee.,['Rachel Green'],Neutral,1,2,1,15,00:00:03.795,00:00:05.004\n"
        '"Hey!","[\'Joey Tribbiani\', ""Ross\' Mom""]",Joyful,1,1,1,15,00:00:01.000,00:00:02.000\n'
        "Bye.,['Rachel Green'],Scared,12,1,1,15,00:00:03.795,00:00:05.004\n"
    )
    corpus = load_corpus("emorynlp", tmp_path, ["dev"])
    first, second, third = corpus.utterances("dev")
    assert (first.speaker, second.speaker) == ("Joey Tribbiani and Ross' Mom", "Rachel Green")
    assert (first.id, third.id) == ("dev/s01e15sc01_utt1", "dev/s01e15sc12_utt1")
    assert first.sentiment is None
    assert (second.start_s, second.end_s) == pytest.approx((3.795, 5.004))
    assert corpus.label_names["emotion"] == ("neutral", "joyful", "peaceful", "powerful", "sad", "mad", "scared")
    assert corpus.labels("dev", "emotion").tolist() == [1, 0, 6]


def test_reading_data_imports_no_framework():
    heavy = ("ray", "optuna", "mlflow", "torch", "transformers", "sklearn", "typer")
    script = f"import sys, mer.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
