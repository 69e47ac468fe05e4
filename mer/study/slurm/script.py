"""The job script: Ray on the nodes, the study, and the next round when the time is up."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.errors import MerError
from mer.study.paths import JOURNAL, TRIALS
from mer.study.slurm.request import OUTPUT, SlurmRequest

# Shell variables in the templates are the script's own; what Python fills in stands between @ signs, quoted.
_HEAD = """\
#!/bin/bash
@directives@
# Written by: @typed@
# It may be changed, and handed to sbatch by hand: it begins the study, or goes on with it.

cd @folder@ || exit
study=@study@
jobs=@jobs@
progress() { find "$study"/@trials@ -type f -newer "$1" -print -quit 2>/dev/null; }
began=$jobs/began-$SLURM_JOB_ID
: >"$began" || exit
trap 'rm -f "$began"' EXIT

again=@first@
if [ -e "$study"/@journal@ ] && { [ -z "$again" ] || [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; }; then again=--resume; fi

asked= driver= signalled=
trap 'asked=1 signalled=1; [ -z "$driver" ] || kill -USR1 "$driver" 2>/dev/null' USR1
trap 'signalled=1; [ -z "$driver" ] || kill -TERM "$driver" 2>/dev/null' TERM
"""

# One node: Ray is private to the study, on free ports of 127.0.0.1.
_ONE_NODE = """
@tune@ $again &
driver=$!
"""

# Several: a Ray of this job alone, on free ports, with a token that only this job knows.
_NODES = """
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(@python@ -c 'import secrets; print(secrets.token_hex(32))') || exit
export RAY_AUTH_MODE RAY_AUTH_TOKEN
unset RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER  # it keeps a Ray of one machine on 127.0.0.1
meeting=$(mktemp -d "$jobs/meeting-XXXXXX") || exit
trap 'rm -rf "$began" "$meeting"' EXIT
srun --nodes=@nodes@ --ntasks=@nodes@ --ntasks-per-node=1 --overlap --kill-on-bad-exit \\
  ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} @python@ -m mer.study.slurm.node "$meeting" @nodes@ &
nodes=$!
until [ -s "$meeting/address" ]; do
  kill -0 "$nodes" 2>/dev/null || { echo "error: Ray did not start on the nodes" >&2; exit 1; }
  sleep 1
done

@tune@ --address "$(cat "$meeting/address")" $again &
driver=$!
"""

_TAIL = """
while :; do  # a signal ends the waiting, not the study
  signalled=
  wait "$driver"
  code=$?
  [ -n "$signalled" ] || break
done
@leave@if [ -z "$asked" ] || { [ "$code" -ne 130 ] && [ "$code" -ne 138 ]; }; then exit "$code"; fi

if [ -z "$(progress "$began")" ]; then
  echo "error: no trial got further in this time; ask for more: --time" >&2
  exit "$code"
fi
echo "the time is up: job $SLURM_JOB_ID goes back into the queue and resumes the study"
scontrol requeue "$SLURM_JOB_ID" && sleep 60
echo "error: SLURM did not take it back; go on with: sbatch "@script@ >&2
exit "$code"
"""

_LEAVE = """kill "$nodes" 2>/dev/null
wait "$nodes" 2>/dev/null
"""


@dataclass(frozen=True)
class Job:
    """A study as a job.

    Args:
        study: the study's folder.
        words: what follows `mer.tune` in the command, without --resume and --fresh.
        typed: what the user typed.
        first: options of the first round alone, such as "--fresh"; "" to begin, or to go on where the study was begun.
    """

    study: Path
    words: Sequence[object]
    typed: str
    first: str = ""

    @property
    def script(self) -> Path:
        """Where the script lies. Beside the study's folder, which is the study's own."""
        return self.study.with_name(f".{self.study.name}.slurm") / "job.sh"

    def output(self, number: str) -> Path:
        """The file to which the job of this number prints."""
        return self.script.absolute().with_name(OUTPUT.replace("%j", number))


def job_script(request: SlurmRequest, job: Job) -> str:
    """Write the script of a job. Raises: MerError when a place has a line break in its name."""
    tune = [sys.executable, "-m", "mer.tune", *map(str, job.words)]
    if any("\n" in word or "\r" in word for word in (*tune, str(job.study.absolute()), str(Path.cwd()))):
        raise MerError("--slurm", "a line break in a path or option", allowed="paths of one line")
    directives = request.directives(f"mer-{job.study.name}")
    several = request.nodes > 1
    text = _HEAD + (_NODES if several else _ONE_NODE) + _TAIL
    filled = {
        "directives": "\n".join(_directive(name, value) for name, value in directives),
        "typed": job.typed,
        "folder": shlex.quote(str(Path.cwd())),
        "study": shlex.quote(str(job.study.absolute())),
        "trials": TRIALS,
        "journal": JOURNAL,
        "first": shlex.quote(job.first) if job.first else "",
        "tune": shlex.join(tune),
        "python": shlex.quote(sys.executable),
        "nodes": str(request.nodes),
        "leave": _LEAVE if several else "",
        "jobs": shlex.quote(str(job.script.absolute().parent)),
        "script": shlex.quote(shlex.quote(str(job.script.absolute()))),
    }  # fmt: skip
    for name, value in filled.items():
        text = text.replace(f"@{name}@", value)
    return text


def _directive(name: str, value: str) -> str:
    return f"#SBATCH --{name}={shlex.quote(value)}" if value else f"#SBATCH --{name}"
