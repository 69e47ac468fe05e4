from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clip_corpus import clip, write_meld
from filelock import FileLock
from typer.testing import CliRunner

from mer.config import DataConfig
from mer.errors import MerError
from mer.features import ensure_features
from mer.features.__main__ import app
from mer.features.ensure import lock_file, parts_folder

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "features"


@pytest.fixture
def cache(template: Path, tmp_path: Path, data: DataConfig, encoder_config: Any) -> Path:
    """A cache with a train and a dev file."""
    if not template.exists():
        ensure_features(data, encoder_config(past=1, speaker="name"), ["train", "dev"], cache=template, progress=False)
    return Path(shutil.copytree(template, tmp_path / "features"))


def run(*words: object, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("[!.]*.safetensors"))


def test_list_says_what_each_file_is(cache: Path) -> None:
    out = run("list", "--cache", cache)
    dev = next(line for line in out.splitlines() if " dev " in line)
    for word in (
        files(cache)[0].stem.removeprefix("dev-"),
        "meld",
        "roberta",
        "-1+0, speaker name",
        "mean",
        "16",
        "3 x 32",
        "min",
    ):
        assert word in dev
    assert "2 files" in out


@pytest.mark.slow
def test_list_is_quick_and_verify_ends_with_2_on_a_bad_file(cache: Path) -> None:
    """The real command: without torch or transformers, which take seconds to import."""
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mer.features", "list", "--cache", cache],
        env=environment,
        capture_output=True,
        text=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and "mer.features.cache.upkeep" in imported
    assert not imported & {"torch", "transformers", "sklearn", "ray", "optuna", "mlflow"}

    bad = files(cache)[0]
    bad.write_bytes(bad.read_bytes()[:-1])
    done = subprocess.run(
        [sys.executable, "-m", "mer.features", "verify", "--cache", cache], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"bad  {bad}" in done.stdout and "1 of 2 files are good" in done.stdout
    assert "corrupt or cut short" in done.stderr and "Traceback" not in done.stderr


def test_verify_and_list_of_good_and_bad(cache: Path) -> None:
    assert "2 of 2 files are good" in run("verify", "--cache", cache)
    raw = bytearray(files(cache)[1].read_bytes())
    raw[-3] ^= 1
    files(cache)[1].write_bytes(bytes(raw))
    assert "1 of 2 files are good" in run("verify", "--cache", cache, code=2)
    files(cache)[1].write_bytes(b"")
    assert f"BAD {files(cache)[1].name}" in run("list", "--cache", cache)


def test_extract_takes_splits_in_a_row(cache: Path, data: DataConfig, backbone: Any) -> None:
    options = ["--data-root", data.root, "--backbone", backbone("roberta"), "--cache", cache, "--past", "1"]
    options += ["--speaker", "name", "--max-tokens", "128"]
    assert "0 texts encoded" in run("extract", *options, "--splits", "train", "dev")
    assert "0 texts encoded" in run("extract", *options)
    out = run("extract", *options, "--pooler", "first", "--splits", "dev")
    assert "16 texts encoded" in out and len(files(cache)) == 3


CLIPS = {"audio": ("melstats", "20 s", "1 x 155"), "video": ("framestats", "4 frames, 1.5 s, crops faces", "1 x 417")}


@pytest.mark.parametrize("modality", CLIPS)
def test_clip_files_are_made_listed_verified_and_cleaned(modality: str, tmp_path: Path) -> None:
    backbone, reads, size = CLIPS[modality]
    root, cache = write_meld(tmp_path / "meld", {"train": 4, "dev": 4}), tmp_path / "features"
    (root / "faces").symlink_to(root / "videos", target_is_directory=True)
    for row, content in ((1, b""), (3, b"not a clip")):
        clip(root, modality, "dev", row).write_bytes(content)
    options: list[object] = ["--data-root", root, "--cache", cache, "--modality", modality, "--splits", "dev"]
    options += ["--frames", 4, "--max-seconds", 1.5, "--crops", "faces"] if modality == "video" else []
    assert "2 clips encoded" in run("extract", *options)
    assert "0 clips encoded" in run("extract", *options)
    (dev,) = (line for line in run("list", "--cache", cache).splitlines() if " dev " in line)
    for words in (backbone, reads, "4 (2 masked)", size):
        assert f" {words} " in dev
    (made,) = files(cache)
    made.with_suffix(".json").unlink()
    assert "4 (2 masked)" in run("list", "--cache", cache), "the sidecar decides nothing"
    assert "1 of 1 files are good" in run("verify", "--cache", cache)

    parts_folder(made).mkdir()
    (parts_folder(made) / "00000.safetensors").write_bytes(b"x" * 100)
    os.utime(made, (time.time() - 40 * 86_400,) * 2)
    assert "100 bytes" in run("gc", "--cache", cache)
    assert files(cache) == [made] and not parts_folder(made).exists() and (cache / "clips.json").exists()
    assert made.name in run("gc", "--cache", cache, "--older-than", 30) and not files(cache)


@pytest.mark.parametrize(
    ("options", "where", "found"),
    [
        (["--modality", "audio", "--past", "1", "--frames", "4"], "--frames, --past", "not for --modality audio"),
        (["--modality", "video", "--prompt"], "--prompt", "not for --modality video"),
        (["--max-seconds", "3"], "--max-seconds", "not for --modality text"),
        (["--modality", "video", "--frames", "0"], "--frames", "greater than or equal to 1"),
        (["--modality", "audio", "--pooler", "target"], "--pooler", "'auto', 'mean', 'first' or 'none'"),
        (["--max-tokens", "3"], "--max-tokens", "greater than or equal to 8"),
        (["--dataset", "semaine"], "--dataset", "ravdess"),
    ],
)
def test_extract_refuses_options_of_another_modality(options: list[str], where: str, found: str) -> None:
    result = RUNNER.invoke(app, ["extract", "--data-root", "nowhere", *options])
    assert isinstance(result.exception, MerError)
    assert result.exception.where == where and found in result.exception.found


def test_extract_names_the_fault(cache: Path, data: DataConfig) -> None:
    result = RUNNER.invoke(app, ["extract", "--data-root", data.root, "--past", "some", "--cache", str(cache)])
    assert isinstance(result.exception, MerError) and result.exception.where == "--past"
    result = RUNNER.invoke(app, ["extract", "--data-root", data.root, "--pooler", "mask", "--cache", str(cache)])
    assert isinstance(result.exception, MerError) and "set prompt: true" in result.exception.found


def test_a_cache_that_is_not_there(tmp_path: Path) -> None:
    for command in ("list", "verify", "gc"):
        result = RUNNER.invoke(app, [command, "--cache", str(tmp_path / "none"), "--debug"])
        assert isinstance(result.exception, MerError) and result.exception.found == "no such folder"


def test_gc_removes_leftovers_and_says_how_much(cache: Path) -> None:
    dev = files(cache)[0]
    parts, half = parts_folder(dev), dev.with_name(f".{dev.name}.0123abcd.tmp")
    parts.mkdir()
    (parts / "00000.safetensors").write_bytes(b"x" * 100)
    half.write_bytes(b"y" * 11)
    assert "111 bytes" in run("gc", "--cache", cache, "--dry-run")
    assert parts.exists() and half.exists()
    with FileLock(lock_file(dev)):
        assert "0 bytes" in run("gc", "--cache", cache), "a running extraction keeps its shards"
    assert parts.exists() and half.exists()
    assert "111 bytes" in run("gc", "--cache", cache)
    assert not parts.exists() and not half.exists() and len(files(cache)) == 2


def test_gc_removes_what_safetensors_left_when_it_was_killed(cache: Path) -> None:
    old, new = cache / ".tmprxdb9u", cache / ".tmpAb3dEf"
    for path in (old, new):
        path.write_bytes(bytes(10))
    os.utime(old, (1_000_000, 1_000_000))
    assert "10 bytes" in run("gc", "--cache", cache)
    assert new.exists() and not old.exists(), "a running extraction may be writing it"


def test_gc_by_age_keeps_what_is_used_or_named(cache: Path, data: DataConfig, encoder_config: Any) -> None:
    dev, train = files(cache)
    for path in (dev, train):
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    size = dev.stat().st_size
    assert "not used for 40 days" in run("gc", "--cache", cache, "--older-than", "30", "--dry-run")
    assert f"{size} bytes" in run("gc", "--cache", cache, "--older-than", "30", "--keep", train.stem.split("-")[1])
    assert files(cache) == [train] and not dev.with_suffix(".json").exists()
    ensure_features(data, encoder_config(past=1, speaker="name"), ["train"], cache=cache, progress=False)
    assert "0 bytes" in run("gc", "--cache", cache, "--older-than", "30"), "ensuring a file is using it"


def test_an_unwritable_cache_is_one_message(data: DataConfig, backbone: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    options = [
        "--data-root",
        data.root,
        "--backbone",
        str(backbone("roberta")),
        "--cache",
        str(tmp_path / "file" / "cache"),
    ]
    done = subprocess.run([sys.executable, "-m", "mer.features", "extract", *options], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and str(tmp_path / "file") in done.stderr
