"""Measure clips per second of `mer.features.from_clips.extraction` against a loop over the clips.

    python -m benchmarks.extraction [--clips 120] [--pairs 5] [--only melstats,wav2vec2]

The loop takes one clip at a time with the same encoder object: decode, preprocess, encode, keep the row. Ours reads
clips side by side, a thread for each (on a GPU: decodes in threads ahead of batches), and writes its shards to disk.
They take turns, K times; a row shows medians over the turns, and the median of the ratios of each pair. Torch has its
default number of threads, which share a clip in the loop (on a busy machine they wait for each other so long that
--loop-threads 1 is the stronger opponent). Clips are generated, 1 to 6 s long: FLAC
(16 kHz), and H.264 with sound (320x240, 25 a second); they are read once before the clock starts, so no figure
contains the disk. Backbones have random weights, 4 layers of width 256. The rows of both ways are compared: they must
agree.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mer.config import AudioEncoderConfig, ClipEncoderConfig, VideoEncoderConfig
from mer.features.backbone.clip_encoder import ClipEncoder
from mer.features.backbone.files import BackboneFolder
from mer.features.from_clips.extraction import extract_clips
from mer.features.modalities import open_clip_encoder
from mer.features.reading import ClipRow

RATE_HZ, FPS, PICTURE = 16000, 25, (320, 240)
SMALL: dict[str, Any] = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}


def seconds_of(count: int) -> np.ndarray:
    """Draw lengths between 1 and 6 s, the same for sound and video."""
    return np.random.default_rng(0).uniform(1, 6, count)


def write_flac(path: Path, seconds: float, seed: int) -> None:
    """Write harmonics of a changing pitch with noise, which FLAC cannot compress trivially."""
    import soundfile

    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(rng.uniform(100, 240) * (1 + 0.1 * np.sin(3 * time_s))) / RATE_HZ
    tones = sum(np.sin(k * phase) / k for k in range(1, 9))
    soundfile.write(path, 0.1 * tones + 0.003 * rng.normal(size=len(time_s)), RATE_HZ, subtype="PCM_16")


def write_mp4(path: Path, seconds: float, seed: int) -> None:
    """Write a moving pattern with a tone as its sound track."""
    import av

    rng = np.random.default_rng(seed)
    width, height = PICTURE
    texture = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = max(1, int(seconds * FPS))
    sound = (0.2 * np.sin(2 * np.pi * 200 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=FPS, options={"threads": "1", "preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        track = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for index in range(frames):
            image = av.VideoFrame.from_ndarray(np.roll(texture, (index, 2 * index), axis=(0, 1)), format="rgb24")
            image.pts, image.time_base = index, Fraction(1, FPS)
            container.mux(picture.encode(image))
        for start in range(0, len(sound), 1024):
            block = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(track.encode(block))
        container.mux(picture.encode(None))
        container.mux(track.encode(None))


LAYER_NORM = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}  # may be padded on a GPU


def save_speech(kind: str, folder: Path, **settings: Any) -> None:
    import transformers as hf

    config = getattr(hf, f"{kind}Config")(**SMALL, conv_dim=(256,) * 7, **settings)
    getattr(hf, f"{kind}Model")(config).save_pretrained(folder)
    hf.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)


def save_whisper(folder: Path) -> None:
    import transformers as hf

    config = hf.WhisperConfig(
        d_model=256,
        encoder_layers=4,
        encoder_attention_heads=4,
        encoder_ffn_dim=1024,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=1024,
    )
    hf.WhisperModel(config).save_pretrained(folder)
    hf.WhisperFeatureExtractor().save_pretrained(folder)


def save_videomae(folder: Path) -> None:
    import transformers as hf

    hf.VideoMAEModel(hf.VideoMAEConfig(**SMALL, image_size=112, num_frames=16)).save_pretrained(folder)
    save_processor(hf.VideoMAEImageProcessor, folder)


def save_clip(folder: Path) -> None:
    import transformers as hf

    hf.CLIPVisionModel(hf.CLIPVisionConfig(**SMALL, image_size=112, patch_size=16)).save_pretrained(folder)
    save_processor(hf.CLIPImageProcessor, folder)


def save_processor(kind: Any, folder: Path) -> None:
    kind(size={"shortest_edge": 112}, crop_size={"height": 112, "width": 112}).save_pretrained(folder)


# name -> (modality, how its backbone is saved; None: statistics without one)
ENCODERS: dict[str, tuple[str, Callable[[Path], None] | None]] = {
    "melstats": ("audio", None),
    "wav2vec2": ("audio", partial(save_speech, "Wav2Vec2", **LAYER_NORM)),
    "HuBERT": ("audio", partial(save_speech, "Hubert")),
    "WavLM": ("audio", partial(save_speech, "WavLM")),
    "data2vec": ("audio", partial(save_speech, "Data2VecAudio")),
    "Whisper": ("audio", save_whisper),
    "framestats": ("video", None),
    "VideoMAE": ("video", save_videomae),
    "CLIP": ("video", save_clip),
}


def open_encoder(name: str, folder: Path) -> tuple[ClipEncoderConfig, ClipEncoder]:
    modality, save = ENCODERS[name]
    backbone = name if save is None else str(folder / name)
    if save is not None:
        save(folder / name)
    kind = {"audio": AudioEncoderConfig, "video": VideoEncoderConfig}[modality]
    config = kind(backbone=backbone)
    return config, open_clip_encoder(config, None if save is None else BackboneFolder(name, folder / name))


def one_by_one(rows: list[ClipRow], encoder: ClipEncoder, threads: int) -> np.ndarray:
    import torch

    features, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    for row in rows:
        assert row.path is not None
        features.append(encoder.encode([encoder.load(row.path)])[0])
    torch.set_num_threads(before)
    return np.stack(features).astype(np.float16)


def ours(rows: list[ClipRow], config: ClipEncoderConfig, encoder: ClipEncoder) -> np.ndarray:
    with tempfile.TemporaryDirectory() as parts:
        done = extract_clips(rows, config, encoder, parts=Path(parts), key="", step=lambda done, total: None)
    assert not done.faults and done.encoded == len(rows), done.faults
    return done.features_NLD


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    features = work()
    return time.perf_counter() - started, features


def compare(name: str, clips: list[Path], pairs: int, folder: Path, loop_threads: int) -> str:
    """Measure one encoder and print its line of the table."""
    config, encoder = open_encoder(name, folder)
    rows = [ClipRow(path.name, path, "") for path in clips]
    ours(rows, config, encoder)  # whatever is done once is done here
    one_by_one(rows[:8], encoder, loop_threads)
    megabytes = sum(path.stat().st_size for path in clips) / 1e6
    loop_s, ours_s = [], []
    for turn in range(pairs):
        ways = [
            (ours_s, lambda: ours(rows, config, encoder)),
            (loop_s, lambda: one_by_one(rows, encoder, loop_threads)),
        ]
        made = []
        for seconds, work in ways if turn % 2 else ways[::-1]:
            elapsed, features = timed(work)
            seconds.append(elapsed)
            made.append(features.astype(np.float32))
        np.testing.assert_allclose(made[0], made[1], rtol=2e-3, atol=2e-3)
    ratios = [loop / our for loop, our in zip(loop_s, ours_s, strict=True)]
    a, b = median(loop_s), median(ours_s)
    return (
        f"{name:10}  {len(clips):5}  {megabytes:5.1f}  {len(clips) / a:7.1f}  {len(clips) / b:7.1f}  "
        f"{megabytes / a:6.2f}  {megabytes / b:6.2f}  {median(ratios):5.2f}  {min(ratios):.2f}-{max(ratios):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=120, help="of each kind (default 120)")
    parser.add_argument("--pairs", type=int, default=5, help="turns of the two ways (default 5)")
    parser.add_argument("--only", default=",".join(ENCODERS), help="comma-separated names (default: all)")
    parser.add_argument("--loop-threads", type=int, help="of torch in the loop (default: as many as it has)")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name]
    if unknown := sorted(set(names) - set(ENCODERS)):
        sys.exit(f"--only {','.join(unknown)}: no such encoder; there are {', '.join(ENCODERS)}")
    import torch

    loop_threads = given.loop_threads or torch.get_num_threads()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clips: dict[str, list[Path]] = {"audio": [], "video": []}
        for index, seconds in enumerate(seconds_of(given.clips)):
            if any(ENCODERS[name][0] == "audio" for name in names):
                clips["audio"].append(folder / f"{index}.flac")
                write_flac(clips["audio"][-1], seconds, index)
            if any(ENCODERS[name][0] == "video" for name in names):
                clips["video"].append(folder / f"{index}.mp4")
                write_mp4(clips["video"][-1], seconds, index)
        print(
            f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} before; torch has "
            f"{torch.get_num_threads()} threads, {loop_threads} in the loop; medians of {given.pairs} pairs"
        )
        print(f"{'':10}  {'':5}  {'':5}  {'clips/s':^16}  {'MB/s read':^14}  {'ours / loop':^16}")
        print(f"{'encoder':10}  clips     MB     loop     ours    loop    ours  ratio  range", flush=True)
        for name in names:
            print(compare(name, clips[ENCODERS[name][0]], given.pairs, folder, loop_threads), flush=True)
        print(f"load average {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
