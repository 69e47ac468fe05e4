"""The sample corpus's voices and faces: whole, repeatable, and each carrying a part of the emotion."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from mer.config import AudioEncoderConfig, VideoEncoderConfig
from mer.data import load_corpus
from mer.data.media.audio import read_audio
from mer.data.media.video import read_frames
from mer.data.prepare.from_archive import prepare
from mer.data.sample.corpus import write_sample
from mer.data.sample.plan import MODALITIES, plan
from mer.features.audio import open_encoder as open_audio
from mer.features.video import open_encoder as open_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample") / "corpus"
    write_sample(root, dialogues_per_split={"train": 40}, modalities=MODALITIES, workers=2)
    return root


def sounds(root: Path) -> dict[str, str]:
    found = sorted((root / "audios").rglob("*.flac"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_every_utterance_has_its_voice_and_its_face(corpus: Path):
    utterances = load_corpus("meld", corpus, ["train"]).utterances("train")
    for utterance in utterances[::25]:
        assert utterance.audio and utterance.video and utterance.start_s is not None and utterance.end_s is not None
        heard = read_audio(corpus / utterance.audio, max_seconds=20)
        assert heard.duration_s == pytest.approx(utterance.end_s - utterance.start_s, abs=0.1) and not heard.notes
        assert 0.01 < float(np.abs(heard.samples).max()) <= 1.0
        seen = read_frames(corpus / utterance.video, 8, max_seconds=20)
        assert seen.images.std() > 10 and seen.duration_s == pytest.approx(heard.duration_s, abs=0.2)
        track = read_audio(corpus / utterance.video, max_seconds=20)  # the same voice goes with the picture
        assert track.duration_s == pytest.approx(heard.duration_s, abs=0.2)
    assert len(sounds(corpus)) == len(utterances) == len(list((corpus / "videos").rglob("*.mp4")))


def test_the_same_seed_gives_the_same_corpus(tmp_path: Path):
    for name, seed, workers in (("a", 3, 1), ("b", 3, 2), ("c", 4, 1)):
        write_sample(tmp_path / name, dialogues_per_split={"dev": 2}, seed=seed, modalities=MODALITIES, workers=workers)
    assert sounds(tmp_path / "a") == sounds(tmp_path / "b") and sounds(tmp_path / "a")
    assert set(sounds(tmp_path / "a").values()).isdisjoint(sounds(tmp_path / "c").values())
    for path in sorted((tmp_path / "a").rglob("*.mp4"))[:4]:
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        one, two = (read_frames(p, 12, max_seconds=20).images for p in (path, twin))
        assert np.array_equal(one, two)


def test_text_alone_writes_the_same_text_and_takes_the_clips_away(tmp_path: Path):
    write_sample(tmp_path, dialogues_per_split={"dev": 2}, modalities=MODALITIES)
    text = (tmp_path / "dev_sent_emo.csv").read_bytes()
    assert sounds(tmp_path)
    write_sample(tmp_path, dialogues_per_split={"dev": 2}, modalities=("text",))
    assert (tmp_path / "dev_sent_emo.csv").read_bytes() == text
    assert not list(tmp_path.rglob("*.flac")) and not list(tmp_path.rglob("*.mp4"))


def test_the_raw_layout_is_what_prepare_reads(tmp_path: Path):
    sizes = {"train": 3, "dev": 3, "test": 12}
    write_sample(tmp_path / "raw", raw=True, dialogues_per_split=sizes, seed=1, modalities=MODALITIES, workers=2)
    odd = json.loads((tmp_path / "raw/sample.json").read_text())["oddities"]
    prepare(tmp_path / "raw", tmp_path / "out", workers=2, link="auto", progress=lambda done, total: None)
    manifest = (tmp_path / "out/manifest.json").read_text()
    assert odd and "cannot be decoded" in manifest and "no clip in the archive" in manifest and "prefixed" in manifest
    folders = [tmp_path / "out" / kind / "train" for kind in ("audios", "videos")]
    heard, seen = (len(list(folder.iterdir())) for folder in folders)
    assert heard == seen - 1  # the clip that cannot be decoded has no sound


def test_fusing_voice_and_face_with_words_pays(corpus: Path):
    """Five folds by dialogue; what the plan shows of the text stands for a text model."""
    rows = load_corpus("meld", corpus, ["train"]).utterances("train")
    shown = {(f"dia{u.dialogue}", u.number): u for u in plan(0, {"train": 40})}
    classes = sorted({row.emotion for row in rows})
    labels = np.array([classes.index(row.emotion) for row in rows])
    groups = np.array([int(row.dialogue.removeprefix("dia")) for row in rows])
    words = np.array([
        [float("text" in shown[row.dialogue, row.number].shows and row.emotion == name) for name in classes]
        for row in rows
    ])  # fmt: skip
    audio, video = open_audio(AudioEncoderConfig(), None), open_video(VideoEncoderConfig(), None)
    heard = audio.encode([audio.load(corpus / str(row.audio)) for row in rows])[:, 0]
    seen = video.encode([video.load(corpus / str(row.video)) for row in rows])[:, 0]

    def log_chances(features: np.ndarray) -> np.ndarray:
        found = np.zeros((len(rows), len(classes)))
        for train, dev in GroupKFold(5).split(features, labels, groups):
            scale = StandardScaler().fit(features[train])
            model = LogisticRegression(C=0.03, max_iter=1000).fit(scale.transform(features[train]), labels[train])
            prior = np.bincount(labels[train], minlength=len(classes)) / len(train)
            found[dev] = model.predict_log_proba(scale.transform(features[dev])) - np.log(prior)
        return found

    alone = {name: log_chances(features) for name, features in (("t", words), ("a", heard), ("v", seen))}
    prior = np.log(np.bincount(labels) / len(labels))
    accuracy = {name: float(((chances + prior).argmax(1) == labels).mean()) for name, chances in alone.items()}
    together = float(((sum(alone.values()) + prior).argmax(1) == labels).mean())
    majority = float(np.bincount(labels).max() / len(labels))
    assert min(accuracy.values()) > majority + 0.08, accuracy
    assert together >= max(accuracy.values()) + 0.05, (accuracy, together)
