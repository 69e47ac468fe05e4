"""A protocol as it is typed: run whole with a cell that fails, killed in the middle and gone on with, looked at."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import pytest
from conftest_ray import begin_with
from small_protocol import PROTOCOL, write_corpus

from benchmarks.kills.commands import Running
from benchmarks.kills.fork_server import ForkServer

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(1500)]
REPOSITORY = Path(__file__).parents[2]
ODD = """features:
  odd:
    trainable: text
    fixed: {encoders: {text: {backbone: ./nowhere, mode: frozen}}}
"""
CARD = """card: tiny
claim: {source: a paper, metric: weighted_f1, value: VALUE}
fixed:
  data: {dataset: csv, root: own}
  encoders: {text: {backbone: minilm, mode: frozen}}
  head.hidden: 16
protocol: {chosen_on: test}
epochs: 3
seeds: [0, 1]
"""


def whole_protocol() -> str:
    """The tiny protocol with a third cell, whose encoder is nowhere."""
    text = PROTOCOL.replace("features:\n", ODD, 1).replace("tiny", "whole")
    return text.replace("  supcon:\n", "  supcon:\n    features: [text]\n", 1)


class Place:
    def __init__(self, folder: Path, forks: ForkServer) -> None:
        self.folder, self.forks = folder, forks
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}

    def start(self, module: str, *words: str) -> Running:
        return self.forks(module, list(words), cwd=self.folder, environment=self.environment)

    def run(self, module: str, *words: str, code: int = 0) -> str:
        process = self.start(module, *words)
        assert process.wait(500) == code, process.output()
        assert "Traceback" not in process.output()
        return process.output()

    def scores(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "benches" / name / "scores.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return [{key: value for key, value in row.items() if key != "time"} for row in rows]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, database: Path) -> Place:
    folder = tmp_path_factory.mktemp("bench")
    begin_with(database, folder / "studies", folder / "other")
    write_corpus(folder / "own")
    (folder / "whole.yaml").write_text(whole_protocol(), encoding="utf-8")
    alone = PROTOCOL.replace("tiny", "alone").replace("  ce: {}\n", "")
    (folder / "alone.yaml").write_text(alone, encoding="utf-8")
    return Place(folder, forks)


@pytest.fixture(scope="module")
def whole(place: Place) -> str:
    """What the protocol has said, one of whose cells fails; it was killed in its last cell and typed again."""
    process = place.start("mer.bench", "whole.yaml")
    wanted = place.folder / "studies" / "whole-own-text-supcon" / "trials" / "00000" / "last.safetensors"
    deadline = time.monotonic() + 300
    while not wanted.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.output()
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert "own-odd-ce: failed: " in process.output()
    return place.run("mer.bench", "whole.yaml", code=2)


def test_a_cell_that_fails_stops_no_other(place: Place, whole: str) -> None:
    assert "1 of 3 cells failed: own-odd-ce" in whole
    assert "own-odd-ce: failed: " in whole and "nowhere" in whole
    rows = place.scores("whole")
    assert [(row["features"], bool(row["mean"])) for row in rows] == [("odd", False), ("text", True), ("text", True)]
    done = json.loads((place.folder / "benches/whole/cells/own-text-ce.json").read_text())
    results = json.loads((place.folder / "benches/whole" / done["results"]).read_text())
    assert float(rows[1]["mean"]) == results["summary"]["test_weighted_f1"]["mean"] == done["mean"]
    assert [row["seed"] for row in results["seeds"]] == [0, 1]
    assert (place.folder / "benches/whole/report.html").is_file()
    again = place.run("mer.bench", "whole.yaml", code=2)
    assert again.count("done before") == 2 and "own-text-ce: runs" not in again


def test_every_command_opens_a_cell(place: Place, whole: str) -> None:
    assert "every number of every epoch came back" in place.run(
        "mer.verify", "studies/whole-own-text-ce", "--trial", "0"
    )
    place.run("analysis.report", "studies/whole-own-text-ce")
    place.run("analysis.compare", "studies/whole-own-text-ce", "studies/whole-own-text-supcon")
    space = "benches/whole/cells/own-text-ce.yaml"
    assert "dry run: nothing was encoded" in place.run("mer.tune", space, "--resume", "--dry-run")
    place.run("mer.predict", "benches/whole/exports/own-text-ce", "--text", "all is well")


def test_killed_and_typed_again_gives_the_same_table(place: Place, whole: str) -> None:
    """The cell that was done is kept; the one in which it was killed has the numbers of an undisturbed one."""
    assert whole.count("done before") == 1 and "own-text-supcon: runs" in whole
    apart = ("--studies", "other")  # nothing is shared with the whole one
    dry = place.run("mer.bench", "alone.yaml", *apart, "--dry-run")
    assert "own-text-supcon" in dry and not (place.folder / "benches/alone").exists()
    place.run("mer.bench", "alone.yaml", *apart)
    assert place.scores("alone") == place.scores("whole")[2:]


def test_a_changed_protocol_is_told_and_not_mixed(place: Place, whole: str) -> None:
    path = place.folder / "whole.yaml"
    kept = path.read_text()
    path.write_text(kept.replace("1e-3, 1e-2", "1e-3, 1e-1"))
    said = place.run("mer.bench", "whole.yaml", "--only", "own-text-ce", "--dry-run", code=2)
    path.write_text(kept)
    assert "give what has changed another name" in said and "params" in said


def test_a_claim_is_judged(place: Place) -> None:
    card = place.folder / "card.yaml"
    card.write_text(CARD.replace("VALUE", "50.0"))
    said = place.run("mer.reproduce", "card.yaml", code=1)
    assert "verdict:    not comparable: other protocol (chosen on test there, dev here)" in said
    told = json.loads((place.folder / "reproductions/tiny/verdict.json").read_text())
    assert list(told["values"]) == ["0", "1"]
    card.write_text(CARD.replace("VALUE", f"{100 * told['got']['mean']}").replace("chosen_on: test", "chosen_on: dev"))
    again = place.run("mer.reproduce", "card.yaml")
    assert "verdict:    reproduced within its interval" in again
    now = json.loads((place.folder / "reproductions/tiny/verdict.json").read_text())
    assert now["values"] == told["values"] and now["finding"] == "reproduced"
