"""A chain of two studies through the commands: a teacher, and its students, killed in the middle and resumed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from conftest_ray import Commands, begin_with, histories, records, wait_until

from benchmarks.kills.commands import Starter
from benchmarks.kills.fork_server import ForkServer
from mer.checkpoints import load_tensors
from mer.data.sample.corpus import write_sample

pytestmark = pytest.mark.ray

TEXT = "text: {backbone: minilm, layers: [4]}"
TEACHER = f"""study: teacher
trainable: text
budget: {{trials: 1, epochs: 2}}
scheduler: {{kind: none}}
fixed: {{data: {{root: corpus}}, encoders: {{{TEXT}}}}}
params: {{optim.head_lr: {{float: [1e-3, 2e-3]}}}}
"""
STUDENTS = f"""study: students
trainable: distill
budget: {{trials: 1, epochs: 100}}
scheduler: {{kind: none}}
resources: {{cpu: 1, workers: 1}}
depends_on: {{exports/teacher: teacher.yaml}}
fixed:
  data: {{root: corpus}}
  encoders: {{{TEXT}, audio: {{backbone: melstats}}}}
  distill: {{teacher: exports/teacher}}
  fusion: {{kind: self_attention, width: 16, modality_dropout: 0.3}}
  head: {{hidden: 16}}
params: {{optim.head_lr: {{float: [1e-3, 2e-3]}}}}
"""


class Desk(Commands):
    """A corpus with voices, and both search spaces."""

    def __init__(self, home: Path, starter: Starter) -> None:
        self.home, self.starter = home, starter
        write_sample(home / "corpus", dialogues_per_split={"train": 10, "dev": 5}, modalities=("text", "audio"))
        (home / "teacher.yaml").write_text(TEACHER)
        (home / "students.yaml").write_text(STUDENTS)


@pytest.mark.faults
def test_a_chain_of_studies_survives_a_kill(tmp_path: Path, forks: ForkServer, database: Path) -> None:
    desk = Desk(tmp_path, forks)
    begin_with(database, tmp_path / "studies", tmp_path / "whole")
    refused = desk.run("mer.tune", "students.yaml", code=2)
    assert "python -m mer.tune teacher.yaml, then python -m mer.export studies/teacher --out exports/teacher" in refused
    desk.run("mer.tune", "teacher.yaml")
    desk.run("mer.export", "studies/teacher", "--out", "exports/teacher")
    whole = desk.run("mer.tune", "students.yaml", "--studies", "whole")
    assert "students: 1 finished" in whole

    killed = desk.start("mer.tune", "students.yaml")
    trial = tmp_path / "studies/students/trials/00000"
    wait_until((trial / "last.safetensors").exists)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (trial / "last.safetensors").exists(), "it was to be killed in the middle"
    desk.run("mer.tune", "students.yaml", "--resume")

    reference = tmp_path / "whole/students"
    assert histories(tmp_path / "studies/students") == histories(reference)
    for name in ("best", "best-text", "best-audio"):
        ours, theirs = (load_tensors(f / f"{name}.safetensors")[0] for f in (trial, reference / "trials/00000"))
        assert {n: t.numpy().tobytes() for n, t in ours.items()} == {n: t.numpy().tobytes() for n, t in theirs.items()}
    parents, children = records(tmp_path / "studies", "students")
    assert [run.info.status for run in (*parents, *children)] == ["FINISHED", "FINISHED"]
    assert {"dev_weighted_f1_audio", "dev_teacher_agreement_text"} <= children[0].data.metrics.keys()

    said = desk.run("mer.export", "studies/students", "--student", "audio", "--out", "exports/audio")
    assert "exported trial 0 of students" in said
    assert "every number of every epoch came back" in desk.run("mer.verify", "studies/students", "--trial", "0")
