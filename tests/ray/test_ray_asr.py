"""docs/experiments/asr.md as typed, small: gold text against what a speech recogniser hears, trained on either."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from pathlib import Path

import pytest

from benchmarks.kills.fork_server import ForkServer
from mer.data.registry import load_corpus
from mer.data.sample.corpus import write_sample

sys.path.append(str(Path(__file__).parents[1] / "data"))

from tiny_whisper import convert, save_whisper

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
pytest.importorskip("faster_whisper")
REPOSITORY = Path(__file__).parents[2]
SMALL = ["--workers", "1", "--trials", "1", "--set", "budget.epochs=3", "--set", "scheduler.kind=none"]
SEEDS = ["--seeds", "0", "1", "--workers", "1"]


def said_in_train(root: Path) -> str:
    """A text of train: what the tiny model says, so that no row of dev or test has a new one."""
    texts = [one.text for one in load_corpus("meld", root, ["train"]).utterances("train")]
    return next(text for text in texts if re.fullmatch(r"[A-Za-z ,.!?']{8,40}", text))


def test_gold_text_against_what_is_heard(forks: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"train": 6, "dev": 3, "test": 3}
    write_sample(tmp_path / "datasets/sample", dialogues_per_split=sizes, modalities=("text", "audio"))
    (tmp_path / "search_spaces").symlink_to(REPOSITORY / "search_spaces")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(
            save_whisper(tmp_path / "tiny", said_in_train(tmp_path / "datasets/sample")),
            tmp_path / "tiny-ct2",
            monkeypatch,
        )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}

    def typed(module: str, *words: str, code: int = 0) -> str:
        process = forks(module, list(words), cwd=tmp_path, environment=environment)
        assert process.wait() == code, process.output()
        assert "Traceback" not in process.output()
        return process.output()

    heard = ["--splits", "train,dev,test", "--model", "tiny-ct2", "--no-vad"]
    said = typed("mer.data", "transcribe", "datasets/sample", "--out", "datasets/sample-asr", *heard)
    assert said.count("word error rate") == 3 and "0 unreadable" in said
    space = ["search_spaces/ce.yaml", "--set", "encoders.text.context.past=0"]
    typed("mer.tune", *space, "--set", "data.root=datasets/sample", "--set", "study=gold", *SMALL)
    own = ["--set", "data.root=datasets/sample-asr", "--set", "data.name=sample-asr", "--set", "study=asr"]
    typed("mer.tune", *space, *own, *SMALL)
    for name in ("gold", "asr"):
        typed("mer.export", f"studies/{name}", "--out", f"exports/{name}")

    both = typed("mer.evaluate", "exports/gold", *SEEDS, "--against", "exports/asr")
    assert "eval-meld" in both and "eval-sample-asr" in both  # two corpora, each with its own seeds
    on = typed("mer.evaluate", "exports/gold", *SEEDS, "--on", "datasets/sample-asr")
    assert "trained on sample, scored on sample-asr (test)" in on and "finished" not in on
    assert "the same utterances as its own: the model on sample" in on
    (place,) = (tmp_path / "studies").glob("eval-meld-*/on-sample-asr-test.json")
    told = json.loads(place.read_text())
    assert told["rows"]["scored"] == told["rows"]["of"] and not told["classes"]["unused"]
    assert (
        told["texts_of_train"]["rows"] == told["rows"]["of"] and told["texts_of_train"]["without"]["accuracy"] is None
    )
    results = json.loads((place.parent / "results.json").read_text())
    gap = results["summary"]["test_weighted_f1"]["mean"] - told["summary"]["weighted_f1"]["mean"]
    assert told["same_utterances"]["seeds"]["difference"] == pytest.approx(gap)
    back = typed("mer.evaluate", "exports/asr", *SEEDS, "--on", "datasets/sample")
    assert "trained on sample-asr, scored on meld (test)" in back and "the same utterances as its own" in back
