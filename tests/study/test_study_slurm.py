"""A study as a job of SLURM: what is asked, the script at work with a made-up driver, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import cluster
from study_helpers import make_spec

from mer.console import page
from mer.errors import MerError
from mer.study.preflight.run_options import RunOptions
from mer.study.slurm import submit as submitting
from mer.study.slurm.request import SlurmRequest
from mer.study.slurm.script import Job, job_script
from mer.study.space.spec import Resources

__all__ = ["cluster"]


def request(*options: str, nodes: int = 1, time: str = "00:01:00", partition: str = "", gpus: int = 0) -> SlurmRequest:
    return SlurmRequest.read(nodes, time, partition, gpus, options)


@pytest.mark.parametrize(
    ("time", "lead"),
    [("04:00:00", 120), ("90", 120), ("5", 75), ("1-12:30", 120), ("0-00:02:00", 30), ("00:10", 5), ("", 120)],
)  # fmt: skip
def test_a_study_is_asked_to_stop_two_minutes_before_the_limit_or_a_quarter_of_it(time: str, lead: int):
    assert request(time=time).lead_s == lead


@pytest.mark.parametrize("time", ["4h", "-1", "0", "1:2:3:4", "00:00:00", "1-", "4:00:00\n", "٣"])
def test_what_is_no_time_is_refused(time: str):
    with pytest.raises(MerError) as fault:
        request(time=time)
    allowed = "HH:MM:SS, D-HH:MM:SS or minutes, e.g. 04:00:00"
    assert fault.value.message == f"--time: {time!r} is no time\n  allowed: {allowed}"


def test_options_of_sbatch_are_handed_on_and_ours_are_refused():
    asked = request("account=lab", "--exclusive", "mail-user=a b", nodes=2, partition="gpu", gpus=1)
    said = dict(asked.directives("mer-x"))
    assert said["account"] == "lab" and said["exclusive"] == "" and said["mail-user"] == "a b"
    assert (said["nodes"], said["partition"], said["gpus-per-node"], said["signal"]) == ("2", "gpu", "1", "B:USR1@15")
    for option, words in (
        ("time=3", "--time says it"),
        ("signal=USR2", "needs its own"),
        ("no option", "is no option"),
    ):
        with pytest.raises(MerError, match=words):
            request(option)
    with pytest.raises(MerError, match="is no name of a partition"):
        request(partition="a b")


def test_cpus_follow_from_the_trials_at_once():
    four = Resources(cpu=2, workers=4)
    assert ("cpus-per-task", "4") in request(nodes=2).for_trials(four).options
    assert request("cpus-per-task=3").for_trials(four).options == (("cpus-per-task", "3"),)
    assert request().for_trials(Resources()) == request()
    with pytest.raises(MerError, match="a trial asks for a GPU, the job for none"):
        request().for_trials(Resources(gpu=1))
    assert request("gres=gpu:1").for_trials(Resources(gpu=1)) and request(gpus=1).for_trials(Resources(gpu=0.5))


# A driver that trains one trial a round: it ends in order when it is asked to, and is done when it resumes.
DRIVER = """#!/bin/bash
echo "driver $*"
mkdir -p "$STUDY/trials/00000" && touch "$STUDY/journal.log"
case "$*" in
  *--resume) touch "$STUDY/trials/00000/best.safetensors"; echo resumed; exit 0 ;;
esac
trap 'echo asked; exit 130' USR1
$WORK
sleep 20 & wait $!
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose study, and working folder, have names that a shell would take apart."""
    place = tmp_path / '50% done; it\'s "what?" 学习'
    place.mkdir()
    monkeypatch.chdir(place)
    driver = tmp_path / "driver"
    driver.write_text(DRIVER, encoding="utf-8")
    driver.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(driver))
    monkeypatch.setenv("STUDY", str(place / "studies" / "small"))
    monkeypatch.setenv("WORK", "")
    return Job(Path("studies") / "small", ["space.yaml", "--set", "a='b c'"], "python -m mer.tune space.yaml")


def ended(cluster: Path, words: str) -> str:
    """Wait for the job. Returns what it printed."""
    log = cluster / "log"
    for _ in range(300):
        if log.exists() and words in log.read_text(encoding="utf-8"):
            break
        time.sleep(0.05)
    assert words in log.read_text(encoding="utf-8")
    return Path("studies/.small.slurm/1.out").read_text(encoding="utf-8")


def test_a_job_is_requeued_before_its_limit_and_resumes(cluster: Path, job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORK", "x")
    monkeypatch.setenv("STAND_IN_CUT", str(Path("studies/small/trials/00000/last.safetensors").absolute()))
    text = DRIVER.replace("$WORK", 'touch "$STUDY/trials/00000/last.safetensors"')
    Path(sys.executable).write_text(text, encoding="utf-8")
    assert submitting.submit(request(time="00:01:00"), job) == "1"
    printed = ended(cluster, "job 1: ended 0")
    assert "driver -m mer.tune space.yaml --set a='b c'\nasked\nthe time is up: job 1 goes back" in printed
    assert printed.endswith("driver -m mer.tune space.yaml --set a='b c' --resume\nresumed\n")
    assert [word for word in ("killed",) if word in (cluster / "log").read_text(encoding="utf-8")] == []
    script = Path("studies/.small.slurm/job.sh")
    assert script.stat().st_mode & 0o077 == 0, "--set may hold what others are not to read"


def test_a_job_without_progress_is_not_run_for_ever(cluster: Path, job: Job):
    submitting.submit(request(time="00:00:06"), job)
    assert "no trial got further in this time; ask for more: --time" in ended(cluster, "job 1: ended 130")


def test_fresh_is_for_the_first_round_only(cluster: Path, job: Job):
    study = Path("studies/small")
    (study / "trials").mkdir(parents=True)
    (study / "journal.log").touch()
    text = job_script(request(), Job(job.study, job.words, job.typed, "--fresh"))
    choice = text[text.index("again=") : text.index("asked=")]
    for restarts, option in (("0", "--fresh"), ("1", "--resume")):
        run = f"study={study}; SLURM_RESTART_COUNT={restarts}; {choice} echo $again"
        assert subprocess.run(["bash", "-c", run], capture_output=True, text=True, timeout=10).stdout == f"{option}\n"


def test_the_script_is_bash_for_one_node_and_for_several(job: Job):
    for nodes in (1, 3):
        text = job_script(request(nodes=nodes), job)
        assert subprocess.run(["bash", "-n"], input=text, text=True, timeout=10).returncode == 0
        assert "@" not in text.replace("USR1@15", "")
        assert ("srun" in text and "RAY_AUTH_TOKEN" in text) == (nodes > 1)


def test_a_line_break_in_a_path_is_refused(tmp_path: Path):
    with pytest.raises(MerError, match="a line break in a path or option"):
        job_script(request(), Job(tmp_path / "a\nb", [], ""))


def test_what_slurm_refuses_is_one_message(cluster: Path, job: Job, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(MerError) as fault:
        submitting.submit(request(partition="gpu"), job)
    assert fault.value.message == (
        "sbatch: refused the job: invalid partition specified: gpu\n"
        "  allowed: a partition, time and nodes that this cluster has: sinfo\n"
        "  next: change the options; the script is studies/.small.slurm/job.sh"
    )
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MerError) as fault:
        submitting.submit(request(), job)
    assert fault.value.message == (
        "sbatch: is not on this machine\n  allowed: a login node of a SLURM cluster\n"
        "  next: type it there; or see the script: python -m mer.tune space.yaml --slurm --dry-run"
    )


def test_a_job_starts_its_own_ray(tmp_path: Path):
    options = RunOptions(tmp_path / "studies", tmp_path / "features", address="auto")
    with pytest.raises(MerError, match="--slurm --address: they exclude each other"):
        submitting.run_as_job(make_spec(tmp_path), options, request(), [], page(), False)
