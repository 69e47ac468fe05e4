"""`mer.study audit`: what it finds in a study that somebody or something has damaged, and what it mends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.faults.world.faults import NoFault
from benchmarks.faults.world.kinds import ALONE
from benchmarks.faults.world.study import World
from mer.study.__main__ import app
from mer.study.paths import trial_folder

COPY = "Next: bring it back from a copy"
EITHER = "Next: --repair or --resume mends it"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A study of three trials that have ended, and its record."""
    world = World(tmp_path / "world", ALONE.spec(3, 2), ALONE.nodes)
    assert world.command(NoFault(), resume=False).code == 0
    return world


def typed(world: World, *words: str) -> tuple[int, str]:
    with world.from_outside():
        done = CliRunner().invoke(app, ["audit", str(world.folder), *words], catch_exceptions=False)
    return done.exit_code, done.stdout.replace(str(world.root), "ROOT")


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def cut_history(trial: Path) -> None:
    path = trial / "artifacts/history.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def move_link(trial: Path) -> None:
    link = trial / "best.safetensors"
    target = link.readlink()
    link.unlink()
    link.symlink_to(Path("..") / target)


def copy_back(trial: Path) -> None:
    link = trial / "best.safetensors"
    content = link.read_bytes()
    link.unlink()
    link.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (
        lambda trial: (trial / "best.safetensors").unlink(),
        f"weights: trial 0: best.safetensors is not there. {COPY}",
    ),
    "link to nowhere": (
        lambda trial: (trial / "best.safetensors").resolve().unlink(),
        f"weights: trial 0, best.safetensors: the link leads nowhere (LINK). {COPY}",
    ),
    "link of another depth": (
        move_link,
        "weights: trial 0, best.safetensors: the link leads nowhere (LINK). Next: --repair mends it",
    ),
    "a copy": (copy_back, f"weights: trial 0, best.safetensors: it is not in the store yet. {EITHER}"),
    "no card": (
        lambda trial: (trial / "best.json").unlink(),
        "weights: trial 0, best.safetensors: its card is not there. Next: bring its card back from a copy",
    ),
    "another's card": (
        lambda trial: change(trial / "best.json", '"number": 0', '"number": 9'),
        "weights: trial 0, best.safetensors: its card is that of trial 9. Next: bring its card back from a copy",
    ),
    "rows lost": (
        cut_history,
        f"trial: trial 0: artifacts/history.csv: 1 epochs, and the journal has heard of 2. {COPY}",
    ),
    "a score changed": (
        lambda trial: change(trial / "artifacts/history.csv", "0.7040", "0.7041"),
        f"trial: trial 0: artifacts/history.csv: epoch 2, the best, has other scores than in the journal. {COPY}",
    ),
    "no tables": (
        lambda trial: (trial / "artifacts/dev_predictions.csv").unlink(),
        "trial: trial 0: its tables are not made yet. Next: --resume mends it",
    ),
    "no configuration": (
        lambda trial: (trial / "artifacts/config.json").unlink(),
        f"trial: trial 0: artifacts/config.json is not there. {COPY}",
    ),
    "a folder too many": (
        lambda trial: (trial.parent / "00099").mkdir(),
        "trial: ROOT/studies/small/trials/00099: the journal knows no such trial. Next: move it away",
    ),
    "an echo into the journal": (
        lambda trial: (trial.parents[1] / "journal.log").open("a").write("\n"),
        f"journal: ROOT/studies/small/journal.log: blank or torn lines, which are passed over. {EITHER}",
    ),
    "half a file": (
        lambda trial: (trial / ".best.safetensors.0123abcd.tmp").touch(),
        f"leftover: ROOT/studies/small/trials/00000/.best.safetensors.0123abcd.tmp: temporary file. {EITHER}",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_said_in_one_line(world, name):
    damage, line = DAMAGES[name]
    trial = trial_folder(world.folder, 0)
    damage(trial)
    link = trial / "best.safetensors"
    if link.is_symlink():
        line = line.replace("LINK", str(link.readlink()))
    code, said = typed(world)
    assert code == 1 and line in said.splitlines(), said


def test_a_whole_study_has_no_finding(world):
    assert typed(world) == (0, "small: 3 trials: nothing is missing, nothing is twice\n")
    assert typed(world, "--thorough")[0] == 0


def test_what_mlflow_lacks_is_said_and_written(world):
    runs = {run.tags["mer.trial"]: run for run in world.server.runs.values()}
    runs["0"].params.clear()
    runs["1"].status = "RUNNING"
    runs["2"].lifecycle_stage = "deleted"
    world.server.create_run("1", "twice", dict(runs["0"].tags), 10**15)
    code, said = typed(world, "--thorough")
    assert code == 1
    assert "MLflow: trial 1: its status should be FINISHED." in said
    assert "parameters missing" in said and "a second run of trial 0" in said
    assert "trial 2" not in said, "its owner deleted it"
    code, said = typed(world, "--repair")
    assert code == 0 and said.endswith("small: 3 trials: nothing is missing, nothing is twice\n"), said
    assert runs["0"].params and runs["1"].status == "FINISHED"


@pytest.mark.parametrize("name", ["link of another depth", "a copy", "an echo into the journal", "half a file"])
def test_repair_mends_it(world, name):
    DAMAGES[name][0](trial_folder(world.folder, 0))
    journal = (world.folder / "journal.log").read_text().strip()
    code, said = typed(world, "--repair")
    assert code == 0, said
    assert (world.folder / "journal.log").read_text().strip() == journal


def test_what_nobody_can_mend_stays_a_finding(world):
    (trial_folder(world.folder, 0) / "best.safetensors").unlink()
    assert typed(world, "--repair")[0] == 1
    code, said = typed(world, "--json")
    found = json.loads(said)
    assert json.loads(typed(world, "--repair", "--json")[1]) == found, "what was mended goes to the other stream"
    assert code == 1 and (found["study"], found["trials"]) == ("small", 3)
    assert found["findings"] == [
        {
            "part": "weights", "where": "trial 0", "words": "best.safetensors is not there", "mends": "",
            "then": "bring it back from a copy",
        }
    ]  # fmt: skip


def test_a_start_tells_what_it_does_not_mend(world):
    copy_back(trial_folder(world.folder, 0))  # it mends that
    (trial_folder(world.folder, 1) / "best.safetensors").unlink()
    said = world.command(NoFault(), resume=True).message.splitlines()
    lines = [line for line in said if line.startswith("audit:")]
    assert lines[0] == f"audit: weights: trial 1: best.safetensors is not there. {COPY}"
    assert lines[1].startswith("audit: 1 finding in all: python -m mer.study audit ") and len(lines) == 2
    assert (trial_folder(world.folder, 0) / "best.safetensors").is_symlink()
