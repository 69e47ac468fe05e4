"""The script of a SLURM job at work, with a made-up driver: its rounds, its signals, what it asks of the study once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from slurm_cluster import cluster

from mer.errors import MerError
from mer.study.preflight.run_options import RunOptions
from mer.study.slurm import submit as submitting
from mer.study.slurm.request import SlurmRequest
from mer.study.slurm.script import Job, job_script

__all__ = ["cluster"]

# A driver that trains one trial a round: it ends in order when it is asked to, and is done when it resumes.
DRIVER = """#!/bin/bash
case "$*" in
  *secrets*) echo token; exit 0 ;;
  *slurm.node*) exec sleep 20 >/dev/null 2>&1 ;;
esac
echo "driver $*"
mkdir -p "$STUDY/trials/00000"
case "$*" in
  *--retry-failed) echo '{"retry_of": 3}' >>"$STUDY/journal.log"; exit 0 ;;
  *--resume) touch "$STUDY/trials/00000/best.safetensors"; echo resumed; exit 0 ;;
  *--fresh) echo '{"a new one"}' >"$STUDY/journal.log"; exit 0 ;;
esac
touch "$STUDY/journal.log"
trap 'echo asked; exit 130' USR1
for file in $WRITES; do touch "$STUDY/trials/00000/$file"; done
sleep 20 >/dev/null 2>&1 & wait $!
"""


def request(time: str = "00:01:00", nodes: int = 1) -> SlurmRequest:
    return SlurmRequest.read(nodes, time, "", 0, ())


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose study, and working folder, have names that a shell would take apart."""
    place = tmp_path / '50% done; it\'s "what?" \\ @study@ 学习'
    place.mkdir()
    monkeypatch.chdir(place)
    driver = tmp_path / "driver"
    driver.write_text(DRIVER, encoding="utf-8")
    driver.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(driver))
    monkeypatch.setenv("STUDY", str(place / "studies" / "small"))
    monkeypatch.setenv("WRITES", "")
    options = RunOptions(Path("studies"), Path("features"), command="python -m mer.tune space.yaml")
    return Job(Path("studies") / "small", ["space.yaml", "--set", "a='b c'"], options)


def ended(cluster: Path, words: str, number: int = 1) -> str:
    """Wait for a job. Returns what it printed."""
    log = cluster / "log"
    for _ in range(300):
        if log.exists() and words in log.read_text(encoding="utf-8"):
            break
        time.sleep(0.05)
    assert words in log.read_text(encoding="utf-8")
    return Path(f"studies/.small.slurm/{number}.out").read_text(encoding="utf-8")


def test_a_job_is_requeued_before_its_limit_and_resumes(cluster: Path, job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WRITES", "last.safetensors")
    monkeypatch.setenv("STAND_IN_CUT", str(Path("studies/small/trials/00000/last.safetensors").absolute()))
    assert submitting.submit(request(), job) == "1"
    printed = ended(cluster, "job 1: ended 0")
    assert "driver -m mer.tune space.yaml --set a='b c'\nasked\nthe time is up: job 1 goes back" in printed
    assert printed.endswith("driver -m mer.tune space.yaml --set a='b c' --resume\nresumed\n")
    assert "error" not in printed, "SLURM ends the script with a SIGTERM first"
    assert [word for word in ("killed",) if word in (cluster / "log").read_text(encoding="utf-8")] == []
    script = Path("studies/.small.slurm/job.sh")
    assert script.stat().st_mode & 0o077 == 0, "--set may hold what others are not to read"
    assert sorted(path.name for path in script.parent.iterdir()) == ["1.out", "job.sh"]


@pytest.mark.parametrize("writes", ["", "best.safetensors"])
def test_a_job_without_progress_is_not_run_for_ever(
    writes: str, cluster: Path, job: Job, monkeypatch: pytest.MonkeyPatch
):
    """Weights that are written before the checkpoint are no epoch that counts."""
    monkeypatch.setenv("WRITES", writes)
    submitting.submit(request(time="00:00:06"), replace(job, longer="python -m mer.tune --time 00:00:12"))
    printed = ended(cluster, "job 1: ended 130")
    assert "no trial got further in this time. More time: python -m mer.tune --time 00:00:12 --resume" in printed


def test_what_is_handed_to_sbatch_again_goes_on_with_the_study(cluster: Path, job: Job, tmp_path: Path):
    """`--fresh` puts the study aside that it was typed for, not the one that it has begun."""
    study = Path("studies/small")
    study.mkdir(parents=True)
    (study / "journal.log").write_text('{"the old one"}\n', encoding="utf-8")
    submitting.submit(request(), replace(job, options=replace(job.options, fresh=True)))
    assert ended(cluster, "job 1: ended 0").endswith(" --fresh\n")
    script = Path("studies/.small.slurm/job.sh").absolute()
    subprocess.run(["sbatch", str(script)], cwd=tmp_path, check=True, timeout=10)
    assert ended(cluster, "job 2: ended 0", 2).endswith("--resume\nresumed\n"), "and it prints where the first one did"


@pytest.mark.parametrize("beginning", ["--fresh", "--resume --retry-failed"])
def test_what_is_asked_once_is_asked_until_it_was_done(beginning: str, cluster: Path, job: Job):
    """A round that died before it did so is no reason to go on without it, whatever SLURM counts as a restart."""
    study, words = Path("studies/small"), beginning.split()
    study.mkdir(parents=True)
    (study / "journal.log").write_text('{"the old one"}\n{"retry_of": 1}\n', encoding="utf-8")
    options = replace(job.options, fresh="--fresh" in words, resume="--resume" in words, retry_failed=len(words) == 2)
    text = job_script(request(), replace(job, options=options))
    rounds = [run(text, SLURM_RESTART_COUNT=str(count)).stdout.splitlines()[0] for count in (1, 0, 0)]
    assert [line.partition("' ")[2] for line in rounds] == [beginning, "--resume", "--resume"]


def run(text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script until it ends, or for three seconds, as it is printed: nothing of it is there yet."""
    environment = os.environ | {"SLURM_JOB_ID": "1"} | more
    return subprocess.run(
        ["timeout", "--signal=KILL", "3", "bash", "-c", text], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_signal_that_comes_before_the_study_is_not_forgotten(nodes: int, cluster: Path, job: Job):
    """The time may be up while Ray starts: the study is not begun, the job goes back; once, not for ever."""
    text = job_script(request(nodes=nodes), job)
    for kind, code in (("USR1", None), ("USR1", 143), ("USR1", None), ("TERM", 143)):
        word = "\nuntil " if nodes > 1 else "\nbegin "
        early = text.replace(word, f"\nkill -{kind} $${word}").replace("{1..60}", "{1..1}")
        done = run(early)
        assert "-m mer.tune" not in done.stdout, "the study was begun"
        assert (cluster / "requeue-1").exists() == (code is None)
        assert ("no trial got further" in done.stderr) == (kind == "USR1" and code == 143)
        assert done.returncode == 143
        (cluster / "requeue-1").unlink(missing_ok=True)


def test_a_signal_that_comes_while_the_study_is_begun_reaches_it(cluster: Path, job: Job):
    text = job_script(request(), job).replace("  driver=$!", "  kill -USR1 $$\n  driver=$!")
    done = run(text)
    assert done.returncode in (130, 138) and "no trial got further" in done.stderr


def test_a_signal_ends_the_waiting_and_not_the_study(cluster: Path, job: Job, tmp_path: Path):
    """A driver that takes its time to stop, and one that is done all the same: its own exit code counts."""
    for ends, code in (("130", 130), ("0", 0), ("3", 3)):
        Path(sys.executable).write_text(
            f"#!/bin/bash\ntrap 'sleep 0.3; exit {ends}' USR1\nsleep 20 >/dev/null 2>&1 & wait $!\n", encoding="utf-8"
        )
        text = job_script(request(), job).replace(
            '  wait "$', '  sleep 0.2; [ -e told ] || { touch told; kill -USR1 $$; }\n  wait "$', 1
        )
        assert run(text).returncode == code
        Path("told").unlink()


def test_the_script_is_bash_for_one_node_and_for_several(job: Job):
    for nodes in (1, 3):
        text = job_script(request(nodes=nodes), job)
        assert subprocess.run(["bash", "-n"], input=text, text=True, timeout=10).returncode == 0
        assert set(re.findall(r"@\w+@", text)) == {"@study@"}, "which is in the folder's own name"
        assert ("srun" in text and "RAY_AUTH_TOKEN" in text) == (nodes > 1)


def test_a_line_break_in_a_path_is_refused(job: Job, tmp_path: Path):
    with pytest.raises(MerError, match="a line break in a path or option"):
        job_script(request(), Job(tmp_path / "a\nb", [], job.options))
