"""RAVDESS: labels from file names, splits by actor, two layouts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mer.config import DataConfig
from mer.data import load_corpus, open_corpus
from mer.data.check.summary import check
from mer.data.media import MediaFault, clip_path
from mer.data.readers.labels import RAVDESS_EMOTIONS
from mer.data.readers.ravdess import RAVDESS, read_codes
from mer.data.registry import present_splits
from mer.errors import MerError

HEADER = "file,actor,gender,emotion,intensity,statement,text,repetition,duration_s"
GOOD = "audio/03-01-06-02-02-01-12.flac,12,female,fearful,strong,2,Dogs are sitting by the door,1,3.5"


def metadata(root: Path, *rows: str, header: str = HEADER) -> Path:
    (root / "metadata.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


def ravdess(root: Path) -> DataConfig:
    return DataConfig(dataset="ravdess", root=str(root))


def distribution(root: Path, *names: str) -> Path:
    for name in names:
        file = root / f"Actor_{Path(name).stem[-2:]}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return root


def test_metadata_becomes_dialogues_of_one_utterance(tmp_path):
    corpus = load_corpus("ravdess", metadata(tmp_path, GOOD), ["train"])
    (dialogue,) = corpus.dialogues("train")
    (utterance,) = dialogue.utterances
    assert dialogue.id == "train/03-01-06-02-02-01-12" and utterance.id == "train/03-01-06-02-02-01-12_utt0"
    assert (utterance.emotion, utterance.sentiment, utterance.speaker) == ("fearful", None, "Actor_12")
    assert (utterance.text, utterance.start_s, utterance.end_s) == ("Dogs are sitting by the door", 0.0, 3.5)
    assert (utterance.audio, utterance.video) == ("audio/03-01-06-02-02-01-12.flac", None)
    assert corpus.labels("train", "emotion").tolist() == [0]  # the only class that train has
    assert list(corpus.label_names) == ["emotion"]


@pytest.mark.parametrize("length", ["", "nan", "-1", "long", "inf"])
def test_a_length_nobody_can_use_is_no_length(tmp_path, length):
    root = metadata(tmp_path, GOOD.replace("3.5", length))
    (utterance,) = load_corpus("ravdess", root, ["train"]).utterances("train")
    assert (utterance.start_s, utterance.end_s) == (None, None)


def test_only_the_file_column_is_needed(tmp_path):
    root = metadata(tmp_path, "x/03-01-01-01-01-02-17.wav", "03-01-08-01-01-02-18.wav", header="file")
    first, second = load_corpus("ravdess", root, ["dev"]).utterances("dev")
    assert (first.emotion, first.text, first.speaker) == ("neutral", "Kids are talking by the door", "Actor_17")
    assert (second.emotion, second.audio) == ("surprised", "03-01-08-01-01-02-18.wav")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fearful", "sad", "emotion is 'sad', the file name 03-01-06-02-02-01-12 says 'fearful'"),
        (",12,female", ",11,female", "actor is '11', the file name 03-01-06-02-02-01-12 says '12'"),
        ("female", "male", "gender is 'male'"),
        ("strong", "normal", "intensity is 'normal'"),
        (",2,Dogs", ",1,Dogs", "statement is '1'"),
        ("Dogs are", "Cats are", "text is 'Cats are sitting by the door'"),
        ("03-01-06", "03-01-09", "the emotion code is '09', allowed: 01 to 08"),
        ("03-01-06", "04-01-06", "the modality code is '04', allowed: 01 (video with sound), 02 (video alone) or 03"),
        ("-12.flac", "-25.flac", "the actor code is '25', allowed: 01 to 24"),
        ("03-01-06", "6", "has 5 parts, not the seven of RAVDESS"),
    ],
)
def test_a_row_that_disagrees_with_its_name_is_a_fault(tmp_path, old, new, said):
    other = "audio/03-01-01-01-01-01-01.flac,1,male,neutral,normal,1,Kids are talking by the door,1,3.3"
    with pytest.raises(MerError) as raised:
        load_corpus("ravdess", metadata(tmp_path, other, GOOD.replace(old, new)), ["train"])
    assert raised.value.message.startswith(f"{tmp_path}/metadata.csv:3: ") and said in raised.value.message
    assert "next: correct the file" in raised.value.message


def test_all_faults_of_a_file_are_said_at_once_and_twins_are_one(tmp_path):
    root = metadata(tmp_path, GOOD, GOOD, GOOD.replace("fearful", "calm"))
    with pytest.raises(MerError) as raised:
        load_corpus("ravdess", root, ["train"])
    assert "metadata.csv:3: 03-01-06-02-02-01-12 is there twice" in raised.value.message
    assert "metadata.csv:4: emotion is 'calm'" in raised.value.message


@pytest.mark.parametrize("inside", ["", "audio_speech_actors_01-24/"])
def test_the_distribution_without_metadata(tmp_path, inside):
    speech = ["03-01-01-01-01-01-16.wav", "03-01-01-02-01-01-17.wav", "03-01-01-02-01-01-21.WAV"]
    distribution(tmp_path / inside, *speech, "03-02-01-01-01-01-16.wav")
    (tmp_path / inside / "Actor_16" / "readme.txt").write_text("no sound")
    assert present_splits(ravdess(tmp_path)) == ("train", "dev", "test")
    corpus = load_corpus("ravdess", tmp_path, ["train", "dev", "test"])
    (only,) = corpus.utterances("train")  # the song 03-02-... is not speech
    assert only.audio == f"{inside}Actor_16/03-01-01-01-01-01-16.wav" and clip_path(tmp_path, only.audio).is_file()
    assert [u.emotion for split in ("train", "dev", "test") for u in corpus.utterances(split)] == [
        "neutral",
        "neutral",
        "neutral",
    ]


def test_the_same_copy_nested_in_itself_is_read_once(tmp_path):
    distribution(tmp_path, "03-01-01-01-01-01-16.wav")
    distribution(tmp_path / "audio_speech_actors_01-24", "03-01-01-01-01-01-16.wav")
    assert len(load_corpus("ravdess", tmp_path, ["train"]).utterances("train")) == 1


def test_wrong_names_in_the_distribution_are_named(tmp_path):
    distribution(tmp_path, "03-01-01-01-01-01-16.wav", "03-01-77-01-01-01-16.wav")
    with pytest.raises(MerError, match=r"Actor_16/03-01-77-01-01-01-16.wav: .*emotion code is '77'"):
        load_corpus("ravdess", tmp_path, ["train"])


def test_a_split_without_actors_is_a_clear_fault(tmp_path):
    root = metadata(tmp_path, GOOD)
    assert present_splits(ravdess(root)) == ("train",)
    with pytest.raises(MerError) as raised:
        load_corpus("ravdess", root, ["train", "test"])
    assert raised.value.message == (
        f"{root}: no utterance of the test split: its actors, 21 to 24, are not in this copy\n"
        "  allowed: train\n"
        "  next: ask for the other splits only (--splits train), or add the missing actors"
    )


def test_no_data_says_what_was_looked_for(tmp_path):
    assert present_splits(ravdess(tmp_path)) == () and present_splits(ravdess(tmp_path / "no")) == ()
    with pytest.raises(MerError, match=r"neither metadata\.csv nor a folder Actor_01 .* is here"):
        load_corpus("ravdess", tmp_path, ["train"])
    with pytest.raises(MerError, match="there is no such folder"):
        load_corpus("ravdess", tmp_path / "no", ["train"])


def test_a_path_that_leaves_the_root_is_kept_as_said_and_refused_when_opened(tmp_path):
    root = metadata(tmp_path, GOOD.replace("audio/", "../../elsewhere/"))
    (utterance,) = load_corpus("ravdess", root, ["train"]).utterances("train")
    assert utterance.audio == "../../elsewhere/03-01-06-02-02-01-12.flac"
    with pytest.raises(MediaFault, match="leaves the data folder"):
        clip_path(root, utterance.audio)


def test_codes_in_words():
    codes = read_codes("03-01-05-01-02-02-24")
    assert (codes.emotion, codes.intensity, codes.statement, codes.repetition) == ("angry", "normal", 2, 2)
    assert codes.actor == 24
    assert (codes.split, codes.gender, codes.text) == ("test", "female", "Dogs are sitting by the door")


@pytest.mark.real
def test_the_real_copy(real_data):
    root = real_data("ravdess")
    assert present_splits(ravdess(root)) == ("train", "dev")
    corpus = load_corpus("ravdess", root)
    train, dev = check(corpus)
    assert (train.utterances, dev.utterances) == (959, 240)  # one file of actor 7 is missing
    assert (train.longest_dialogue, train.gapped_dialogues, train.untimed, train.official) == (1, 0, 0, None)
    per_label = {name: 64 if name == "neutral" else 128 for name in RAVDESS_EMOTIONS}
    assert train.label_counts == {"emotion": per_label | {"happy": 127}}
    assert dev.label_counts == {"emotion": {name: 16 if name == "neutral" else 32 for name in RAVDESS_EMOTIONS}}
    speakers = {split: Counter(u.speaker for u in corpus.utterances(split)) for split in ("train", "dev")}
    assert not set(speakers["train"]) & set(speakers["dev"]) and len(speakers["train"]) == 16
    assert all(clip_path(root, u.audio).is_file() for split in corpus.splits for u in corpus.utterances(split))
    # The same labels without the metadata: names are all that is needed.
    assert all(read_codes(u.dialogue).emotion == u.emotion for u in corpus.utterances("train"))
    with pytest.raises(MerError, match="no utterance of the test split"):
        load_corpus("ravdess", root, ["test"])


VIDEO = "01-01-06-01-02-01-12.mp4"


def test_a_video_alone_has_sound_too(tmp_path):
    (utterance,) = load_corpus("ravdess", distribution(tmp_path, VIDEO), ["train"]).utterances("train")
    assert (utterance.dialogue, utterance.emotion) == ("01-01-06-01-02-01-12", "fearful")
    assert (utterance.audio, utterance.video) == (None, f"Actor_12/{VIDEO}")
    assert utterance.clip_names("audio") == (None, f"Actor_12/{VIDEO}")
    assert utterance.speaker == "Actor_12" and RAVDESS.unit.of(utterance.id) == "Actor_12"


def test_a_performance_in_several_forms_is_one_utterance(tmp_path):
    sound, silent = VIDEO.replace("01", "03", 1).replace("mp4", "wav"), VIDEO.replace("01", "02", 1)
    for name in (VIDEO, silent, sound):
        distribution(tmp_path, name)
    (utterance,) = load_corpus("ravdess", tmp_path, ["train"]).utterances("train")
    assert (utterance.dialogue, utterance.audio) == (Path(sound).stem, f"Actor_12/{sound}")
    assert utterance.video == f"Actor_12/{VIDEO}"


def test_metadata_may_name_videos(tmp_path):
    root = metadata(tmp_path, f"clips/{VIDEO}", header="file")
    (utterance,) = load_corpus("ravdess", root, ["train"]).utterances("train")
    assert utterance.audio == utterance.video == f"clips/{VIDEO}"


def test_intensity_is_a_number_and_nothing_else_is(tmp_path):
    for name in ("03-01-05-01-01-01-01", "03-01-05-02-01-01-01", "03-01-05-02-01-01-17"):
        folder = tmp_path / f"Actor_{name[-2:]}"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.wav").write_bytes(b"")
    data = DataConfig(dataset="ravdess", root=str(tmp_path), task="regression")
    corpus = open_corpus(data)
    assert (corpus.kind, corpus.label_names) == ("regression", {"emotion": ("intensity",)})
    assert corpus.labels("train", "emotion").tolist() == [[1.0], [2.0]]
    with pytest.raises(MerError, match="RAVDESS says no 'valence' of its clips"):
        open_corpus(data.model_copy(update={"targets": (("valence", "valence"),)}))
