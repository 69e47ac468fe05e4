"""Measure the memory of an extraction, and which part of it grows with the number of clips.

    python -m benchmarks.extraction_memory [--clips 2000,20000]

A corpus in MELD's shape whose N clips are N hard links to 50 distinct FLAC files of 0.5 to 1 s: every path is hashed,
probed, opened and decoded separately, and the disk holds 50 files. Two encoders go through `ensure_features`: melstats,
and a stand-in that decodes every clip but skips the arithmetic, with the output of wav2vec2-base (13 hidden states of
768 numbers, float16). Each case is a fresh process. "before" is its memory when everything is imported, "peak" the
highest resident memory (by the kernel) from there to the end, "anonymous" that without mapped files (sampled every
50 ms). Linux only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

DISTINCT, SEED = 50, 0
EMOTIONS = (("neutral", "neutral"), ("joy", "positive"), ("anger", "negative"))
COLUMNS = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
MIB = 2**20


def write_corpus(root: Path, clips: int) -> None:
    import soundfile

    rng = np.random.default_rng(SEED)
    folder = root / "audios" / "train"
    folder.mkdir(parents=True)
    sources = [root / f"{index}.flac" for index in range(DISTINCT)]
    for source in sources:
        time_s = np.arange(int(rng.uniform(0.5, 1.0) * 16000)) / 16000
        tone = 0.2 * np.sin(2 * np.pi * rng.uniform(90, 250) * time_s)
        soundfile.write(source, tone + 0.003 * rng.normal(size=len(time_s)), 16000, subtype="PCM_16")
    lines = [COLUMNS]
    for index in range(clips):
        dialogue, number = divmod(index, 10)
        emotion, sentiment = EMOTIONS[index % len(EMOTIONS)]
        lines.append(f"{index},Well.,Ann,{emotion},{sentiment},{dialogue},{number},1,1,00:00:01.000,00:00:02.000")
        (folder / f"dia{dialogue}_utt{number}.flac").hardlink_to(sources[index % DISTINCT])
    (root / "train_sent_emo.csv").write_text("\n".join(lines) + "\n")


class StandIn:
    """Stand-in for wav2vec2-base: decodes every clip and returns rows of full size, without running a model."""

    layers, width, batch_length = 13, 768, 16 * 5 * 16000

    def probe(self, path: Path) -> int:
        from mer.data.media.audio import audio_length

        return audio_length(path, max_seconds=20)

    def load(self, path: Path) -> object:
        from mer.data.media.audio import read_audio
        from mer.features.backbone.clip_encoder import LoadedClip

        return LoadedClip(read_audio(path, max_seconds=20).samples)

    def encode(self, clips: Sequence[object]) -> np.ndarray:
        loudness = [float(np.abs(clip.inputs).mean()) for clip in clips]  # type: ignore[attr-defined]
        rows = np.empty((len(clips), self.layers, self.width), dtype=np.float32)
        rows[:] = np.array(loudness)[:, None, None]
        return rows


def extract(root: Path, cache: Path, encoder: str, answer: Connection) -> None:
    """Run in its own process: print when the extraction begins, then its result."""
    import torch  # noqa: F401 - an import is no memory of the extraction
    import transformers  # noqa: F401

    import mer.features.from_clips.pooled as clip_reading
    from mer.config import AudioEncoderConfig, DataConfig
    from mer.features.audio.melstats import MelStats
    from mer.features.ensure import ensure_features

    config = AudioEncoderConfig(backbone="melstats")
    warm = MelStats(config)
    warm.encode([warm.load(root / "0.flac")])  # SciPy and torchaudio come with the first clip
    if encoder == "stand-in":
        clip_reading.open_clip_encoder = lambda *_: StandIn()  # type: ignore[assignment]
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the kernel's peak starts anew
    answer.send(None)
    answer.recv()
    started = time.perf_counter()
    done = ensure_features(
        DataConfig(dataset="meld", root=str(root)), config, ["train"], cache=cache, progress=False
    )  # fmt: skip
    seconds = time.perf_counter() - started
    assert done.encoded, "nothing was extracted"
    answer.send((seconds, resident("self")["VmHWM"], done.paths["train"].stat().st_size))


def resident(process: int | str) -> dict[str, int]:
    """Read VmHWM (peak), VmRSS and RssAnon of a process from the kernel, in bytes."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words and words[0] in NAMES}


NAMES = ("VmHWM:", "VmRSS:", "RssAnon:")


def case(root: Path, folder: Path, encoder: str, clips: int) -> str:
    """Measure one case and print its line of the table."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=extract, args=(root, folder / f"cache-{encoder}-{clips}", encoder, theirs)
    )
    process.start()
    theirs.close()
    assert process.pid is not None
    ours.recv()
    before = resident(process.pid)
    anonymous, over = [before["RssAnon"]], threading.Event()

    def sample(pid: int) -> None:
        while not over.wait(0.05):
            anonymous.append(resident(pid)["RssAnon"])

    sampler = threading.Thread(target=sample, args=(process.pid,))
    ours.send(None)
    sampler.start()
    try:
        seconds, peak, size = ours.recv()
    finally:
        over.set()
        sampler.join()
    process.join()
    grown, grown_anonymous = peak - before["VmRSS"], max(anonymous) - before["RssAnon"]
    return (
        f"{encoder:9} {clips:6}  {seconds:6.1f}  {size / MIB:7.1f}  {before['VmRSS'] / MIB:7.0f}  "
        f"{grown / MIB:+7.1f}  {grown_anonymous / MIB:+9.1f}  {grown / size:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", default="2000,20000", help="comma-separated (default 2000,20000)")
    counts = [int(number) for number in parser.parse_args().clips.split(",")]
    print(
        f"N paths are hard links to {DISTINCT} distinct clips of 0.5 to 1 s; MiB; load average {os.getloadavg()[0]:.1f}"
    )
    print(f"{'encoder':9} {'clips':>6}  {'s':>6}  {'output':>7}  {'before':>7}  {'peak':>7}  anonymous  peak/output")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for clips in counts:
            write_corpus(folder / str(clips), clips)
        for encoder in ("melstats", "stand-in"):
            for clips in counts:
                print(case(folder / str(clips), folder, encoder, clips), flush=True)


if __name__ == "__main__":
    main()
