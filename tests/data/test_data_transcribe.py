"""Transcripts: a data folder in, the same folder with the words of its clips out. The model is a stand-in."""

from __future__ import annotations

import csv
import functools
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from media_files import truncate, write_flac, write_video
from meld_files import meld_csv

import mer.data.__main__ as commands
from mer.data.registry import load_corpus
from mer.data.transcribe.corpus import transcribe_corpus
from mer.data.transcribe.recogniser import Recogniser
from mer.data.transcribe.transcript_cache import TranscriptCache
from mer.data.transcribe.word_errors import word_errors, words
from mer.errors import MerError

CPU = Recogniser(device="cpu")


@dataclass
class Segment:
    text: str
    no_speech_prob: float = 0.1
    compression_ratio: float = 1.0


class StandIn:
    """Has WhisperModel's `transcribe`; hears a clip's length in tenths of a second, or what `says` has for it."""

    def __init__(self, says: dict[int, list[Segment]] | None = None, dies_at: int | None = None) -> None:
        self.says, self.dies_at = says or {}, dies_at
        self.heard: list[int] = []
        self.options: dict[str, Any] = {}

    def transcribe(self, audio: np.ndarray, **options: Any) -> tuple[Iterator[Segment], object]:
        assert audio.dtype == np.float32 and audio.ndim == 1
        self.options, tenths = options, round(len(audio) / 1600)

        def segments() -> Iterator[Segment]:  # the work is done when they are consumed, as in the library
            if len(self.heard) == self.dies_at:
                raise KeyboardInterrupt
            self.heard.append(tenths)
            yield from self.says.get(tenths, [Segment(f" heard {tenths}")])

        return segments(), SimpleNamespace(language="en")


ROWS = [
    {"Utterance": "Heard three!", "Sr No.": 7, "Season": 4, "Utterance_ID": 0},
    {"Utterance": "", "Utterance_ID": 1},
    {"Utterance": "  ", "Utterance_ID": 3, "Speaker": "Bo, and \x92Al"},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clips of 0.3, 0.4 and 0.5 s in train, of 0.6 s in dev, a test file that must not be opened."""
    folder = tmp_path / "data"
    for index, row in enumerate(ROWS):
        write_flac(folder / f"audios/train/dia0_utt{row['Utterance_ID']}.flac", 0.3 + index / 10)
    write_flac(folder / "audios/dev/dia0_utt0.flac", 0.6)
    (folder / "train_sent_emo.csv").write_bytes(b"\xef\xbb\xbf" + meld_csv(*ROWS).encode())
    (folder / "dev_sent_emo.csv").write_text(meld_csv({"Utterance": "Heard 6, did you?"}), newline="")
    (folder / "test_sent_emo.csv").write_bytes(b"\xff")
    return folder


@pytest.fixture
def run(root, tmp_path):
    """run(model=..., ...) -> tallies; writes tmp_path/out with the cache tmp_path/cache."""

    def go(**settings: Any):
        settings = {"recogniser": CPU, "cache": tmp_path / "cache", "model": StandIn()} | settings
        return transcribe_corpus(root, settings.pop("out", tmp_path / "out"), **settings)

    return go


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def texts(folder: Path, split: str = "train") -> list[str]:
    return [utterance.text for utterance in load_corpus("meld", folder, [split]).utterances(split)]


def test_out_is_a_data_folder_that_differs_in_its_text_only(run, root, tmp_path):
    run()
    out = tmp_path / "out"
    assert texts(out) == ["heard 3", "heard 4", "heard 5"] and texts(out, "dev") == ["heard 6"]
    assert not (out / "test_sent_emo.csv").exists()
    source, written = cells(root / "train_sent_emo.csv"), cells(out / "train_sent_emo.csv")
    source[0][0] = source[0][0].removeprefix("\ufeff")
    assert [row[:1] + row[2:] for row in written] == [row[:1] + row[2:] for row in source]
    first = load_corpus("meld", out).utterances("train")[0]
    assert (out / first.audio).read_bytes() == (root / first.audio).read_bytes()
    # moved together, the two folders still belong together
    (moved := tmp_path / "moved").mkdir()
    root.rename(moved / "data"), out.rename(moved / "out")
    assert (moved / "out" / first.audio).is_file()


def test_model_is_given_the_samples_and_options_that_make_it_repeatable(run):
    model = StandIn()
    run(model=model)
    assert model.heard == [3, 4, 5, 6]
    assert model.options == {
        "language": "en",
        "beam_size": 5,
        "temperature": 0.0,
        "condition_on_previous_text": False,
        "vad_filter": True,
    }


def test_progress_counts_the_utterances_of_all_splits(run):
    told = []
    run(progress=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_segments_are_joined_and_hallucinations_dropped(run, tmp_path):
    says = {
        3: [Segment(" One,"), Segment("  two.\n"), Segment("Thanks for watching!", no_speech_prob=0.61)],
        4: [Segment("ha " * 50, compression_ratio=2.41), Segment("at the limits", 0.6, 2.4)],
        5: [],
        6: [Segment("   ")],
    }
    tallies = run(model=StandIn(says))
    assert texts(tmp_path / "out") == ["One, two.", "at the limits", ""] and texts(tmp_path / "out", "dev") == [""]
    assert (tallies["train"].transcribed, tallies["train"].empty, tallies["train"].unreadable) == (3, 1, 0)


def test_second_run_transcribes_nothing_and_needs_no_model(run, root, tmp_path, monkeypatch):
    run()
    before = (tmp_path / "out/train_sent_emo.csv").read_bytes()
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    tallies = run(model=None, out=tmp_path / "elsewhere")
    assert (tallies["train"].from_cache, tallies["train"].transcribed) == (3, 0)
    assert (tmp_path / "elsewhere/train_sent_emo.csv").read_bytes() == before
    write_flac(root / "audios/train/dia0_utt1.flac", 0.9)  # other bytes under the old name
    assert (run().get("train").from_cache, texts(tmp_path / "out")[1]) == (2, "heard 9")


@pytest.mark.parametrize("torn", [b"", b'{"sha256": "5d', b'{"sha256": "aa", "text": "\xc3'])
def test_killed_run_goes_on_where_it_was(torn, run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(model=StandIn(dies_at=2))
    assert not (tmp_path / "out/train_sent_emo.csv").exists()
    [file] = (tmp_path / "cache").iterdir()
    with file.open("ab") as stream:
        stream.write(torn)
    model = StandIn()
    tally = run(model=model)["train"]
    assert model.heard == [5, 6] and (tally.from_cache, tally.transcribed) == (2, 1)
    assert texts(tmp_path / "out") == ["heard 3", "heard 4", "heard 5"]
    assert run(model=None)["train"].from_cache == 3  # what came after the torn line is whole


@pytest.mark.parametrize(
    "change",
    [{"model": "small.en"}, {"language": "zh"}, {"vad": False}, {"compute_type": "float32"}, {"max_seconds": 5.0}],
    ids=str,
)
def test_cache_is_not_shared_between_models_or_options(change, run, tmp_path):
    run()
    model = StandIn()
    assert run(model=model, recogniser=replace(CPU, **change))["train"].from_cache == 0
    assert len(model.heard) == 4 and len(list((tmp_path / "cache").iterdir())) == 2


def test_local_model_is_known_by_its_files_not_by_its_path(tmp_path):
    (folder := tmp_path / "whisper").mkdir()
    (folder / "model.bin").write_bytes(b"one")
    before = Recogniser(model=str(folder)).identity()
    assert before == Recogniser(model=f"{folder}/").identity() and before["model"].startswith("whisper@")
    (folder / "model.bin").write_bytes(b"two")
    assert Recogniser(model=str(folder)).identity() != before


def test_cache_keeps_any_text(tmp_path):
    odd = 'line\u2028separator "quoted" \u0085 \U0001f600'
    TranscriptCache(tmp_path, {"model": "a/b"}).add("aa", odd)
    assert TranscriptCache(tmp_path, {"model": "a/b"}).get("aa") == odd
    assert TranscriptCache(tmp_path, {"model": "a.b"}).get("aa") is None


def test_clip_is_cut_before_it_is_heard(run):
    model = StandIn()
    run(model=model, recogniser=replace(CPU, max_seconds=0.4))
    assert model.heard == [3, 4, 4, 4]


def test_only_missing_keeps_the_text_that_is_there(run, tmp_path):
    model = StandIn()
    tallies = run(model=model, only_missing=True)
    assert texts(tmp_path / "out") == ["Heard three!", "heard 4", "heard 5"] and model.heard == [4, 5]
    assert (tallies["train"].kept, tallies["dev"].kept) == (1, 1)
    assert tallies["train"].word_error_rate is None and "unknown, no gold text" in str(tallies["train"])


def test_words_are_counted_without_case_and_punctuation():
    assert words("Don’t -- I'm WELL-known; 10 % of them, señor_!") == [
        *("dont", "im", "well", "known", "10", "of", "them", "señor")
    ]


@pytest.mark.parametrize(
    ("gold", "heard", "errors"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 0),
        ("the cat sat on the mat", "a cat sat the mat now", 3),  # one substituted, one deleted, one inserted
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d a", 2),
    ],
)
def test_word_errors(gold, heard, errors):
    assert word_errors(gold.split(), heard.split()) == errors


def test_word_errors_are_the_literal_edit_distance():
    @functools.cache
    def distance(gold, heard):
        if not gold or not heard:
            return len(gold) + len(heard)
        kept = distance(gold[1:], heard[1:]) + (gold[0] != heard[0])
        return min(kept, distance(gold[1:], heard) + 1, distance(gold, heard[1:]) + 1)

    rng = np.random.default_rng(0)
    for _ in range(300):
        gold, heard = (tuple(rng.choice(["a", "ab", "señor", "10"], rng.integers(0, 9))) for _ in range(2))
        assert word_errors(gold, heard) == distance(gold, heard), (gold, heard)


def test_word_error_rate_pools_the_words_of_a_split(run, root):
    (root / "train_sent_emo.csv").write_text(
        meld_csv(
            {"Utterance": "Heard three!"},  # heard "heard 3": one of two
            {"Utterance": "I HEARD 4, too.", "Utterance_ID": 1},  # two deleted of four
            {"Utterance": "?!", "Utterance_ID": 3},  # no words to get wrong
            {"Utterance": "No clip at all.", "Utterance_ID": 9},  # not the recogniser's fault
        )
    )
    tally = run()["train"]
    assert (tally.errors, tally.gold_words, tally.word_error_rate) == (3, 6, 0.5)
    assert "word error rate 50.00% of 6 words" in str(tally)


def test_clip_that_cannot_be_used_gives_empty_text_and_one_line(run, root, tmp_path, caplog):
    (root / "audios/train/dia0_utt0.flac").write_bytes(b"")
    (root / "audios/train/dia0_utt1.flac").unlink()
    with caplog.at_level(logging.WARNING):
        tally = run()["train"]
    assert texts(tmp_path / "out") == ["", "", "heard 5"]
    assert (tally.unreadable, tally.empty, tally.transcribed) == (2, 0, 1)
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        "train/dia0_utt0",
        "train/dia0_utt1",
    ]
    assert "videos/train/dia0_utt1.mp4: no such file" in caplog.text


def test_sound_track_of_the_video_stands_in_for_the_audio(run, root, tmp_path):
    (root / "audios/train/dia0_utt0.flac").unlink()
    write_video(root / "videos/train/dia0_utt0.mp4", 25)
    write_video(root / "videos/train/dia0_utt1.mp4", 50)  # its audio file goes first
    (root / "audios/train/dia0_utt3.flac").write_bytes(b"not sound")
    truncate(write_video(root / "videos/train/dia0_utt3.mp4", 25), 0.1)
    tally = run()["train"]
    assert texts(tmp_path / "out") == ["heard 10", "heard 4", ""] and tally.unreadable == 1
    assert run(model=None)["train"].from_cache == 2
    assert (tmp_path / "out/videos/train/dia0_utt0.mp4").is_file()


def test_earlier_splits_of_the_same_kind_stay_and_others_go(run, root, tmp_path):
    out = tmp_path / "out"
    run(splits=["train"])
    run(splits=["dev"])
    marker = json.loads((out / "transcripts.json").read_text())
    assert texts(out) and set(marker["splits"]) == {"train", "dev"} and marker["model"] == "distil-large-v3"
    assert marker["options"]["temperature"] == 0.0 and marker["splits"]["dev"]["transcribed"] == 1
    run(splits=["dev"], recogniser=replace(CPU, model="small.en"))
    assert sorted(path.name for path in out.iterdir()) == ["audios", "dev_sent_emo.csv", "transcripts.json"]


def test_failed_run_leaves_an_earlier_result_whole(run, tmp_path, monkeypatch):
    run()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    refusal(lambda: run(model=None, recogniser=replace(CPU, model="small.en")))
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert len(before) == 3 and texts(tmp_path / "out") == ["heard 3", "heard 4", "heard 5"]


def test_test_split_is_read_when_it_is_named(run, root, tmp_path):
    (root / "test_sent_emo.csv").write_text(meld_csv({}))
    write_flac(root / "audios/test/dia0_utt0.flac", 0.7)
    run()
    assert not (tmp_path / "out/test_sent_emo.csv").exists()
    run(splits=["test"])
    assert texts(tmp_path / "out", "test") == ["heard 7"]


def refusal(call) -> str:
    with pytest.raises(MerError) as fault:
        call()
    return fault.value.message


def test_nothing_of_others_is_overwritten(run, root, tmp_path):
    source = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    (tmp_path / "link").symlink_to(root)
    for same in (root, root / "audios" / "..", tmp_path / "link"):
        assert "is the data folder itself" in refusal(lambda same=same: run(out=same))
    (theirs := tmp_path / "theirs").mkdir()
    (theirs / "notes.txt").write_text("mine")
    for marker in ('["made_by"]', '{"made_by": "somebody"}', "{"):
        (theirs / "transcripts.json").write_text(marker)
        said = refusal(lambda: run(out=theirs))
        assert "did not write: notes.txt, transcripts.json" in said and "next: choose a new or an empty folder" in said
    assert "this is a file" in refusal(lambda: run(out=theirs / "notes.txt"))
    run()
    (tmp_path / "out/audios").unlink()
    (tmp_path / "out/audios").mkdir()
    assert "in the way of a link to the clips" in refusal(run)
    assert source == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_data_without_clips_are_refused_before_anything_is_written(run, root, tmp_path):
    (root / "audios").rename(tmp_path / "away")
    assert "none of the clips are here" in refusal(run) and not (tmp_path / "out").exists()
    (root / "emorynlp_dev_final.csv").write_text(
        "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time\n"
        "Hi,['Adira'],Neutral,1,1,1,1,,\n"
    )
    assert "say of no utterance where its clip is" in refusal(lambda: run(dataset="emorynlp", splits=["dev"]))


def test_faster_whisper_that_is_not_installed(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert refusal(lambda: run(model=None)) == ("faster-whisper: is not installed\n  next: pip install 'mer[asr]'")


def library(monkeypatch, build) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=build))


@pytest.mark.parametrize("fault", [ValueError("Invalid model size"), RuntimeError(""), OSError("no route\nto host")])
def test_model_that_cannot_be_had(fault, run, monkeypatch):
    def build(*_: Any, **__: Any) -> None:
        raise fault

    library(monkeypatch, build)
    said = refusal(lambda: run(model=None))
    first = (str(fault).splitlines() or ["no message"])[0]
    assert said.startswith(
        f"--model distil-large-v3: cannot be loaded (device cpu, compute type int8): {type(fault).__name__}: {first}\n"
    )
    assert "--model FOLDER" in said


def test_model_is_built_once_as_asked(run, monkeypatch, tmp_path):
    built = []

    def build(*words: Any, **options: Any) -> StandIn:
        built.append((words, options))
        return StandIn()

    library(monkeypatch, build)
    run(model=None, recogniser=replace(CPU, compute_type="float32"))
    (tmp_path / "whisper").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    run(model=None, recogniser=replace(CPU, model="~/whisper"))
    assert built == [
        (("distil-large-v3",), {"device": "cpu", "compute_type": "float32"}),
        ((str(tmp_path / "whisper"),), {"device": "cpu", "compute_type": "int8"}),
    ]


def test_model_that_fails_on_a_clip_loses_nothing(run):
    class Broken(StandIn):
        def transcribe(self, audio, **options):
            if len(self.heard) == 2:
                raise RuntimeError("CUDA failed with error out of memory")
            return super().transcribe(audio, **options)

    said = refusal(lambda: run(model=Broken()))
    assert "dia0_utt3.flac: the model 'distil-large-v3' failed on this clip: RuntimeError: CUDA failed" in said
    assert run()["train"].from_cache == 2


@pytest.mark.parametrize(("gpu", "compute_type"), [(False, "int8"), (True, "float16")])
def test_auto_is_resolved_before_it_is_a_key(gpu, compute_type, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    found = Recogniser().resolved()
    assert (found.device, found.compute_type) == ("cuda" if gpu else "cpu", compute_type)
    assert replace(found, device="cpu").identity() == found.identity()


def test_command(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    library(monkeypatch, lambda *_, **__: StandIn())
    arguments = ["transcribe", str(root), "--out", "out", "--splits", "dev", "--device", "cpu", "--no-vad"]
    monkeypatch.setattr(sys, "argv", ["python -m mer.data", *arguments])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert not end.value.code
    assert capsys.readouterr().out == (
        "dev: 1 utterances: 0 from the cache, 1 transcribed, 0 unreadable; 0 of those heard are empty; "
        "word error rate 50.00% of 4 words\nwrote out\nnext: python -m mer.data check out\n"
    )
    assert json.loads(Path("out/transcripts.json").read_text(encoding="utf-8"))["options"]["vad_filter"] is False
    assert len(list(Path("transcripts").iterdir())) == 1
    arguments[3] = str(root)
    monkeypatch.setattr(sys, "argv", ["python -m mer.data", *arguments])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code == 2 and "is the data folder itself" in capsys.readouterr().err


def test_importing_it_loads_no_heavy_library():
    heavy = "{'torch', 'soundfile', 'av', 'faster_whisper'}"
    code = f"import sys, mer.data.transcribe.corpus; sys.exit({heavy} & set(sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
