"""A study over folds as it is typed: killed and gone on with, verified, exported, evaluated, confirmed on all folds."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from conftest_ray import begin_with

from benchmarks.kills.fork_server import ForkServer
from benchmarks.kills.snapshot import VARYING, histories
from mer.study.folder.recorded import read_predictions

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]
REPOSITORY = Path(__file__).parents[2]
MOODS = {"calm": "all is well", "cross": "leave me alone", "glad": "what a day"}
SPACE = """study: folded
trainable: text
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 4, epochs: 24}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
resources: {workers: 1}
fixed:
  data: {dataset: csv, root: own.csv, folds: {k: 3}}
  encoders: {text: {backbone: minilm, mode: frozen}}
  head.hidden: 16
params:
  optim.head_lr: {float: [1e-3, 1e-2], log: true}
"""


class Place:
    def __init__(self, folder: Path, forks: ForkServer) -> None:
        self.folder, self.forks = folder, forks
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}

    def start(self, module: str, *words: str):
        return self.forks(module, list(words), cwd=self.folder, environment=self.environment)

    def run(self, module: str, *words: str, code: int = 0) -> str:
        process = self.start(module, *words)
        assert process.wait() == code, process.output()
        assert "Traceback" not in process.output()
        return process.output()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, database: Path) -> Place:
    folder = tmp_path_factory.mktemp("folds")
    begin_with(database, *(folder / name for name in ("whole", "killed", "first")))
    lines = ["text,label,speaker"]
    for row in range(72):
        label = list(MOODS)[row // 6 % 3]
        lines.append(f"{MOODS[label]} {row % 7},{label},s{row % 6}")
    (folder / "own.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    found = Place(folder, forks)
    said = found.run("mer.tune", "space.yaml", "--studies", "whole")
    assert "data: folds by speaker: 3, each with 24 rows of test, the next one's are its dev" in said
    assert "features: 1 files, " in said
    return found


def test_killed_and_gone_on_with_equals_uninterrupted(place: Place) -> None:
    process = place.start("mer.tune", "space.yaml", "--studies", "killed")
    trials = place.folder / "killed" / "folded" / "trials"
    deadline = time.monotonic() + 120
    while not (trials / "00001" / "last.safetensors").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.output()
        time.sleep(0.01)
    process.kill()
    process.wait()
    place.run("mer.tune", "space.yaml", "--studies", "killed", "--resume")
    whole, killed = (histories(place.folder / name / "folded") for name in ("whole", "killed"))
    assert set(whole) == set(killed) == {0, 1, 2, 3} and len(whole[0]) == 24
    for number, rows in whole.items():
        pairs = zip(rows, killed[number], strict=True)
        assert all(
            {n: v for n, v in one.items() if n not in VARYING} == {n: v for n, v in other.items() if n not in VARYING}
            for one, other in pairs
        ), number
    for number in whole:
        names = [place.folder / name / "folded" / "trials" / f"{number:05d}" for name in ("whole", "killed")]
        one, other = ((folder / "best.safetensors").read_bytes() for folder in names)
        assert one == other
    ids, labels, _ = read_predictions(names[0] / "artifacts" / "dev_predictions.csv")
    assert len(set(ids)) == len(labels) == 72  # every row is dev of one fold


def test_verified_exported_evaluated(place: Place) -> None:
    assert "every number of every epoch came back" in place.run("mer.verify", "whole/folded", "--trial", "0")
    said = place.run("mer.export", "whole/folded", "--out", "exports/second", "--fold", "2")
    assert "scores repeated to" in said
    provenance = json.loads((place.folder / "exports/second/provenance.json").read_text())
    assert provenance["fold"] == {
        "number": 2, "of": 3, "by": "speaker", "test": "part 2", "train": 24, "dev": 24, "unseen": 24,
    }  # fmt: skip
    assert "This is the model of fold 2" in (place.folder / "exports/second/README.md").read_text()
    assert "calm" in place.run("mer.predict", "exports/second", "--text", "all is well")
    said = place.run("mer.evaluate", "exports/second", "--seeds", "0 1", "--studies", "whole", "--workers", "1")
    assert "72 utterances of 6 speakers" in said and "sd over folds" in said and "sd over seeds" in said
    (results,) = (place.folder / "whole").glob("eval-*/results.json")
    told = json.loads(results.read_text())
    parts = told["folds"]["parts"]
    assert [part["test"] for part in parts] == [24, 24, 24] and told["folds"]["by"] == "speaker"
    means = [part["mean"]["test_weighted_f1"] for part in parts]
    assert told["summary"]["test_weighted_f1"]["mean"] == pytest.approx(sum(means) / 3)
    again = place.run("mer.evaluate", "exports/second", "--seeds", "0 1", "--studies", "whole", "--workers", "1")
    assert json.loads(results.read_text())["folds"] == told["folds"] and "finished" not in again


def test_a_search_on_one_fold_is_confirmed_on_all(place: Place) -> None:
    one = ["--set", "data.folds={k: 3, search_folds: 1}", "--set", "study=first", "--studies", "first"]
    said = place.run("mer.tune", "space.yaml", "--trials", "2", *one)
    assert "3, of which 1 are trained here" in said and "confirm on all folds:" in said
    row = histories(place.folder / "first" / "first")[0][0]
    assert not any("_fold_" in name for name in row)
    said = place.run(
        "mer.evaluate", "--top-k-from", "first/first", "--top-k", "2", "--seeds", "0", "--studies", "first"
    )
    (rerank,) = (place.folder / "first").glob("rerank-*")
    assert "dev_weighted_f1_fold_3" in histories(rerank)[0][0] and "best by mean dev" in said


def test_what_a_study_over_folds_refuses(place: Place) -> None:
    def refused(*overrides: str) -> str:
        options = [word for text in overrides for word in ("--set", text)]
        return place.run("mer.tune", "space.yaml", "--studies", "refused", *options, code=2)

    assert "6 of 6 speakers of csv would be in train and in test" in refused("data.folds={by: row, k: 3}")
    assert "data.folds: got 'speakers'. Did you mean 'speaker'?" in refused("data.folds=speakers")
    assert "csv has 6 speakers: too few for 9 folds" in refused("data.folds=9")
    assert "data.split has no place beside it" in refused("data.split.dev=0.2")
    assert "is a trained model, which has seen rows" in refused("encoders.text.backbone=exports/second")
    assert not (place.folder / "refused").exists() or not any((place.folder / "refused").iterdir())
    shutil.rmtree(place.folder / "refused", ignore_errors=True)
