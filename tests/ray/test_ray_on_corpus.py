"""A configuration scored on another corpus, as it is typed: mapped labels, shared texts, refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest_ray import begin_with

from benchmarks.kills.fork_server import ForkServer

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).parents[2]
MOODS = {"calm": "all is well", "cross": "leave me alone", "glad": "what a day"}
THEIRS = {"calm": "serene", "cross": "cross", "glad": "merry"}
SPACE = """study: here
trainable: text
objective: {metric: dev_weighted_f1, mode: max}
budget: {trials: 1, epochs: 12}
sampler: {kind: random, seed: 0}
scheduler: {kind: none}
resources: {workers: 1}
fixed:
  data: {dataset: csv, root: here}
  encoders: {text: {backbone: minilm, mode: frozen}}
  head.hidden: 16
params:
  optim.head_lr: {float: [9e-3, 1e-2], log: true}
"""


def rows(labels: dict[str, str], count: int, shift: int) -> str:
    lines = [f"{MOODS[mood]} {n % 7 + shift},{labels[mood]}" for n in range(count) for mood in MOODS]
    return "\n".join(["text,label", *lines]) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer, database: Path):
    folder = tmp_path_factory.mktemp("on")
    begin_with(database, folder / "studies")
    (folder / "here").mkdir()
    (folder / "there").mkdir()
    own = {mood: mood for mood in MOODS}
    for split, shift in (("train", 0), ("dev", 7)):
        (folder / "here" / f"{split}.csv").write_text(rows(own, 12, shift), encoding="utf-8")
    (folder / "there" / "train.csv").write_text(rows(THEIRS, 6, 30), encoding="utf-8")
    other = rows(THEIRS, 8, 5) + "I do not know,odd\n"
    (folder / "there" / "test.csv").write_text(other, encoding="utf-8")
    (folder / "there" / "train.csv").write_text(rows(THEIRS, 6, 30) + "Hm,odd\n", encoding="utf-8")
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}

    def typed(module: str, *words: str, code: int = 0) -> str:
        process = forks(module, list(words), cwd=folder, environment=environment)
        assert process.wait() == code, process.output()
        assert "Traceback" not in process.output()
        return process.output()

    typed.folder = folder  # type: ignore[attr-defined]
    typed("mer.tune", "space.yaml")
    typed("mer.export", "studies/here", "--out", "exports/here")
    return typed


def test_scored_with_mapped_labels(run) -> None:
    on = ["--seeds", "0 1", "--workers", "1", "--on", "there", "--map", "{serene: calm, merry: glad}"]
    said = run("mer.evaluate", "exports/here", *on)
    assert "trained on here, scored on there (test): 24 of 25 rows" in said
    assert "serene as calm" in said and "merry as glad" in said
    assert "left out, no class of the model: odd 1" in said
    (place,) = (run.folder / "studies").glob("eval-*/on-*.json")
    told = json.loads(place.read_text())
    assert told["rows"] == {"scored": 24, "of": 25, "left_out": {"odd": 1}}
    assert (
        told["classes"]["map"] == {"serene": "calm", "merry": "glad", "cross": "cross"}
        and not told["classes"]["unused"]
    )
    assert told["texts_of_train"]["rows"] == 9  # 5, 6 and 5 again, of each mood
    assert told["summary"]["accuracy"]["mean"] > 0.8 > told["majority"]["accuracy"] and told["split"] == "test"
    assert f"report:          {place.parent.relative_to(run.folder) / 'report.html'}" in said
    assert "there (test)" in (place.parent / "report.html").read_text()
    again = run("mer.evaluate", "exports/here", *on)
    assert json.loads(place.read_text())["by_seed"] == told["by_seed"] and "finished" not in again


def test_refused(run) -> None:
    def refused(*words: str) -> str:
        return run("mer.evaluate", "exports/here", *words, code=2)

    assert "--map: the model's 'cross' alone has a label here" in refused("--on", "there", "--seeds", "0")
    assert "is the corpus that it was trained on" in refused("--on", "here", "--seeds", "0")
    assert "are about --on CORPUS" in refused("--map", "{a: b}")
    assert "has no place beside --against" in refused("--on", "there", "--dev-only")
    assert "there is no such file or folder" in refused("--on", "nowhere.csv")
    assert "unknown split 'tset'" in refused("--on", "there", "--on-split", "tset")


TARGETS = SPACE.replace("dev_weighted_f1", "METRIC").replace("root: here", "root: told, task: TASK, targets: NAMES")
TARGETS = TARGETS.replace("epochs: 12", "epochs: 30")
TASKS = {
    "regression": ("dev_ccc", "[mood, age]", "--on-set", "data.targets={mood: feel, age: years}"),
    "multilabel": ("dev_macro_f1", "[calm, cross]", "--map", "{serene: calm}"),
}


@pytest.mark.parametrize("task", TASKS)
def test_numbers_and_labels_are_scored_by_name_or_by_a_map(run, task: str) -> None:
    metric, names, *say = TASKS[task]
    (run.folder / "told").mkdir(exist_ok=True)
    (run.folder / "else").mkdir(exist_ok=True)
    for split, shift in (("train", 0), ("dev", 7)):
        _write_told(run.folder / "told" / f"{split}.csv", "text,mood,age,calm,cross", shift)
        _write_told(run.folder / "else" / f"{split}.csv", "text,feel,years,serene,cross", shift + 40)
    _write_told(run.folder / "else" / "test.csv", "text,feel,years,serene,cross", 60)
    space = TARGETS.replace("study: here", f"study: told-{task}").replace("METRIC", metric)
    space = space.replace("TASK", task).replace("NAMES", names)
    (run.folder / f"{task}.yaml").write_text(space, encoding="utf-8")
    run("mer.tune", f"{task}.yaml")
    run("mer.export", f"studies/told-{task}", "--out", f"exports/{task}")
    refused = run("mer.evaluate", f"exports/{task}", "--on", "else", "--on-set", "data.task=class", code=2)
    assert f"is read for data.task class, and the model has {task}" in refused
    other = ["--on-set", "data.targets=[serene, cross]"] if task == "multilabel" else []
    said = run("mer.evaluate", f"exports/{task}", "--seeds", "0 1", "--workers", "1", "--on", "else", *say, *other)
    assert "trained on told, scored on else (test): 24 of 24 rows" in said
    (place,) = (run.folder / "studies").glob("eval-*/on-else-test.json")
    told = json.loads(place.read_text())
    place.unlink()
    if task == "regression":
        assert "numbers: mood, age" in said and "always the mean" in said
        assert told["summary"]["ccc"]["mean"] > 0.4 > told["mean"]["ccc"] and set(told["each"]) == {"mood", "age"}
    else:
        assert "serene as calm" in said and "at dev's thresholds" in said
        assert told["summary"]["macro_f1"]["mean"] > 0.8 and told["rows"]["left_out"] == {}


def _write_told(path: Path, header: str, shift: int) -> None:
    """Texts of three moods with two numbers and two labels."""
    rows = [f"{MOODS[mood]} {n + shift},{at * 10 + n % 2},{20 + at},{int(mood == 'calm')},{int(mood == 'cross')}"
            for n in range(8) for at, mood in enumerate(MOODS)]  # fmt: skip
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
