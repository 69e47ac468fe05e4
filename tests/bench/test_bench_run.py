"""The loop over cells, with a module that stands in for a cell: what fails stops no other, nothing is done twice."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from small_protocol import cells_of, write_corpus, write_protocol

from mer.errors import MerError
from mer.locks import acquire
from mer.study.bench.cells import Cell, read_protocol
from mer.study.bench.process import run_process
from mer.study.bench.run import Bench
from mer.study.bench.state import Done, Place

REPOSITORY = Path(__file__).parents[2]
FAKE = """import json, os, pathlib, signal, sys
name = sys.argv[sys.argv.index("--cell") + 1]
with open("asked.txt", "a") as stream:
    stream.write(name + "\\n")
kind = pathlib.Path(name + ".fate").read_text() if pathlib.Path(name + ".fate").exists() else "well"
if kind == "refused":
    print("some line")
    sys.exit(print("error: here: it is wrong\\n  next: mend it", file=sys.stderr) or 2)
if kind == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "interrupted":
    sys.exit(130)
if kind == "silent":
    sys.exit(0)
pathlib.Path("out/cells/%s.json" % name).write_text(pathlib.Path(name + ".done").read_text())
"""


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, write_protocol(folder)
        self.place, self.cells = Place(Path("out")), cells_of(self.path)
        self.pages = 0
        (folder / "fake_cell.py").write_text(FAKE)
        (folder / "results.json").write_text("{}")
        for cell in self.cells:
            (folder / f"{cell.name}.done").write_text(json.dumps(done_of(cell)))

    def run(self) -> tuple[str, list[str]]:
        output = io.StringIO()
        protocol, _ = read_protocol(self.path, data={}, trials=None)

        def count(folder: Path) -> None:
            self.pages += 1

        bench = Bench(protocol, self.cells, self.place, Path("studies"), ["fake_cell"], "typed", count)
        standings = bench.run(Console(file=output, width=200))
        return output.getvalue(), [one.state for one in standings]

    def asked(self) -> list[str]:
        path = self.folder / "asked.txt"
        return path.read_text().split() if path.exists() else []

    def fate(self, name: str, kind: str) -> None:
        (self.folder / f"{name}.fate").write_text(kind)

    def recorded(self) -> dict[str, dict]:
        return {one["cell"]: one for one in json.loads((self.folder / "out" / "bench.json").read_text())["cells"]}


def done_of(cell: Cell) -> dict:
    return Done(
        format=1, plan=cell.plan, study="../studies/x", trial=1, searched=0.5, reranked=None, export="e",
        results="../results.json", metric="weighted_f1", mean=0.6, sd=0.01, n=2,
    ).model_dump()  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_corpus(tmp_path / "own")
    return Stage(tmp_path)


def test_done_cells_are_not_run_again(stage: Stage):
    said, states = stage.run()
    assert states == ["done", "done"] and stage.asked() == ["own-text-ce", "own-text-supcon"]
    assert "1/2 own-text-ce: weighted-F1 60.00 ± 1.00 on test, 2 seeds" in said
    said, states = stage.run()
    assert states == ["done", "done"] and len(stage.asked()) == 2 and said.count("done before") == 2
    assert stage.pages == 4  # before the first cell, and after each that ran


def test_a_failed_cell_stops_no_other_and_is_tried_again(stage: Stage):
    stage.fate("own-text-ce", "refused")
    said, states = stage.run()
    assert states == ["failed", "done"]
    assert "own-text-ce: failed: here: it is wrong\n  next: mend it" in said
    assert stage.recorded()["own-text-ce"]["reason"] == "here: it is wrong\n  next: mend it"
    stage.fate("own-text-ce", "well")
    said, states = stage.run()
    assert states == ["done", "done"] and stage.asked() == ["own-text-ce", "own-text-supcon", "own-text-ce"]
    assert stage.recorded()["own-text-ce"] | {"seconds": 0} == {
        "cell": "own-text-ce", "corpus": "own", "features": "text", "method": "ce", "state": "done", "reason": "",
        "study": "../studies/tiny-own-text-ce", "seconds": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("killed", "its process was killed (signal 9); see out/cells/own-text-ce.log"),
        ("silent", "it ended without a result; see out/cells/own-text-ce.log"),
    ],
)
def test_a_cell_without_a_message(stage: Stage, kind: str, words: str):
    stage.fate("own-text-ce", kind)
    said, states = stage.run()
    assert states == ["failed", "done"] and words in said


def test_an_interrupted_cell_ends_the_command(stage: Stage):
    stage.fate("own-text-ce", "interrupted")
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    assert stage.asked() == ["own-text-ce"] and stage.recorded()["own-text-ce"]["state"] == "waiting"


def test_a_result_of_another_plan_does_not_count(stage: Stage):
    stage.run()
    stage.path = write_protocol(stage.folder, ("seeds: [0, 1]", "seeds: [0, 2]"))
    stage.cells = cells_of(stage.path)
    _, states = stage.run()
    assert states == ["failed", "failed"] and len(stage.asked()) == 4  # the stand-in writes results of the former plan


def test_cells_of_an_earlier_choice_stay(stage: Stage):
    every = stage.cells
    stage.cells = every[:1]
    stage.run()
    stage.cells = every[1:]
    stage.run()
    assert [one["state"] for one in stage.recorded().values()] == ["done", "done"]


def test_two_at_once_are_refused(stage: Stage):
    (stage.folder / "out").mkdir()
    with acquire(stage.place.lock), pytest.raises(MerError, match="another process runs this protocol"):
        stage.run()
    assert stage.asked() == []


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux ends a process with its parent")
def test_a_cell_ends_with_the_command_that_is_killed(tmp_path: Path):
    (tmp_path / "sleeper.py").write_text(
        "import os, pathlib, time\nfrom mer.study.bench.process import end_with_parent\nend_with_parent()\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    code = "import pathlib, mer.study.bench.process as it; it.run_process(['sleeper'], pathlib.Path('log'))"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    command = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline and command.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.02)
    child = int((tmp_path / "pid").read_text())
    command.kill()
    command.wait()
    while Path(f"/proc/{child}").exists() and _state(child) not in "ZX":
        assert time.monotonic() < deadline, "the cell lives on"
        time.sleep(0.02)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_a_signal_is_handed_on_once_and_the_cell_ends_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "orderly.py").write_text(
        "import os, pathlib, signal, sys, time\n"
        "def stop(number, frame):\n    pathlib.Path('stopped').write_text('in order'); sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, stop)\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    with pytest.raises(KeyboardInterrupt):
        run_process(["orderly"], tmp_path / "log")
    assert (tmp_path / "stopped").read_text() == "in order"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
