"""Published corpora by their descriptions, on small files of exactly their layout (docs/corpora.md)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mer.config import DataConfig
from mer.data import open_corpus
from mer.data.registry import DATASETS, detect_dataset, find_dataset, unit_of
from mer.errors import MerError

SPLITS = ("train", "dev", "test")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def said(dataset: str, root: Path, **more: object) -> DataConfig:
    return DataConfig.model_validate({"dataset": dataset, "root": str(root), **more})


# -- IEMOCAP -----------------------------------------------------------------------------------------------------

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[11.0000 - 13.0000]\t{d}_M000\t{second}\t[4.0000, 3.0000, 3.5000]
C-E1:\tHappiness;\t()
A-E3:\tval 4; act 3; dom  3;\t()

[6.2901 - 8.2357]\t{d}_F000\t{first}\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()

[14.8872 - 18.0175]\t{d}_F001\txxx\t[2.0000, 2.0000, 2.5000]
"""
TRANSCRIPT = """{d}_F000 [006.2901-008.2357]: Excuse me.
{d}_M000 [011.0000-013.0000]: Yeah.
{d}_F001 [014.8872-018.0175]: Is there a problem?
M: (a stage direction)
"""


def iemocap(root: Path) -> Path:
    pairs = [("neu", "exc"), ("hap", "ang"), ("sad", "fru"), ("neu", "hap"), ("ang", "exc")]
    for session, (first, second) in enumerate(pairs, start=1):
        for name in ("impro01", "script01_1b"):
            d = f"Ses0{session}F_{name}"
            dialog = f"Session{session}/dialog"
            write(root, {
                f"{dialog}/EmoEvaluation/{d}.txt": EVALUATION.format(d=d, first=first, second=second),
                f"{dialog}/EmoEvaluation/._{d}.txt": "what macOS leaves",
                f"{dialog}/EmoEvaluation/Categorical/e1_{d}_cat.txt": "one annotator",
                f"{dialog}/transcriptions/{d}.txt": TRANSCRIPT.format(d=d),
            })  # fmt: skip
    return root


def test_iemocap_folders(tmp_path):
    corpus = open_corpus(said("iemocap", iemocap(tmp_path)), SPLITS)
    assert {split: len(corpus.utterances(split)) for split in SPLITS} == {"train": 18, "dev": 6, "test": 6}
    first, second, third = corpus.dialogues("train")[0].utterances
    assert corpus.dialogues("train")[0].id == "train/Ses01F_impro01"
    assert (first.name, first.text, first.speaker, first.session) == (
        "Ses01F_impro01_F000",
        "Excuse me.",
        "Ses01F",
        "1",
    )
    assert (first.start_s, first.end_s) == (6.2901, 8.2357)
    assert first.audio == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert [u.emotion for u in (first, second, third)] == ["neutral", "excited", ""]  # in the order of their times
    assert corpus.label_names["emotion"] == ("happy", "sad", "neutral", "angry", "excited", "frustrated")
    assert {u.session for u in corpus.utterances("dev")} == {"4"} and {
        u.session for u in corpus.utterances("test")
    } == {"5"}


def test_iemocap_of_four_classes_counts_excited_as_happy(tmp_path):
    corpus = open_corpus(said("iemocap4", iemocap(tmp_path)), SPLITS)
    assert corpus.label_names["emotion"] == ("happy", "sad", "neutral", "angry")
    found = Counter(u.emotion for split in SPLITS for u in corpus.utterances(split))
    assert found == {"neutral": 4, "happy": 8, "angry": 4, "sad": 2, "": 12}


def test_what_a_user_says_counts_more(tmp_path):
    data = said("iemocap", iemocap(tmp_path), merge_labels={"positive": ["happy", "excited"]})
    assert open_corpus(data, ("train",)).label_names["emotion"] == (
        "positive", "sad", "neutral", "angry", "frustrated",
    )  # fmt: skip
    data = said("iemocap", tmp_path, labels=["angry", "neutral"])
    assert open_corpus(data, ("train",)).label_names["emotion"] == ("angry", "neutral")


def test_iemocap_as_one_csv(tmp_path):
    rows = [
        f"{session},script,{sex},{emotion},3,2,Session{session}/sentences/wav/{d}/{d}_{turn}.wav"
        for session in range(1, 6)
        for d in (f"Ses0{session}M_script01_1",)
        for turn, sex, emotion in (("F000", "F", "neu"), ("M001", "M", "exc"), ("F002", "F", "oth"))
    ]
    write(
        tmp_path,
        {"iemocap_full_dataset.csv": "session,method,gender,emotion,n_annotators,agreement,path\n" + "\n".join(rows)},
    )
    corpus = open_corpus(said("iemocap4", tmp_path), SPLITS)
    one, two, three = corpus.utterances("test")
    assert (one.name, one.session, one.speaker, one.emotion) == ("Ses05M_script01_1_F000", "5", "Ses05F", "neutral")
    assert two.audio == "Session5/sentences/wav/Ses05M_script01_1/Ses05M_script01_1_M001.wav" and three.emotion == ""
    assert len(corpus.dialogues("test")) == 1 and two.emotion == "happy"


# -- the others --------------------------------------------------------------------------------------------------


def test_cremad(tmp_path):
    emotions = ("ANG", "NEU", "SAD", "HAP", "DIS", "FEA")
    names = [f"AudioWAV/{actor}_IEO_{code}_XX.wav" for actor in (1001, 1064, 1091) for code in emotions]
    write(tmp_path, dict.fromkeys([*names, "VideoFlash/1001_IEO_ANG_XX.flv"], ""))
    data = said("cremad", tmp_path)
    corpus = open_corpus(data, SPLITS)
    assert {split: {u.speaker for u in corpus.utterances(split)} for split in SPLITS} == {
        "train": {"1001"}, "dev": {"1064"}, "test": {"1091"},
    }  # fmt: skip
    angry = next(u for u in corpus.utterances("train") if u.emotion == "angry")
    assert (angry.text, angry.audio) == ("It's eleven o'clock.", "AudioWAV/1001_IEO_ANG_XX.wav")
    assert angry.video == "VideoFlash/1001_IEO_ANG_XX.flv"
    assert corpus.label_names["emotion"] == ("neutral", "happy", "sad", "angry", "fearful", "disgust")


@pytest.mark.parametrize("prefix", ["", "ijcnlp_dailydialog/", "EMNLP_dataset/train/"])
def test_dailydialog(tmp_path, prefix):
    inner = {"train": "train", "dev": "validation", "test": "test"}
    for split, name in inner.items():
        folder = f"{prefix}{name}" if not prefix.endswith("train/") else f"EMNLP_dataset/{name}/{name}"
        write(tmp_path, {
            f"{folder}/dialogues_{name}.txt": "The kitchen stinks . __eou__ I'll throw out the garbage . __eou__\n"
            f"So {split} ? __eou__ Yes ! __eou__ No . __eou__\n",
            f"{folder}/dialogues_emotion_{name}.txt": "2 0 \n6 4 5 \n",
        })  # fmt: skip
    corpus = open_corpus(said("dailydialog", tmp_path), SPLITS)
    first, second = corpus.dialogues("dev")
    assert [u.emotion for u in first.utterances] == ["disgust", "neutral"]
    assert [u.text for u in second.utterances] == ["So dev ?", "Yes !", "No ."]
    assert [u.speaker for u in second.utterances] == ["dev2-A", "dev2-B", "dev2-A"]
    assert corpus.label_names["emotion"] == ("neutral", "disgust", "happiness", "sadness", "surprise")
    assert (
        detect_dataset(tmp_path) == "dailydialog" and unit_of(said("dailydialog", tmp_path), "dev").name == "dialogue"
    )


def test_dailydialog_of_other_lengths_is_refused(tmp_path):
    write(tmp_path, {
        "train/dialogues_train.txt": "One . __eou__ Two . __eou__\n", "train/dialogues_emotion_train.txt": "0\n",
    })  # fmt: skip
    with pytest.raises(MerError, match=r"dialogues_train.txt:1: 2 turns, 1 labels in dialogues_emotion_train.txt"):
        open_corpus(said("dailydialog", tmp_path), ("train",))


def m3ed(root: Path) -> Path:
    def utterance(speaker: str, emotion: str) -> dict:
        votes = {f"EmoAnnotator{n}": emotion for n in (1, 2, 3)}
        return {
            "StartTime": "00:00:00:01", "EndTime": "00:00:01:04", "Text": "你先把衣服换了", "Speaker": speaker,
            "EmoAnnotation": votes | {"final_mul_emo": f"{emotion},Sad", "final_main_emo": emotion},
        }  # fmt: skip

    people = {"A": {"Name": "房似锦", "Age": "young", "Gender": "female", "OtherName": []}, "B": {"Name": "朱闪闪"}}
    tree = {
        show: {f"{show}_{n}": {
            "SpeakerInfo": people,
            "Dialog": {f"{show}_{n}_1": utterance("A", "Happy"), f"{show}_{n}_2": utterance("B", "Anger")},
        } for n in (1, 2)} for show in ("anjia", "shaonianpai", "weiyi")
    }  # fmt: skip
    return write(root, {
        "annotation.json": json.dumps(tree, ensure_ascii=False),
        "splitInfo/movie_list_train.txt": "anjia\n", "splitInfo/movie_list_val.txt": "shaonianpai\n",
        "splitInfo/movie_list_test.txt": "weiyi",
    })  # fmt: skip


def test_m3ed(tmp_path):
    corpus = open_corpus(said("m3ed", m3ed(tmp_path)), SPLITS)
    one, two = corpus.dialogues("test")[1].utterances
    assert (one.name, one.speaker, one.session, one.emotion) == ("weiyi_2_1", "weiyi 房似锦", "weiyi", "Happy")
    assert (two.audio, two.text, two.emotion) == ("modality_speech/B_weiyi_2_2.wav", "你先把衣服换了", "Anger")
    assert corpus.label_names["emotion"] == ("Happy", "Anger") and detect_dataset(tmp_path) == "m3ed"


def test_m3ed_with_a_show_of_no_split_is_refused(tmp_path):
    write(m3ed(tmp_path), {"splitInfo/movie_list_test.txt": "other\n"})
    with pytest.raises(MerError, match="weiyi is in no split"):
        open_corpus(said("m3ed", tmp_path), ("train",))


LABELS = """video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode
video_0001,0001,我不想嫁给李茶,-0.6,-0.4,-0.6,-0.6,Negative,train
video_0001,0002,好的,0.0,0.2,0.0,0.0,Neutral,train
video_0001,0003,真棒,0.8,1.0,0.6,0.8,Positive,train
video_0002,0001,不,-0.2,0.0,0.0,-0.2,Negative,valid
video_0003,0001,行,0.2,0.0,0.0,0.2,Positive,test
"""


@pytest.mark.parametrize(
    ("dataset", "name"), [("mosi", "label.csv"), ("mosei", "label.csv"), ("sims", "label.csv"), ("simsv2", "meta.csv")]
)
def test_scored_clips(tmp_path, dataset, name):
    data = said(dataset, write(tmp_path, {name: LABELS}), label="sentiment")
    corpus = open_corpus(data, SPLITS)
    first = corpus.utterances("train")[0]
    assert (first.name, first.sentiment, first.text) == ("video_0001_0001", "negative", "我不想嫁给李茶")
    assert first.video == first.audio == "Raw/video_0001/0001.mp4"
    assert corpus.label_names == {"sentiment": ("negative", "neutral", "positive")}
    assert [u.sentiment for split in ("dev", "test") for u in corpus.utterances(split)] == ["negative", "positive"]


def test_scored_clips_have_no_emotions(tmp_path):
    with pytest.raises(MerError) as caught:
        open_corpus(said("mosi", write(tmp_path, {"label.csv": LABELS})))
    assert caught.value.found == "CMU-MOSI (Zadeh et al. 2016) has no emotion labels"
    assert caught.value.then == "--set data.label=sentiment"


def test_scores_are_read_as_numbers(tmp_path):
    data = said("sims", write(tmp_path / "sims", {"label.csv": LABELS}), label="sentiment", task="regression")
    corpus = open_corpus(data, SPLITS)
    assert corpus.label_names == {"sentiment": ("score",)} and corpus.kind == "regression"
    assert corpus.labels("train", "sentiment").ravel().tolist() == pytest.approx([-0.6, 0.0, 0.8])
    write(tmp_path / "sims", {"label.csv": LABELS.replace("-0.6,-0.4", "-1.6,-0.4")})
    with pytest.raises(MerError, match=r"label.csv:2: label is -1.6"):
        open_corpus(data, SPLITS)
    corpus = open_corpus(said("iemocap", iemocap(tmp_path), task="regression", targets=["dominance"]), SPLITS)
    assert corpus.label_names == {"emotion": ("dominance",)}
    assert corpus.labels("dev", "emotion").ravel().tolist() == [2.5, 3.5, 2.5] * 2
    corpus = open_corpus(said("iemocap", tmp_path, task="regression"), SPLITS)
    assert corpus.label_names == {"emotion": ("valence", "activation", "dominance")}


def test_mer2023(tmp_path):
    write(tmp_path, {
        "train-label.csv": "name,discrete,valence\nsample_00000107,happy,2.5\nsample_00000108,worried,-1\n",
        "test1-label.csv": "name,discrete,valence\nsample_00000200,happy,1\n",
        "transcription-engchi-polish.csv": 'name,chinese,english\nsample_00000107,太好了,"Great, really."\n',
    })  # fmt: skip
    corpus = open_corpus(said("mer2023", tmp_path), ("train", "test"))
    one, two = corpus.utterances("train")
    assert (one.text, one.video, one.emotion) == ("太好了", "train/sample_00000107.mp4", "happy")
    assert (two.text, two.emotion) == ("", "worried") and corpus.utterances("test")[
        0
    ].video == "test1/sample_00000200.mp4"
    assert detect_dataset(tmp_path) == "mer2023"
    with pytest.raises(MerError, match="there is no dev split"):
        open_corpus(said("mer2023", tmp_path), ("dev",))


# -- all ---------------------------------------------------------------------------------------------------------

DESCRIBED = [name for name, reader in DATASETS.items() if getattr(reader, "description", None)]


@pytest.mark.parametrize("name", DESCRIBED)
def test_an_empty_folder_says_what_was_looked_for(tmp_path, name):
    with pytest.raises(MerError) as caught:
        open_corpus(said(name, tmp_path, label=find_dataset(name).description.task))
    description = find_dataset(name).description
    assert caught.value.found == f"nothing of {description.title} is here" and caught.value.where == str(tmp_path)
    assert description.layouts[0].wants in caught.value.allowed


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_folder_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(MerError, match="there is no such folder"):
        open_corpus(said(name, tmp_path / "no", label=find_dataset(name).description.task))


def test_a_user_table_is_never_taken_for_a_published_corpus(tmp_path):
    write(tmp_path, {"label.csv": LABELS.replace("mode", "split")})
    assert detect_dataset(tmp_path) == "csv"
