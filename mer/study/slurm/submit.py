"""Check a study, write the script of its job and hand it to sbatch."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from rich.console import Console

from mer.errors import MerError
from mer.files import atomic_path
from mer.study.preflight.check_study import check_study
from mer.study.preflight.machine import Machine
from mer.study.preflight.run_options import RunOptions
from mer.study.slurm.request import SlurmRequest
from mer.study.slurm.script import Job, job_script
from mer.study.space.spec import StudySpec
from mer.terminal.commands import command, quoted

_ANSWER_S = 60
_ENOUGH = 4096.0  # CPUs and GPUs: how many there are is for the cluster to say


def run_as_job(
    spec: StudySpec, options: RunOptions, request: SlurmRequest, words: Sequence[object], console: Console
) -> None:
    """Check the study as it would check itself, then submit it; of a dry run, print the job's script and write nothing.

    Args: words: what follows `mer.tune` in the command that the job runs.
    Raises: MerError for everything that the study would refuse, and when SLURM does not take the job.
    """
    if options.address is not None:
        raise MerError("--slurm --address", "they exclude each other: a job starts its own Ray", then="leave one out")
    asked = request.for_trials(spec.resources)
    for note in check_study(spec, options, [Machine(_ENOUGH, _ENOUGH)]).notes:
        console.print(f"data: {note}", soft_wrap=True)
    longer = command("mer.tune", *words, *request.longer.words) if request.longer else ""
    job = Job(options.studies / spec.study, words, options, longer)
    if options.dry_run:
        print(job_script(asked, job), end="")
        return
    number = submit(asked, job)
    lines = [
        f"submitted job {number}: {job.script}",
        f"what it prints:  tail -F {quoted(job.output(number))}",
        f"its state:       squeue --job {number}",
        f"end it:          scancel {number}",
        f"go on later:     {options.again} --resume",
    ]
    if not asked.says_cpus:
        lines.append("note: without --slurm-option cpus-per-task=N or --workers N, most clusters give one CPU a node")
    console.print("\n".join(lines), soft_wrap=True)


def submit(request: SlurmRequest, job: Job) -> str:
    """Put a study into the queue. Returns the number of the job. Raises: MerError when SLURM does not take it."""
    if shutil.which("sbatch") is None:
        raise MerError(
            "sbatch",
            "is not on this machine",
            allowed="a login node of a SLURM cluster",
            then=f"type it there; or see the script: {job.typed} --dry-run",
        )
    text = job_script(request, job)
    job.script.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(job.script, mode=0o600) as temporary:  # --set may hold what others are not to read
        temporary.write_text(text, encoding="utf-8")
    try:
        told = subprocess.run(
            ["sbatch", "--parsable", job.script.name],
            cwd=job.script.parent,
            capture_output=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        found = f"gave no answer in {_ANSWER_S} s"
        raise MerError("sbatch", found, then="squeue --me shows whether it took the job") from None
    said = told.stdout.decode("utf-8", "replace").strip()
    if told.returncode or not said:
        reason = told.stderr.decode("utf-8", "replace").strip() or f"exit code {told.returncode}"
        raise MerError(
            "sbatch",
            f"refused the job: {reason.removeprefix('sbatch: error: ').splitlines()[0]}",
            allowed="a partition, time and nodes that this cluster has: sinfo",
            then=f"change the options; the script is {job.script}",
        )
    return said.splitlines()[-1].partition(";")[0]
