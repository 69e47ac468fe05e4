"""Features of others: every layout gives the same rows, what is missing is masked, what is unfit is refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clip_corpus import EMOTIONS, PER_DIALOGUE, clip_id, write_csv
from given_cases import LAYOUTS, WIDTH, Clips, make_clips, pooled

from mer.config import AudioEncoderConfig, DataConfig, TextEncoderConfig, VideoEncoderConfig
from mer.data import load_corpus
from mer.errors import MerError
from mer.features import describe_backbone, ensure_features, load_features
from mer.features.failures import TooManyFailed
from mer.features.rehearse import rehearse

ROWS = {"train": 9, "dev": 6}


@pytest.fixture(scope="module")
def clips() -> Clips:
    return make_clips(ROWS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts in MELD's layout, without a single clip."""
    place = tmp_path_factory.mktemp("given")
    for split, count in ROWS.items():
        write_csv(place, split, [EMOTIONS[row % 7] for row in range(count)])
    return place


@pytest.fixture
def data(root: Path) -> DataConfig:
    return DataConfig(root=str(root))


@pytest.fixture
def folder(tmp_path: Path, clips: Clips) -> Path:
    return LAYOUTS["parts"](tmp_path / "wavlm-UTT", clips, PER_DIALOGUE)


def heard(path: Path, **options: Any) -> AudioEncoderConfig:
    return AudioEncoderConfig(backbone=f"file:{path}", **options)


def extract(data: DataConfig, encoder: Any, cache: Path, **options: Any) -> Any:
    return ensure_features(data, encoder, ["train", "dev"], cache=cache, progress=False, **options)


def refusal(data: DataConfig, encoder: Any, cache: Path) -> MerError:
    with pytest.raises(MerError) as caught:
        extract(data, encoder, cache)
    return caught.value


# ---- every layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows(layout: str, data: DataConfig, clips: Clips, tmp_path: Path) -> None:
    if layout == "h5":
        pytest.importorskip("h5py")
    encoder = heard(LAYOUTS[layout](tmp_path / "theirs", clips, PER_DIALOGUE))
    assert describe_backbone(encoder).width == WIDTH and describe_backbone(encoder).layers == 1
    done = extract(data, encoder, tmp_path / "cache")
    for split, count in ROWS.items():
        table = load_features(done.paths[split])
        assert table.ids == tuple(clip_id(split, row) for row in range(count)) and table.present.all()
        expected = np.stack([pooled(frames) for frames in clips[split]])
        np.testing.assert_allclose(table.features[:, 0], expected, atol=1e-6)
        assert table.features.dtype == np.float32, "others' numbers are kept as they are"
    corpus = load_corpus("meld", data.root, splits=("train", "dev"))
    np.testing.assert_array_equal(table.labels["emotion"], corpus.labels("dev", "emotion"))


@pytest.mark.parametrize("kind", [TextEncoderConfig, AudioEncoderConfig, VideoEncoderConfig])
def test_any_modality_reads_them(kind: Any, data: DataConfig, folder: Path, tmp_path: Path) -> None:
    done = extract(data, kind(backbone=f"file:{folder}"), tmp_path / "cache")
    table = load_features(done.paths["dev"])
    assert table.features.shape == (ROWS["dev"], 1, WIDTH) and table.label_text == {}


def test_first_frame_as_the_pooler_says(data: DataConfig, folder: Path, clips: Clips, tmp_path: Path) -> None:
    table = load_features(extract(data, heard(folder, pooler="first"), tmp_path / "cache").paths["dev"])
    np.testing.assert_allclose(table.features[:, 0], np.stack([frames[0] for frames in clips["dev"]]), atol=1e-6)


@pytest.mark.parametrize("layout", ["parts", "safetensors", "frames"])
def test_frames_are_kept_where_sequences_are_read(layout: str, data: DataConfig, clips: Clips, tmp_path: Path) -> None:
    """Without frames of zeros alone, and averaged down to `max_states`."""
    place = LAYOUTS[layout](tmp_path / "theirs", clips, PER_DIALOGUE)
    done = extract(data, heard(place, pooler="none"), tmp_path / "cache")
    table = load_features(done.paths["dev"])
    assert table.keeps_states and table.hidden_states == 1 and table.sequences is not None
    for row, frames in enumerate(clips["dev"]):
        start, end = table.sequences.offsets[row : row + 2]
        np.testing.assert_array_equal(table.sequences.values[start:end], frames[frames.any(axis=1)])
    assert table.sequences.values.dtype == np.float32 and not table.sequences.fault(table.present)
    few = load_features(extract(data, heard(place, pooler="none", max_states=1), tmp_path / "cache").paths["dev"])
    assert few.sequences is not None and few.sequences.lengths.tolist() == [1] * ROWS["dev"]
    np.testing.assert_allclose(few.sequences.values, [pooled(frames) for frames in clips["dev"]], atol=1e-6)


def test_absent_and_silent_rows_have_no_frames(data: DataConfig, folder: Path, tmp_path: Path) -> None:
    (folder / "valid" / "dia0_utt0.npy").unlink()
    np.save(folder / "valid" / "dia0_utt1.npy", np.zeros((3, WIDTH)))
    table = load_features(extract(data, heard(folder, pooler="none"), tmp_path / "cache").paths["dev"])
    assert table.sequences is not None and table.sequences.lengths[:2].tolist() == [0, 0]
    assert table.present.tolist() == [False, False, True, True, True, True]
    np.save(folder / "valid" / "dia0_utt2.npy", np.full((3, WIDTH), np.nan))
    assert "holds NaN or infinity" in refusal(data, heard(folder, pooler="none"), tmp_path / "cache").found


def test_own_ids_hold_whatever_the_split(folder: Path, clips: Clips, tmp_path: Path) -> None:
    """The ids of a user's table find features that MMSA divided otherwise."""
    ids = [f"vid{row}$_${row}" for row in range(12)]
    arrays = {"train/audio": np.stack(clips["train"][:6]), "valid/audio": np.stack(clips["dev"])}
    np.savez(tmp_path / "all.npz", **arrays, **{"train/id": np.array(ids[:6]), "valid/id": np.array(ids[6:])})
    told = [(row, ("anger", "joy")[row % 2], "dev" if row < 4 else "train") for row in range(12)]
    lines = [f"vid{row}_{row},said {row},{label},{split}" for row, label, split in told]
    (tmp_path / "own.csv").write_text("\n".join(["id,text,label,split", *lines]), encoding="utf-8")
    own = DataConfig(dataset="csv", root=str(tmp_path / "own.csv"))
    table = load_features(extract(own, heard(tmp_path / "all.npz"), tmp_path / "cache").paths["dev"])
    np.testing.assert_allclose(table.features[:, 0], [pooled(frames) for frames in clips["train"][:4]], atol=1e-6)


# ---- identity


def test_the_key_follows_the_content_not_the_place(data: DataConfig, folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = extract(data, heard(folder), cache)
    assert extract(data, heard(folder), cache).encoded == 0, "the second time it is there"
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere" / folder.name))
    assert extract(data, heard(moved), cache).paths == first.paths
    np.save(moved / "valid" / "dia0_utt0.npy", np.full(WIDTH, 7.0))
    again = extract(data, heard(moved), cache)
    assert again.paths["train"] == first.paths["train"] and again.paths["dev"] != first.paths["dev"]
    assert again.encoded == ROWS["dev"]


def test_a_table_is_known_by_its_hash(data: DataConfig, clips: Clips, tmp_path: Path) -> None:
    path = LAYOUTS["safetensors"](tmp_path / "theirs", clips, PER_DIALOGUE)
    first = extract(data, heard(path), tmp_path / "cache").paths
    LAYOUTS["safetensors"](tmp_path / "theirs", make_clips(ROWS, seed=1), PER_DIALOGUE)
    assert set(extract(data, heard(path), tmp_path / "cache").paths.values()).isdisjoint(first.values())


# ---- what is missing


def test_missing_and_zero_features_are_masked_and_counted(data: DataConfig, folder: Path, tmp_path: Path) -> None:
    (folder / "train" / "dia0_utt1.npy").unlink()
    np.save(folder / "train" / "dia1_utt0.npy", np.zeros((3, WIDTH)))  # as extractors say that there was no face
    done = extract(data, heard(folder), tmp_path / "cache")
    table = load_features(done.paths["train"])
    assert np.flatnonzero(~table.present).tolist() == [1, 3] and not table.features[[1, 3]].any()
    reasons = {"train/dia0_utt1": "no features of this name", "train/dia1_utt0": "its features are all zero"}
    assert table.card["masked"] == reasons
    assert done.failures[0].count == 2 and done.failures[1].count == 0
    for cache in ("cache", "other"):  # also where the file is there already
        with pytest.raises(TooManyFailed, match=r"stopped: 2 of 9 clips") as caught:
            extract(data, heard(folder), tmp_path / cache, max_failed=0.1)
        assert caught.value.then.startswith("extract the features of these utterances too; or allow more: --max-failed")
    corpus = load_corpus("meld", data.root, splits=("train", "dev"))
    rehearse(heard(folder), corpus, ["train", "dev"])
    with pytest.raises(TooManyFailed):
        rehearse(heard(folder), corpus, ["train", "dev"], max_failed=0.05)


def test_features_of_other_utterances_are_refused(data: DataConfig, folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "train")
    fault = refusal(data, heard(folder), tmp_path / "cache")
    assert "holds features of none of the 9 utterances of train: it names dev/dia0_utt0" in fault.found
    assert "audios/train/dia0_utt0" in fault.found and "data.columns.id" in fault.then


def test_names_that_two_utterances_share_are_no_names(data: DataConfig, clips: Clips, tmp_path: Path) -> None:
    """dia0_utt0 is in train and in dev: a file of that name says nothing."""
    for row, frames in enumerate(clips["train"]):
        (tmp_path / "flat").mkdir(exist_ok=True)
        np.save(tmp_path / "flat" / f"dia{row // 3}_utt{row % 3}.npy", frames)
    assert "holds features of none" in refusal(data, heard(tmp_path / "flat"), tmp_path / "cache").found


# ---- what is refused


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def objects(file: Path) -> None:
    np.save(file, np.array([Trap(file.with_name("mark")), 1.0], dtype=object), allow_pickle=True)


def short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def narrow(file: Path) -> None:
    np.save(file, np.ones(WIDTH - 1, dtype=np.float32))


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def out(file: Path) -> None:
    file.replace(elsewhere := file.parents[2] / "elsewhere.npy")
    file.symlink_to(elsewhere)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "objects": (objects, "dtype object"),
    "short": (short, "its header promises"),
    "narrow": (narrow, f"{WIDTH} in 5, {WIDTH - 1} in 1 (e.g. valid/dia0_utt1.npy)"),
    "nan": (lambda file: np.save(file, np.full(WIDTH, np.nan)), "holds NaN or infinity"),
    "infinite": (lambda file: np.save(file, np.full(WIDTH, -np.inf)), "holds NaN or infinity"),
    "too large": (lambda file: np.save(file, np.full(WIDTH, 1e300)), "holds NaN or infinity"),
    "empty": (lambda file: np.save(file, np.zeros((0, WIDTH))), "is empty: shape (0, 6)"),
    "text": (lambda file: np.save(file, np.array(["a", "b"])), "numbers are expected"),
    "structured": (lambda file: np.save(file, np.zeros(3, dtype=[("a", "f4")])), "numbers are expected"),
    "complex": (lambda file: np.save(file, np.zeros(WIDTH, dtype=complex)), "numbers are expected"),
    "cube": (lambda file: np.save(file, np.ones((2, 2, WIDTH))), "(frames, width) is expected"),
    "number": (lambda file: np.save(file, np.float32(1)), "(frames, width) is expected"),
    "no array": (lambda file: file.write_text("<html>"), "is no whole .npy file"),
    "nothing": (lambda file: file.write_bytes(b""), "is no whole .npy file"),
    "pipe": (pipe, "not a file but a pipe"),
    "link": (out, "a link that leads out"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unfit_features_end_in_one_message(name: str, data: DataConfig, folder: Path, tmp_path: Path) -> None:
    spoil, words = BROKEN[name]
    spoil(folder / "valid" / "dia0_utt1.npy")
    fault = refusal(data, heard(folder), tmp_path / "cache")
    assert words in fault.found and fault.where == str(folder) and "\n" not in fault.found
    assert not (folder / "valid" / "mark").exists()
    kept = [path.name for path in (tmp_path / "cache").rglob("dev-*.safetensors")]
    assert kept == [], "nothing of the split is half-written"


def test_all_faults_are_in_one_message(data: DataConfig, folder: Path, tmp_path: Path) -> None:
    for name in ("dia0_utt1", "dia0_utt2", "dia1_utt0"):
        np.save(folder / "train" / f"{name}.npy", np.full(WIDTH, np.nan))
    np.save(folder / "train" / "dia1_utt1.npy", np.ones((2, 2, 2)))
    fault = refusal(data, heard(folder), tmp_path / "cache")
    assert "the features of 4 utterances of train cannot be used: 3 times: holds NaN" in fault.found


TABLES: dict[str, tuple[Callable[[Path], Path], str]] = {}


def table(name: str, words: str) -> Any:
    def keep(write: Callable[[Path], Path]) -> Any:
        TABLES[name] = (write, words)
        return write

    return keep


@table("no ids", "none is called audio")
def _no_ids(place: Path) -> Path:
    np.savez(file := place / "t.npz", **{"train/ids": np.array(["a"]), "train/text": np.ones((1, 2))})
    return file


@table("other rows", "has 3 rows for 2 ids")
def _other_rows(place: Path) -> Path:
    np.savez(file := place / "t.npz", audio=np.ones((3, 2)), ids=np.array(["a", "b"]))
    return file


@table("twice", "holds 'a' twice")
def _twice(place: Path) -> Path:
    np.savez(file := place / "t.npz", audio=np.ones((2, 2)), ids=np.array(["a", "a.wav"]))
    return file


@table("objects in npz", "dtype object")
def _npz_objects(place: Path) -> Path:
    np.savez(file := place / "t.npz", a=np.array([Trap(place / "mark")], dtype=object))
    return file


@table("no zip", "is no whole .npz file")
def _no_zip(place: Path) -> Path:
    (file := place / "t.npz").write_bytes(b"PK\x03\x04 and no more")
    return file


@table("lying zip", "promises")
def _lying(place: Path) -> Path:
    np.save(place / "x.npy", np.ones(4))
    content = (place / "x.npy").read_bytes().replace(b"(4,)", b"(9,)")
    with zipfile.ZipFile(file := place / "t.npz", "w") as archive:
        archive.writestr("a.npy", content)
    return file


@table("safetensors", "without a safetensors header")
def _no_safetensors(place: Path) -> Path:
    (file := place / "t.safetensors").write_bytes(b"no")
    return file


@table("csv without names", "has no column that names the clips")
def _no_names(place: Path) -> Path:
    (file := place / "t.csv").write_text("f0,f1\n1,2\n", encoding="utf-8")
    return file


@table("csv with a word", "line 2, column 'f1': 'much' is no number")
def _word(place: Path) -> Path:
    (file := place / "t.csv").write_text("id,f0,f1\na,1,much\n", encoding="utf-8")
    return file


@table("ragged csv", "line 3 has 2 cells, the first has 3")
def _ragged(place: Path) -> Path:
    (file := place / "t.csv").write_text("id,f0,f1\na,1,2\nb,1\n", encoding="utf-8")
    return file


@table("doubled csv", "holds 'a' twice, and no column (start, frame, timestamp)")
def _doubled(place: Path) -> Path:
    (file := place / "t.csv").write_text("id,f0\na,1\na,2\n", encoding="utf-8")
    return file


@table("empty csv", "is empty")
def _empty(place: Path) -> Path:
    (file := place / "t.csv").write_text("", encoding="utf-8")
    return file


@table("latin csv", "is not UTF-8")
def _latin(place: Path) -> Path:
    (file := place / "t.csv").write_bytes("id,f0\nmüde,1\n".encode("cp1252"))
    return file


@table("empty folder", "holds no file of features")
def _empty_folder(place: Path) -> Path:
    (file := place / "t").mkdir()
    return file


@table("absent", "no such file or folder")
def _absent(place: Path) -> Path:
    return place / "t.npz"


@table("picture", "which is no file of features")
def _picture(place: Path) -> Path:
    (file := place / "t.png").write_bytes(b"x")
    return file


@table("pickle", "is a pickle, which can run code")
def _pickle(place: Path) -> Path:
    (file := place / "t.pkl").write_bytes(b"x")
    return file


@pytest.mark.parametrize("name", TABLES)
def test_unfit_tables_end_in_one_message(name: str, data: DataConfig, tmp_path: Path) -> None:
    write, words = TABLES[name]
    encoder = heard(write(tmp_path))
    fault = refusal(data, encoder, tmp_path / "cache")
    assert words in fault.found and not (tmp_path / "mark").exists()
    assert fault.allowed or fault.then
    corpus = load_corpus("meld", data.root, splits=("train", "dev"))
    with pytest.raises(MerError) as caught:  # a dry run says the same
        rehearse(encoder, corpus, ["train", "dev"])
    assert str(caught.value) == str(fault)


def test_settings_that_only_a_backbone_reads_are_refused(folder: Path) -> None:
    for options, word in (({"max_seconds": 3.0}, "max_seconds"), ({"dtype": "bfloat16"}, "dtype")):
        with pytest.raises(MerError, match=f"{word} cannot be set beside it"):
            describe_backbone(heard(folder, **options))
    with pytest.raises(MerError, match="'target' asked of file:"):
        describe_backbone(TextEncoderConfig(backbone=f"file:{folder}", pooler="target"))
    with pytest.raises(MerError, match="prompt cannot be set beside it"):
        describe_backbone(TextEncoderConfig(backbone=f"file:{folder}", prompt=True))
