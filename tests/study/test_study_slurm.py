"""A study as a job of SLURM: what is asked, what is refused, what is printed to type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from slurm_cluster import cluster
from study_helpers import make_spec
from typer.testing import CliRunner

from mer import tune
from mer.console import page
from mer.errors import MerError
from mer.study.preflight.check_study import _refuse_place
from mer.study.preflight.run_options import COMMAND, RunOptions
from mer.study.slurm import submit as submitting
from mer.study.slurm.request import SlurmRequest
from mer.study.slurm.script import Job
from mer.study.space.spec import Resources

__all__ = ["cluster"]
NOTHING = SimpleNamespace(notes=())


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
    said = dict(asked.directives("mer-x", Path("/jobs")))
    assert said["account"] == "lab" and said["exclusive"] == "" and said["mail-user"] == "a b"
    assert (said["nodes"], said["partition"], said["gpus-per-node"], said["signal"]) == ("2", "gpu", "1", "B:USR1@15")
    for option, words in (
        ("time=3", "--time says it"),
        ("signal=USR2", "needs its own"),
        ("no option", "is no option"),
        ("chdir=/home/me", "chdir is set already(.|\n)*in the folder where its command was typed: cd there"),
    ):
        with pytest.raises(MerError, match=words):
            request(option)
    with pytest.raises(MerError, match="is no name of a partition"):
        request(partition="a b")


def test_cpus_follow_from_the_trials_at_once():
    four = Resources(cpu=2, workers=4)
    assert ("cpus-per-task", "4") in request(nodes=2).for_trials(four).options
    for nodes, cpus in ((1, "10"), (2, "6"), (3, "4"), (4, "4"), (5, "2"), (9, "2")):  # whole trials on each node
        assert ("cpus-per-task", cpus) in request(nodes=nodes).for_trials(Resources(cpu=2, workers=5)).options
    assert ("cpus-per-task", "1") in request(nodes=2).for_trials(Resources(cpu=0.5, workers=3)).options
    assert request("cpus-per-task=3").for_trials(four).options == (("cpus-per-task", "3"),)
    assert request().for_trials(Resources()) == request()
    with pytest.raises(MerError, match="a trial asks for a GPU, the job for none"):
        request().for_trials(Resources(gpu=1))
    with pytest.raises(
        MerError, match=r"asks for 2\.5 CPUs, the job for 2 a node(.|\n)*--slurm-option cpus-per-task=3"
    ):
        request("cpus-per-task=2", nodes=4).for_trials(Resources(cpu=2.5))
    assert request("gres=gpu:1").for_trials(Resources(gpu=1)) and request(gpus=1).for_trials(Resources(gpu=0.5))


JOB = Job(Path("studies/small"), ["space.yaml"], RunOptions(Path("studies"), Path("features"), fresh=True, trials=3))


def test_what_slurm_refuses_is_one_message(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MerError) as fault:
        submitting.submit(request(partition="gpu"), JOB)
    assert fault.value.message == (
        "sbatch: refused the job: invalid partition specified: gpu\n"
        "  allowed: a partition, time and nodes that this cluster has: sinfo\n"
        "  next: change the options; the script is studies/.small.slurm/job.sh"
    )
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MerError) as fault:
        submitting.submit(request(), JOB)
    assert fault.value.message == (
        "sbatch: is not on this machine\n  allowed: a login node of a SLURM cluster\n"
        "  next: type it there; or see the script: python -m mer.tune --trials 3 --fresh --dry-run"
    )


def test_a_job_starts_its_own_ray(tmp_path: Path):
    options = RunOptions(tmp_path / "studies", tmp_path / "features", address="auto")
    with pytest.raises(MerError, match="--slurm --address: they exclude each other"):
        submitting.run_as_job(make_spec(tmp_path), options, request(), [], page())


TYPED = ["--hours", "2", "--workers", "2", "--slurm", "--nodes", "2", "--time", "01:00:00", "--slurm-option"]
TYPED += ["comment=a b", "--trials", "3"]


def of_small(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Type `mer.tune space.yaml WORDS`. Returns what it printed, or refused."""
    monkeypatch.setattr(submitting, "check_study", lambda spec, options, have: _refuse_place(spec, options) or NOTHING)
    done = CliRunner().invoke(tune.app, ["space.yaml", *words])
    return str(done.exception) if done.exception else done.output


def test_every_command_that_is_printed_keeps_the_options_that_were_typed(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    make_spec(tmp_path)
    whole = f"python -m mer.tune space.yaml {shlex.join(TYPED)}"
    said = of_small(tmp_path, monkeypatch, *TYPED)
    assert said.splitlines()[3:] == ["end it:          scancel 1", f"go on later:     {whole} --resume"]
    script = Path("studies/.small.slurm/job.sh").read_text(encoding="utf-8")
    assert f"# Written by: {whole}\n" in script
    inside = " ".join(shlex.quote(word) for word in TYPED[:4] + TYPED[-2:])
    assert f"-m mer.tune space.yaml {inside} --address" in script
    assert f"More time: python -m mer.tune space.yaml {inside} --slurm --nodes 2 --time 02:00:00" in script
    Path("studies/small").mkdir()
    Path("studies/small/journal.log").touch()
    for also in ([], ["--dry-run"]):
        said = of_small(tmp_path, monkeypatch, *TYPED, *also)
        again = " ".join([whole, *also])
        assert said.endswith(f"go on with it:  {again} --resume\n        start over:     {again} --fresh")
    Path("studies/small/journal.log").unlink()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert of_small(tmp_path, monkeypatch, *TYPED, "--resume").endswith(f"see the script: {whole} --resume --dry-run")


def test_a_job_names_the_command_that_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not its own, with the address of a Ray that is gone: what is typed again belongs on the login node."""
    monkeypatch.chdir(tmp_path)
    make_spec(tmp_path)
    seen: list[RunOptions] = []
    monkeypatch.setattr("mer.study.runner.run_study", lambda spec, options, console: seen.append(options))
    monkeypatch.setenv(COMMAND, "python -m mer.tune space.yaml --slurm")
    assert CliRunner().invoke(tune.app, ["space.yaml", "--address", "10.0.0.1:1", "--resume"]).exit_code == 0
    assert seen[0].go_on(9) == "python -m mer.tune space.yaml --slurm --trials 9 --resume"
