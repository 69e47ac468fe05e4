"""A user's own corpus: columns, labels and splits (cases A, C and H)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mer.config import DataConfig
from mer.data import keep_splits, load_corpus, open_corpus, refuse_unkeepable, windows
from mer.data.registry import detect_dataset, present_splits, unit_of
from mer.data.settings import with_dataset
from mer.errors import MerError


def own(root, splits=("train", "dev"), **keys):
    corpus = open_corpus(DataConfig(dataset="csv", root=str(root), **keys), splits)
    keep_splits(corpus)
    return corpus


def refused(root, splits=("train", "dev"), **keys) -> str:
    with pytest.raises(MerError) as caught:
        own(root, splits, **keys)
    return str(caught.value)


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


ZH = "text,label,audio\n今天真好,开心,a.wav\n太高兴了,开心,b.wav\n真难受,难过,c.wav\n别惹我,生气,d.wav\n"


def test_chinese_labels_and_three_columns(tmp_path):
    corpus = own(write(tmp_path, train=ZH, dev="text,label,audio\n哈哈,开心,e.wav\n", test=ZH), ("train", "dev"))
    assert corpus.label_names == {"emotion": ("开心", "生气", "难过")}  # by frequency in train, then by name
    assert corpus.labels("train", "emotion").tolist() == [0, 0, 2, 1]
    assert [u.id for u in corpus.utterances("train")][:2] == ["train/a_utt0", "train/b_utt0"]
    assert corpus.utterances("dev")[0].audio == "e.wav" and corpus.notes[0] == (
        "train.csv: text from text, label from label, audio from audio"
    )


@pytest.mark.parametrize(
    ("header", "roles"),
    [
        ("Sentence,Emotion,Speaker_ID", "text from Sentence, label from Emotion, speaker from Speaker_ID"),
        ("ID;Transkript;Satz;Gefühl;WAV", "text from Satz, label from Gefühl, audio from WAV, id from ID"),
        ("file_name,transcription,labels", "text from transcription, label from labels, audio from file_name"),
        ("UTTERANCE,class,conv_id,turn,START,End Time", "turn from turn, start from START, end from End Time"),
        ("path,sentiment", "label from sentiment, audio from path"),
        ("文本,标签", "text from 文本, label from 标签"),
    ],
)
def test_columns_are_guessed_from_usual_names(tmp_path, header, roles):
    mark = ";" if ";" in header else ","
    rows = [[f"{row}" for _ in header.split(mark)] for row in range(4)]
    text = "\n".join([header, *(mark.join(row) for row in rows)])
    assert roles in own(write(tmp_path, train=text), ["train"]).notes[0]


def test_columns_are_named_and_wrong_names_are_refused(tmp_path):
    root = write(tmp_path, train="said,felt,by,S,E\nhi,joy,A,1,7\nho,sad,B,1,7\n")
    found = own(root, ["train"], columns={"text": "said", "label": "felt", "speaker": "by", "dialogue": "s{S:02d}e{E}"})
    assert [(u.id, u.text, u.speaker, u.emotion) for u in found.utterances("train")] == [
        ("train/s01e7_utt0", "hi", "A", "joy"),
        ("train/s01e7_utt1", "ho", "B", "sad"),
    ]
    assert "has no column 'sayd'. Did you mean 'said'?" in refused(root, ["train"], columns={"text": "sayd"})
    assert "name it: --set data.columns.text=COLUMN" in refused(root, ["train"])
    assert "name it: --set data.columns.label=COLUMN" in refused(root, ["train"], columns={"text": "said"})


def test_ids_may_be_text_and_turns_without_a_label_are_context(tmp_path):
    text = (
        "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
        "one,A,ang,Ses01F_impro01,Ses01F_impro01_F000\ntwo,B,,Ses01F_impro01,Ses01F_impro01_M000\n"
        "three,A,hap,Ses01F_impro01,Ses01F_impro01_F001\nfour,A,ang,7.0,x\n"
    )
    corpus = own(write(tmp_path, train=text), ["train"])
    assert [u.id for u in corpus.utterances("train")] == [
        "train/Ses01F_impro01_utt0", "train/Ses01F_impro01_utt1", "train/Ses01F_impro01_utt2", "train/dia7_utt0",
    ]  # fmt: skip
    assert corpus.labels("train", "emotion").tolist() == [0, -1, 1, 0]


def test_a_meld_file_may_lack_labels(meld_folder):
    root = meld_folder(train=[{}, {"Utterance_ID": 1, "Emotion": ""}, {"Utterance_ID": 2, "Emotion": "joy"}])
    assert load_corpus("meld", root, ["train"]).labels("train", "emotion").tolist() == [0, -1, 1]


def test_dialogues_of_a_meld_file_may_be_named_in_words(meld_folder):
    rows = [{"Dialogue_ID": name, "Emotion": emotion} for name, emotion in (("Ses01F_impro01", "joy"), ("0.0", ""))]
    corpus = load_corpus("meld", meld_folder(train=rows), ["train"])
    assert [u.id for u in corpus.utterances("train")] == ["train/Ses01F_impro01_utt0", "train/dia0_utt0"]
    assert corpus.utterances("train")[0].audio == "audios/train/Ses01F_impro01_utt0.flac"


def test_a_turn_of_nobody_has_no_name_before_it(tmp_path):
    corpus = own(write(tmp_path, train=ZH), ["train"])
    for style in ("none", "name", "name_says", "upper"):
        assert windows(corpus.dialogues("train"), past=0, future=0, speaker=style)[0].turns == ("今天真好",)


def test_what_is_independent(tmp_path):
    alone = write(tmp_path / "a", train="text,label,speaker\n1,a,X\n2,b,X\n3,a,Y\n")
    data = DataConfig(dataset="csv", root=str(alone))
    ids = [u.id for u in own(alone, ["train"]).utterances("train")]
    assert unit_of(data, "train").name == "speaker" and [unit_of(data, "train").of(i) for i in ids] == ["X", "X", "Y"]
    root = grouped(tmp_path / "b")
    assert unit_of(DataConfig(dataset="csv", root=str(root)), "train").name == "dialogue"


def test_case_and_spaces_make_no_other_label_and_labels_merge(tmp_path):
    text = "text,label\n1,Joy\n2, joy\n3,joy \n4,excited\n5,sad\n6,Sad\n"
    root = write(tmp_path, train=text, dev="text,label\n1,JOY\n2,SAD\n")
    assert own(root).label_names["emotion"] == ("joy", "Sad", "excited")
    merged = own(root, merge_labels={"happy": ["joy", "excited"]})
    assert merged.label_names["emotion"] == ("happy", "Sad") and merged.labels("dev", "emotion").tolist() == [0, 1]
    chosen = own(root, labels=["sad", "joy"])
    assert chosen.label_names["emotion"] == ("sad", "joy")
    assert chosen.labels("train", "emotion").tolist() == [1, 1, 1, -1, 0, 0]
    assert "train has no row labelled 'yoy'" in refused(root, labels=["sad", "yoy"])


def test_a_label_that_train_lacks_is_refused_by_name(tmp_path):
    root = write(tmp_path, train="text,label\n1,joy\n2,sad\n", dev="text,label\n1,mad\n2,joy\n3,mad\n")
    words = refused(root)
    assert "dev has labels that train does not have: 'mad' (2)" in words and "Did you mean 'sad'?" in words
    assert "--set 'data.merge_labels={joy: [mad]}'" in words
    assert own(root, merge_labels={"joy": ["mad"]}).labels("dev", "emotion").tolist() == [0, 0, 0]
    assert own(root, labels=["joy", "sad"]).labels("dev", "emotion").tolist() == [-1, 0, -1]


@pytest.mark.parametrize("labels", [["", ""], ["joy", "joy"], ["joy", "JOY "]])
def test_one_class_is_nothing_to_learn(tmp_path, labels):
    root = write(tmp_path, train="text,label\n" + "".join(f"t,{label}\n" for label in labels))
    assert "at least two different labels" in refused(root, ["train"])


@pytest.mark.parametrize(
    ("emotions", "classes"),
    [
        (["neutral", "anger"], ("neutral", "anger")),
        (["anger", "joy", "anger"], ("joy", "anger")),
        (["surprise", "fear", "sadness"], ("sadness", "fear", "surprise")),
    ],
)
def test_the_classes_of_meld_are_those_of_train(meld_folder, emotions, classes):
    rows = [{"Utterance_ID": number, "Emotion": emotion} for number, emotion in enumerate(emotions)]
    corpus = load_corpus("meld", meld_folder(train=rows, dev=rows[:1]))
    assert corpus.label_names["emotion"] == classes


def test_a_split_that_is_not_asked_for_stays_unread_and_test_names_no_class(tmp_path):
    root = write(tmp_path, train=ZH, dev=ZH, test="")
    (root / "test.csv").write_bytes(b"\x81 garbage")
    assert set(own(root).splits) == {"train", "dev"}
    (root / "dev.csv").write_bytes(b"\x81 garbage")
    assert own(root, ["train"]).label_names["emotion"] == ("开心", "生气", "难过")


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("my_training", "validation-v2", "TEST.final"), ("trn", "eval", "tst")]
)
def test_files_of_splits_have_usual_names(tmp_path, names):
    root = write(tmp_path, **dict.fromkeys(names, ZH))
    assert present_splits(DataConfig(dataset="csv", root=str(root))) == ("train", "dev", "test")
    assert detect_dataset(root) == "csv"


def test_files_that_could_be_several_splits_are_refused_with_advice(tmp_path):
    root = write(tmp_path, train=ZH, train_old=ZH, dev=ZH)
    assert "--set data.files.train=train.csv" in refused(root)
    assert own(root, files={"train": "train_old.csv", "dev": "dev.csv"}).name == "csv"
    assert "there is no" in refused(root, files={"train": "train_odl.csv"})
    other = write(tmp_path / "other", a=ZH, b=ZH)
    assert "is not clear: a.csv, b.csv" in refused(other) and own(other / "a.csv", ["train"]).name == "csv"


def test_a_column_of_splits(tmp_path):
    text = "text,label,mode\n1,a,train\n2,b,Train\n3,a,valid\n4,b,test\n"
    corpus = own(write(tmp_path, all=text), ("train", "dev", "test"))
    assert {split: len(corpus.utterances(split)) for split in corpus.splits} == {"train": 2, "dev": 1, "test": 1}
    words = refused(write(tmp_path / "x", all=text.replace("valid", "later")), columns={"split": "mode"})
    assert "all.csv:4: mode is 'later'" in words


def grouped(folder, rows=40, header="text,label,speaker,dialogue"):
    lines = [f"t{row},{'ab'[row % 2]},s{row % 8},d{row // 4}" for row in range(rows)]
    return write(folder, data="\n".join([header, *lines]))


def test_the_advice_without_a_dev_split_works_and_splits_are_kept(tmp_path):
    root = grouped(tmp_path)
    assert "--set data.split.dev=0.1" in refused(root)
    made = own(root, ("train", "dev", "test"), split={"dev": 0.2})
    kept = own(root, ("train", "dev", "test"))
    for split in ("train", "dev", "test"):
        assert [u.id for u in made.utterances(split)] == [u.id for u in kept.utterances(split)]
    assert [len(made.utterances(split)) for split in ("train", "dev", "test")] == [28, 8, 4]
    assert not {u.dialogue for u in made.utterances("train")} & {u.dialogue for u in made.utterances("dev")}
    assert present_splits(DataConfig(dataset="csv", root=str(root))) == ("train", "dev", "test")
    assert "these splits were made with dev 0.2" in refused(root, split={"dev": 0.3})


@pytest.mark.parametrize("by", ["speaker", "dialogue", "row"])
def test_splits_by_what_is_asked(tmp_path, by):
    corpus = own(grouped(tmp_path), ("train", "dev", "test"), split={"dev": 0.25, "test": 0.25, "by": by})
    of = {"speaker": lambda u: u.speaker, "dialogue": lambda u: u.dialogue, "row": lambda u: u.text}[by]
    groups = [{of(u) for u in corpus.utterances(split)} for split in corpus.splits]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert json.loads((tmp_path / "data.splits.json").read_text())["by"] == by


def test_only_lacking_splits_are_made(tmp_path):
    root = write(tmp_path, train=grouped(tmp_path / "x").joinpath("data.csv").read_text(), test=ZH)
    corpus = own(root, ("train", "dev"), split={"dev": 0.1})
    assert len(corpus.utterances("train")) + len(corpus.utterances("dev")) == 40


def test_rows_known_by_their_place_may_not_move(tmp_path):
    root = write(tmp_path, data="text,label\n" + "".join(f"t{n},{'ab'[n % 2]}\n" for n in range(20)))
    own(root, split={"dev": 0.2})
    text = (root / "data.csv").read_text()
    write(root, data=text + "new,a\n")
    assert "the rows have changed since they were split" in refused(root)


def test_another_place_for_splits(tmp_path):
    root = grouped(tmp_path / "data")
    place = tmp_path / "elsewhere.json"
    own(root, split={"dev": 0.1, "file": str(place)})
    assert place.is_file() and not list(root.glob("*.json"))
    place.write_text("{}")
    assert "is no record of splits" in refused(root, split={"dev": 0.1, "file": str(place)})


def test_who_reads_a_corpus_writes_nothing_beside_it(tmp_path):
    data = DataConfig(dataset="csv", root=str(grouped(tmp_path)), split={"dev": 0.2})
    read = open_corpus(data)
    assert present_splits(data) == ("train", "dev", "test")
    assert any(f"to be kept in {tmp_path / 'data.splits.json'}" in note for note in read.notes)
    assert not list(tmp_path.glob("*.splits.json"))
    keep_splits(read)
    again = open_corpus(data)
    assert [u.id for u in again.utterances("dev")] == [u.id for u in read.utterances("dev")]
    assert any(
        note == f"splits by dialogue: train 28, dev 8, test 4 rows, kept in {tmp_path / 'data.splits.json'}"
        for note in again.notes
    )


def test_splits_that_another_command_made_meanwhile_are_not_replaced(tmp_path):
    data = DataConfig(dataset="csv", root=str(grouped(tmp_path)), split={"dev": 0.2})
    mine, same = open_corpus(data), open_corpus(data)
    other = open_corpus(data.model_copy(update={"split": data.split.model_copy(update={"seed": 1})}))
    keep_splits(mine)
    keep_splits(same)
    with pytest.raises(MerError, match="another command made other splits meanwhile"):
        keep_splits(other)


@pytest.mark.parametrize("place", ["data/data.csv/x.json", "data/data.splits.json"])
def test_a_place_that_cannot_hold_the_splits_is_refused_before_anything_is_written(tmp_path, monkeypatch, place):
    grouped(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda folder, mode: Path(folder).name != "data")  # a read-only file system
    corpus = open_corpus(DataConfig(dataset="csv", root="data", split={"dev": 0.1, "file": place}))
    with pytest.raises(MerError) as caught:
        refuse_unkeepable(corpus)
    assert str(caught.value).startswith(f"{place}: the splits cannot be written here: ")
    advice = str(caught.value).rpartition("--set data.split.file=")[2]
    moved = open_corpus(DataConfig(dataset="csv", root="data", split={"dev": 0.1, "file": advice}))
    refuse_unkeepable(moved)
    keep_splits(moved)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data", advice])


def test_a_few_rows_are_split_so_that_train_keeps_every_label_or_refused(tmp_path):
    head = "text,label,speaker\n"
    four = write(tmp_path / "four", data=head + "a,x,p\nb,y,q\nc,x,r\nd,y,s\n")
    words = refused(four, split={"dev": 0.5})
    assert "train" in words and "data.split.by=row" in words and not list(four.glob("*.json"))
    by_row = {"dev": 0.5, "by": "row"}
    assert "--set data.split.test=0" in refused(four, split=by_row)
    assert {u.emotion for u in own(four, split={**by_row, "test": 0}).utterances("train")} == {"x", "y"}
    two = write(tmp_path / "two", data="text,label\na,x\nb,y\n")
    words = refused(two, split={"dev": 0.5})
    assert words.startswith("data.split: ") and "2 rows: too few to hold out test and dev" in words
    assert "--set data.split.test=0" in words and not list(two.glob("*.json"))
    three = write(tmp_path / "three", data="text,label\na,x\nb,y\nc,x\n")
    assert "add rows" in refused(three, split={"dev": 0.3})
    assert len(own(three, split={"dev": 0.3, "test": 0}).utterances("train")) == 2


def test_labels_that_a_split_by_speaker_keeps_from_train_are_split_by_row(tmp_path):
    rows = "".join(f"t{n},{label},{who}\n" for n in range(8) for who, label in zip("pqrs", "xxyz", strict=True))
    root = write(tmp_path, data="text,label,speaker\n" + rows)
    words = refused(root, split={"dev": 0.3, "test": 0})
    advice = words.partition("label by label:")[2].partition(";")[0]
    assert "--set data.split.by=row" in advice and "data.split.dev=0.3" in advice
    assert {u.emotion for u in own(root, split={"dev": 0.3, "test": 0, "by": "row"}).utterances("train")} == set("xyz")


def test_a_guessed_column_of_splits_holds_splits(tmp_path):
    rows = [f"t{n},{'ab'[n // 2 % 2]}" for n in range(40)]
    folds = write(tmp_path / "folds", data="text,label,fold\n" + "".join(f"{r},{n % 5}\n" for n, r in enumerate(rows)))
    corpus = own(folds, split={"dev": 0.2})
    assert not any("split from" in note for note in corpus.notes)
    modes = "".join(f"{r},car,{['train', 'Validation'][n % 2]}\n" for n, r in enumerate(rows))
    corpus = own(write(tmp_path / "modes", data="text,label,set,fold\n" + modes))
    assert "split from fold" in corpus.notes[0] and len(corpus.utterances("dev")) == 20
    half = "".join(f"{r},{['train', 'dev_clean'][n % 2]}\n" for n, r in enumerate(rows))  # never mixed and split anew
    root = write(tmp_path / "half", data="text,label,split\n" + half)
    assert "split is 'dev_clean'" in refused(root, split={"dev": 0.2}) and not list(root.glob("*.json"))


def test_files_of_other_kinds_are_refused_with_what_makes_them_readable(tmp_path):
    rows = [{"text": f"t{n}", "label": "ab"[n % 2]} for n in range(20)]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    assert [detect_dataset(tmp_path / name) for name in ("list.json", "book.xlsx", "no.csv", "no")] == [
        "csv", "csv", "csv", "meld",
    ]  # fmt: skip
    assert with_dataset({"data.dataset": "meld", "data.root": "no.csv"}, typed={"data.root"})["data.dataset"] == "csv"
    assert with_dataset({"data.dataset": "meld", "data.root": "no"}, typed={"data.root"})["data.dataset"] == "meld"
    assert "save it as CSV (UTF-8)" in refused(tmp_path / "book.xlsx")
    assert "there is no such file or folder" in refused(tmp_path / "no.csv")
    typed = refused(tmp_path / "list.json").partition("a line: ")[2]
    subprocess.run(["bash", "-c", typed.replace("python", sys.executable, 1)], check=True)
    assert len(own(tmp_path / "list.jsonl", split={"dev": 0.2}).utterances("train")) == 14


def test_an_empty_file_and_another_encoding_are_named(tmp_path):
    assert "the file has not a word" in refused(write(tmp_path / "empty", data=""))
    root = tmp_path / "gb"
    root.mkdir()
    (root / "data.csv").write_bytes(("text,label\n" + "今天真好,开心\n真难受,难过\n" * 10).encode("gb18030"))
    assert "next: name its encoding: --set data.encoding=gb18030 (Chinese)" in refused(root)
    assert own(root, encoding="gb18030", split={"dev": 0.2}).label_names["emotion"] == ("开心", "难过")


def test_what_is_there_twice_is_refused(tmp_path):
    text = "text,label,dialogue,turn\n1,a,x,0\n2,b,x,0.0\n"
    assert "data.csv:3: x utterance 0 is there twice" in refused(write(tmp_path, data=text), ["train"])
    text = "text,label,id\n1,a,x\n2,b,x\n"
    words = refused(write(tmp_path / "ids", data=text), ["train"], columns={"id": "id"})
    assert "data.csv:3: x is there twice" in words


@pytest.mark.parametrize("cell", ["9" * 5000, "a" * 300, "x\x1b]0;evil"])
def test_ids_that_are_no_names_are_refused_in_one_message(tmp_path, cell):
    words = refused(write(tmp_path, data=f"text,label,dialogue\n1,a,{cell}\n2,b,y\n"), ["train"])
    assert "data.csv:2: dialogue is" in words and "a name of at most 200 characters" in words and "\x1b" not in words


def test_a_german_spreadsheet(tmp_path):
    text = (
        "Satz;Gefühl;Sprecher;Start;End\r\nIch bin wütend;Ärger;Jörg;1,5;2,25\r\nSchön;Freude;Änne;3,0;4,5\r\n;;;;\r\n"
    )
    (tmp_path / "daten.csv").write_bytes(text.encode("cp1252"))
    corpus = own(tmp_path / "daten.csv", ["train"])
    first = corpus.utterances("train")[0]
    assert (first.speaker, first.start_s, first.end_s, first.emotion) == ("Jörg", 1.5, 2.25, "Ärger")
    assert corpus.notes[0].endswith("; cp1252, ';' between cells, 1 row without a word passed over")


def test_emotions_and_sentiments_are_two_tasks(meld_folder):
    rows = [
        {"Utterance_ID": n, "Emotion": e, "Sentiment": s}
        for n, (e, s) in enumerate([("joy", "positive"), ("anger", "negative")])
    ]
    root = meld_folder(train=rows)
    ours = own(root, ["train"], labels=["joy", "anger"])
    theirs = load_corpus("meld", root, ["train"])
    assert ours.label_names["emotion"] == theirs.label_names["emotion"] and set(ours.label_names) == {
        "emotion",
        "sentiment",
    }
    assert np.array_equal(ours.labels("train", "emotion"), theirs.labels("train", "emotion"))
    assert own(root, ["train"], label="sentiment").label_names["sentiment"] == ("negative", "positive")
