"""Messages for data that is not right: where, what was found, what is allowed, what to do next."""

from __future__ import annotations

import pickle

import pytest
from meld_files import meld_csv

from mer.data import load_corpus
from mer.errors import Faults, MerError

FILES = "train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv"
EMOTIONS = "neutral, joy, sadness, anger, fear, disgust, surprise"


def message(*args) -> str:
    with pytest.raises(MerError) as caught:
        load_corpus(*args)
    return str(caught.value)


def advice(root) -> str:
    return (
        f"`python -m mer.data get meld --root {root}`, or --set data.root=FOLDER_OR_CSV, or put {FILES} there by hand"
    )


def test_unknown_dataset():
    said = message("meldd", ".")
    assert said.startswith("data.dataset: unknown dataset 'meldd'. Did you mean 'meld'?\n  allowed: meld, emorynlp, ")
    assert said.endswith("mer2023\n  next: --set data.dataset=meld")


def test_unknown_split(meld_folder):
    text = message("meld", meld_folder(train=[{}]), ["tran"])
    assert text.startswith("splits: unknown split 'tran'. Did you mean 'train'?\n  allowed: train, dev, test\n  next: ")


def test_missing_folder(tmp_path):
    root = tmp_path / "no"
    assert message("meld", root) == (
        f"{root}: there is no such folder\n"
        "  allowed: a folder with train_sent_emo.csv, dev_sent_emo.csv\n"
        f"  next: {advice(root)}"
    )


def test_missing_files_are_named_together_with_what_is_there(meld_folder):
    root = meld_folder(test=[{}])
    assert message("meld", root) == (
        f"{root}: no train_sent_emo.csv, dev_sent_emo.csv; CSV files here: test_sent_emo.csv\n"
        "  allowed: a folder with train_sent_emo.csv, dev_sent_emo.csv\n"
        f"  next: {advice(root)}"
    )


def test_emorynlp_says_where_it_comes_from(tmp_path):
    text = message("emorynlp", tmp_path)
    assert "no emorynlp_train_final.csv, emorynlp_dev_final.csv" in text
    assert f"next: copy data/emorynlp of https://github.com/declare-lab/MELD to {tmp_path}, or --set" in text


def test_missing_columns(meld_folder):
    root = meld_folder(train="Utterance,Speaker,Feeling\r\nHi,Adira,joy\r\n")
    assert message("meld", root, ["train"]) == (
        f"{root}/train_sent_emo.csv:1: missing columns Emotion, Sentiment, Dialogue_ID, Utterance_ID, StartTime, "
        "EndTime; the header has Utterance, Speaker, Feeling\n"
        "  allowed: a header with Utterance, Speaker, Emotion, Sentiment, Dialogue_ID, Utterance_ID, StartTime, "
        "EndTime\n"
        f"  next: {advice(root)}"
    )


@pytest.mark.parametrize("content", ["", meld_csv()], ids=["no bytes", "only a header"])
def test_empty_split(meld_folder, content):
    root = meld_folder(train=content)
    text = message("meld", root, ["train"])
    expected = "the header has nothing" if not content else "the split is empty: the file has a header and no rows"
    assert text.startswith(f"{root}/train_sent_emo.csv") and expected in text
    assert text.endswith(f"next: {advice(root)}")


def test_unknown_label(meld_folder):
    root = meld_folder(train=[{}, {"Utterance_ID": 1, "Emotion": "Jooy"}])
    assert message("meld", root, ["train"]) == (
        f"{root}/train_sent_emo.csv:3: Emotion is 'Jooy'. Did you mean 'joy'?\n"
        f"  allowed: {EMOTIONS}\n"
        f"  next: correct the file, or {advice(root)}"
    )


def test_id_that_is_no_number(meld_folder):
    root = meld_folder(train=[{"Utterance_ID": "1.5"}])
    text = message("meld", root, ["train"])
    assert text.startswith(
        f"{root}/train_sent_emo.csv:2: Utterance_ID is '1.5'\n  allowed: a whole number, 0 or more\n"
    )


def test_same_utterance_twice(meld_folder):
    root = meld_folder(train=[{"Dialogue_ID": 3}, {"Dialogue_ID": 3, "Utterance_ID": 1}, {"Dialogue_ID": 3}])
    text = message("meld", root, ["train"])
    assert text.startswith(
        f"{root}/train_sent_emo.csv:4: dia3 utterance 0 is there twice\n"
        "  allowed: each utterance once; line 2 has it already\n"
    )


def test_bytes_that_are_not_utf8(meld_folder):
    root = meld_folder(train=b"\xef\xbb\xbf" + meld_csv({}, {"Utterance": "caf~"}).encode().replace(b"~", b"\xe9"))
    text = message("meld", root, ["train"])
    assert text.startswith(f"{root}/train_sent_emo.csv:3: byte 0xe9 is not UTF-8\n  allowed: UTF-8 text; also ")


def test_a_quote_that_is_never_closed(meld_folder):
    root = meld_folder(train=meld_csv({}) + '2,"Hi,Adira\r\n')
    text = message("meld", root, ["train"])
    assert text.startswith(f"{root}/train_sent_emo.csv:3: not valid CSV: ")
    assert text.endswith(f"next: {advice(root)}")


def test_lines_are_counted_in_the_file_not_in_rows(meld_folder):
    root = meld_folder(train=[{"Utterance": "two\nlines"}, {"Utterance_ID": 1, "Sentiment": "meh"}])
    assert message("meld", root, ["train"]).startswith(f"{root}/train_sent_emo.csv:4: Sentiment is 'meh'.\n")


def test_a_row_with_too_few_cells(meld_folder):
    root = meld_folder(train=meld_csv({}) + "2,Hi\r\n")
    text = message("meld", root, ["train"])
    assert text.startswith(f"{root}/train_sent_emo.csv:3: the row has 2 cells\n  allowed: 11 cells\n")


def test_many_faults_come_in_one_message_with_one_next_move(meld_folder):
    root = meld_folder(train=[{"Utterance_ID": number, "Emotion": "bored"} for number in range(25)])
    with pytest.raises(Faults) as caught:
        load_corpus("meld", root, ["train"])
    lines = str(caught.value).splitlines()
    assert [line for line in lines if "Emotion is 'bored'" in line] == [
        f"{root}/train_sent_emo.csv:{number}: Emotion is 'bored'." for number in range(2, 12)
    ]
    assert lines[-2:] == [
        f"{root}/train_sent_emo.csv: and 15 more faults, not shown",
        f"  next: correct the file, or {advice(root)}",
    ]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  as Ray sends it


@pytest.mark.parametrize("speaker", ["Rachel Green", "[]", "[1]", "__import__('os').getcwd()", "['a'"])
def test_emorynlp_speaker_must_be_a_list_of_names(tmp_path, speaker):
    path = tmp_path / "emorynlp_train_final.csv"
    path.write_text(
        "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
        f'Hi,"{speaker}",Neutral,1,1,1,1,0:00:01.0,0:00:02.0\n'
    )
    text = message("emorynlp", tmp_path, ["train"])
    assert text.startswith(
        f"{path}:2: Speaker is {speaker!r}\n  allowed: a list of names, such as ['Joey Tribbiani']\n"
    )


def test_a_task_the_dataset_lacks(tmp_path):
    (tmp_path / "emorynlp_dev_final.csv").write_text(
        "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
        "Hi,['A'],Neutral,1,1,1,1,0:00:01.0,0:00:02.0\n"
    )
    corpus = load_corpus("emorynlp", tmp_path, ["dev"])
    with pytest.raises(MerError) as caught:
        corpus.labels("dev", "sentiment")
    assert str(caught.value) == (
        "data.label: emorynlp has no 'sentiment' labels.\n  allowed: emotion\n  next: --set data.label=emotion"
    )
    with pytest.raises(
        MerError, match=r"split 'test' was not loaded\.\n  allowed: dev\n  next: ask for it: load_corpus"
    ):
        corpus.labels("test", "emotion")
