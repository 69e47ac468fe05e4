"""A Ray of the driver's own that dies: the study hears of it, and the process ends where its loop never does."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from study_helpers import make_spec

from mer.study.cluster import own_ray, trials
from mer.study.cluster.own_ray import RayWatch, dead_process
from trainables.shared_features import SharedFeatures


@pytest.fixture
def raylet(monkeypatch):
    """A process that stands for a raylet, beside a GCS and a log monitor that has ended."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    living, ended = SimpleNamespace(process=sleeper), SimpleNamespace(process=SimpleNamespace(poll=lambda: 0))
    found = {"raylet": [living], "gcs_server": [living], "log_monitor": [ended]}
    monkeypatch.setattr(own_ray, "started_processes", lambda: found)
    monkeypatch.setattr(own_ray, "_LOOK_S", 0.01)
    yield sleeper
    sleeper.kill()
    sleeper.wait()


def test_only_what_a_study_needs_counts(raylet):
    assert dead_process() == ""
    raylet.kill()
    raylet.wait()
    assert dead_process() == "raylet"


def test_a_block_that_ends_is_not_given_up(raylet):
    died, gave_up = [], []
    heard = threading.Event()
    with RayWatch(lambda name: (died.append(name), heard.set()), lambda: gave_up.append(True)):
        raylet.kill()
        assert heard.wait(10)
    assert died == ["raylet"] and gave_up == []


def test_a_block_that_never_ends_is_given_up(raylet, monkeypatch):
    monkeypatch.setattr(own_ray, "_PATIENCE_S", 0.05)
    gave_up = threading.Event()
    with RayWatch(lambda name: None, gave_up.set):
        raylet.kill()
        assert gave_up.wait(10)


def test_a_ray_that_lives_is_left_alone(raylet):
    with RayWatch(pytest.fail, pytest.fail):
        assert dead_process() == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "mer-ray-watch"]


def test_a_fault_of_a_ray_that_has_died_is_told_as_its_death(tmp_path, monkeypatch):
    """What Ray raises may come before the watch has looked."""

    def fails(*_):
        raise RuntimeError("Failed to connect to GCS")

    monkeypatch.setattr(trials, "start_ray", lambda *_: None)
    monkeypatch.setattr(trials, "session_folder", lambda: None)
    monkeypatch.setattr(trials, "dead_process", lambda: "raylet")
    monkeypatch.setattr(SharedFeatures, "put", fails)
    blocked = []
    engine = SimpleNamespace(spec=make_spec(tmp_path), block=lambda reason, advice: blocked.append((reason, advice)))
    stop = SimpleNamespace(interrupted=False, engine=engine, listening=nullcontext)
    plan = SimpleNamespace(shared_bytes=lambda: 0, paths=list, tuned=(), folds=None)
    with pytest.raises(RuntimeError):
        trials.run_trials(engine, plan, tmp_path, None, pytest.fail, stop, pytest.fail, pytest.fail, "")
    assert blocked == [("raylet, a process of Ray's, has died", "see whether the machine ran out of memory")]
