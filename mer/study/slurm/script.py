"""The job script: Ray on the nodes, the study, and the next round when the time is up."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer.errors import MerError
from mer.study.paths import HISTORY, JOURNAL, TRIALS
from mer.study.preflight.run_options import COMMAND, RunOptions
from mer.study.search.storage import RETRY_OF
from mer.study.slurm.request import OUTPUT, SlurmRequest
from trainables.trial_files import LAST

_RETRY = f'"{RETRY_OF}"'

# Shell variables in the templates are the script's own; what Python fills in stands between @ signs, quoted.
_HEAD = """\
#!/bin/bash
@directives@
# Written by: @typed@
# It may be changed, and handed to sbatch by hand: it begins the study, or goes on with it.

cd @folder@ || exit
export @variable@=@command@  # the command to type again, for messages
study=@study@
jobs=@jobs@
journal=$study/@journal@
began=$jobs/began-$SLURM_JOB_ID
idle=$jobs/idle-$SLURM_JOB_ID
mkdir -p "$jobs" && : >"$began" || exit
trap 'rm -f "$began"' EXIT

again=
if [ -e "$journal" ]; then again=--resume; fi
@once@
further() {  # true when an epoch was saved, or a trial ended, since this round began
  local saved=(-name @last@ -o -name @history@)
  [ -n "$(find "$study"/@trials@ -type f -newer "$began" \\( "${saved[@]}" \\) -print -quit 2>/dev/null)" ]
}

asked= signalled= missed= driver= code=143
heard() { signalled=$1; [ -z "$driver" ] || kill "-$1" "$driver" 2>/dev/null; }
trap 'asked=1; heard USR1' USR1
trap 'heard TERM' TERM
begin() {  # the study, unless a signal was there first
  [ -z "$signalled" ] || return
  "$@" $again &
  driver=$!
  missed=$signalled
}
"""

_ONCE = """\
# @first@ is for the study that was there when this script was written, and once.
found() { { head -n 1 "$journal"; grep -acF @retry@ "$journal"; } 2>/dev/null | sha256sum; }
if [ "$(found)" = "@found@  -" ]; then again='@first@'; fi
"""

# One node: Ray is private to the study, on free ports of 127.0.0.1.
_ONE_NODE = """
begin @tune@
"""

# Several: a Ray of this job alone, on free ports, with a token that only this job knows.
_NODES = """
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(@python@ -c 'import secrets; print(secrets.token_hex(32))') || exit
export RAY_AUTH_MODE RAY_AUTH_TOKEN
unset RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER  # it keeps a Ray of one machine on 127.0.0.1
rm -rf "$jobs/meeting-$SLURM_JOB_ID-"*  # of a round that was killed
meeting=$(mktemp -d "$jobs/meeting-$SLURM_JOB_ID-XXXXXX") || exit
trap 'leave; rm -rf "$began" "$meeting"' EXIT
leave() {  # ends Ray on the nodes, which takes its time; a job that goes back into the queue has none left for it
  kill "$nodes" 2>/dev/null
  wait "$nodes" 2>/dev/null
}
nodes=
srun --nodes=@nodes@ --ntasks=@nodes@ --ntasks-per-node=1 --overlap --kill-on-bad-exit \\
  ${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} @python@ -m mer.study.slurm.node "$meeting" @nodes@ &
nodes=$!
until [ -s "$meeting/address" ] || [ -n "$signalled" ]; do
  kill -0 "$nodes" 2>/dev/null || { echo "error: Ray did not start on the nodes" >&2; exit 1; }
  sleep 1
done

begin @tune@ --address "$(cat "$meeting/address" 2>/dev/null)"
"""

_TAIL = """
while [ -n "$driver" ]; do  # a signal ends the waiting, not the study
  [ "$signalled" != USR1 ] || missed=USR1  # a process that is being made may miss it; twice does no harm
  signalled=
  [ -z "$missed" ] || { sleep 1; kill "-$missed" "$driver" 2>/dev/null; missed=; }
  wait "$driver"
  now=$?
  [ "$now" -eq 127 ] || code=$now  # 127: there is nothing to wait for any more
  [ -n "$signalled" ] || break
done

if [ -z "$asked" ] || { [ -n "$driver" ] && [ "$code" -ne 130 ] && [ "$code" -ne 138 ]; }; then exit "$code"; fi

if [ -z "$driver" ] && [ ! -e "$idle" ]; then
  : >"$idle"  # the time was up before the study began: that may happen once, not again and again
elif further; then
  rm -f "$idle"
else
  rm -f "$idle"
  printf '%s\\n' "error: no trial got further in this time. "@more@ >&2
  exit "$code"
fi
echo "the time is up: job $SLURM_JOB_ID goes back into the queue and resumes the study"
rm -f "$began"
driver= signalled=
if scontrol requeue "$SLURM_JOB_ID" || [ "$signalled" = TERM ]; then
  for _ in {1..60}; do sleep 1; done  # until SLURM ends all that is here, with a SIGTERM first
fi
printf '%s\\n' "error: SLURM did not take it back; go on with: sbatch "@script@ >&2
exit "$code"
"""


@dataclass(frozen=True)
class Job:
    """A study as a job.

    Args:
        study: the study's folder.
        words: what follows `mer.tune` in the command that the job runs, without --resume and --fresh.
        options: how the command was called that asks for the job.
        longer: the command that asks for more time; "": its partition says how long a job is.
    """

    study: Path
    words: Sequence[object]
    options: RunOptions
    longer: str = ""

    @property
    def typed(self) -> str:
        """What the user typed."""
        return f"{self.options.as_typed} {self.options.beginning}".rstrip()

    @property
    def script(self) -> Path:
        """Where the script lies. Beside the study's folder, which is the study's own."""
        return self.study.with_name(f".{self.study.name}.slurm") / "job.sh"

    @property
    def folder(self) -> Path:
        """Where the script lies and the job prints, from anywhere."""
        return self.script.absolute().parent

    def output(self, number: str) -> Path:
        """The file to which the job of this number prints."""
        return self.folder / OUTPUT.replace("%j", number)


def job_script(request: SlurmRequest, job: Job) -> str:
    """Write the script of a job. Raises: MerError when a place has a line break in its name."""
    tune = [sys.executable, "-m", "mer.tune", *map(str, job.words)]
    if any("\n" in word or "\r" in word for word in (*tune, str(job.study.absolute()), str(Path.cwd()))):
        raise MerError("--slurm", "a line break in a path or option", allowed="paths of one line")
    directives = request.directives(f"mer-{job.study.name}", job.folder)
    several = request.nodes > 1
    more = f"More time: {job.longer} --resume" if job.longer else "Ask for more with --time"
    filled = {
        "directives": "\n".join(_directive(name, value) for name, value in directives),
        "typed": job.typed,
        "folder": shlex.quote(str(Path.cwd())),
        "variable": COMMAND,
        "command": shlex.quote(job.options.command),
        "study": shlex.quote(str(job.study.absolute())),
        "trials": TRIALS,
        "last": LAST,
        "history": HISTORY,
        "journal": JOURNAL,
        "retry": shlex.quote(_RETRY),
        "found": _found(job.study / JOURNAL),
        "first": job.options.beginning,
        "more": shlex.quote(more),
        "tune": shlex.join(tune),
        "python": shlex.quote(sys.executable),
        "nodes": str(request.nodes),
        "jobs": shlex.quote(str(job.folder)),
        "script": shlex.quote(shlex.quote(str(job.script.absolute()))),
    }  # fmt: skip
    whole = _HEAD + (_NODES if several else _ONE_NODE) + _TAIL
    once = _ONCE if filled["found"] and filled["first"] not in ("", "--resume") else ""
    return _filled(whole.replace("@once@\n", once), filled)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda match: values[match[1]], text)


def _found(journal: Path) -> str:
    """Return what `found` in the script prints of this journal: its first line names the study, which has retries."""
    if not journal.is_file():
        return ""
    with journal.open("rb") as stream:
        first = stream.readline()
        retries = sum(_RETRY.encode() in line for line in (first, *stream))
    return hashlib.sha256(first + f"{retries}\n".encode()).hexdigest()


def _directive(name: str, value: str) -> str:
    """Write an option as sbatch reads it: quotes as in a shell, but a backslash escapes everywhere."""
    written = shlex.quote(value.replace("\\", "\\\\"))
    return f"#SBATCH --{name}={written}" if value else f"#SBATCH --{name}"
