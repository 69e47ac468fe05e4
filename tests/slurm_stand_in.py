"""A stand-in for SLURM on this machine: `sbatch`, `srun` and `scontrol`, by the name under which it is called.

Jobs run here, get their signal before their limit, are killed at their limit, and start again when they were requeued.
Nodes are named by loopback addresses, 127.0.0.2 and up, so that each has an address of its own. The time of a job's
first round is up when the file STAND_IN_CUT is there, if that is set: a test says where a study is cut.
State lies in the folder STAND_IN; `log` there says what happened.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["STAND_IN"])


def log(text: str) -> None:
    with (HOME / "log").open("a", encoding="utf-8") as stream:
        stream.write(f"{text}\n")


def directives(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
    words = [argument(line) for line in lines]
    return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in words)}


def argument(line: str) -> str:
    """Read an option as sbatch does: up to a space or #, in quotes of both kinds; a backslash escapes everywhere."""
    found, quote, escaped = "", "", False
    for sign in line:
        if escaped:
            found, escaped = found + sign, False
        elif sign == "\\":
            escaped = True
        elif quote:
            found, quote = (found, "") if sign == quote else (found + sign, quote)
        elif sign in "\"'":
            quote = sign
        elif sign in " \t#":
            break
        else:
            found += sign
    return found


def sbatch(script: Path) -> int:
    text = script.read_text(encoding="utf-8")
    asked = directives(text)
    if asked.get("partition", "main") != "main":
        print(f"sbatch: error: invalid partition specified: {asked['partition']}", file=sys.stderr)
        return 1
    number = 1 + len(list(HOME.glob("job-*.sh")))
    spooled = HOME / f"job-{number}.sh"  # as SLURM does: later changes of the script are nothing to the job
    spooled.write_text(text, encoding="utf-8")
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    command = [sys.executable, __file__, "controller", str(number), str(Path.cwd())]
    subprocess.Popen(command, start_new_session=True, **nothing)
    print(number)
    return 0


def controller(number: str, folder: str) -> None:
    """Run a job until it has ended without asking to be run again."""
    spooled = HOME / f"job-{number}.sh"
    asked = directives(spooled.read_text(encoding="utf-8"))
    folder = asked.get("chdir", folder)
    output = Path(folder) / asked["output"].replace("%j", number)
    hours, minutes, seconds = map(int, asked["time"].split(":"))
    limit_s = hours * 3600 + minutes * 60 + seconds
    kind, lead = re.fullmatch(r"B:(\w+)@(\d+)", asked["signal"]).groups()  # type: ignore[union-attr]
    cut, restart = os.environ.get("STAND_IN_CUT"), 0
    while True:
        environment = os.environ | {
            "SLURM_JOB_ID": number,
            "SLURM_RESTART_COUNT": str(restart),
            "SLURM_JOB_NUM_NODES": asked["nodes"],
            "SLURMD_NODENAME": "127.0.0.2",
            **({"SLURM_CPUS_PER_TASK": asked["cpus-per-task"]} if "cpus-per-task" in asked else {}),
        }
        with output.open("ab") as stream:
            job = subprocess.Popen(
                ["bash", str(spooled)],
                cwd=folder,
                env=environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        log(f"job {number} round {restart}: began")
        again = follow(job, number, limit_s, int(lead), getattr(signal, f"SIG{kind}"), "" if restart else cut)
        if not again:
            log(f"job {number}: ended {job.returncode}")
            return
        restart += 1


def follow(
    job: subprocess.Popen[bytes], number: str, limit_s: float, lead_s: float, kind: int, cut: str | None
) -> bool:
    """Watch one round. Returns whether it is to be run again."""
    began, told, requeue = time.monotonic(), False, HOME / f"requeue-{number}"
    while job.poll() is None:
        spent = time.monotonic() - began
        if cut and Path(cut).exists():
            cut, limit_s = None, spent + lead_s
        if requeue.exists():
            requeue.unlink()
            log(f"job {number}: requeued after {spent:.0f} s")
            end_all(job, signal.SIGTERM)
            time.sleep(0.3)
            end_all(job)
            return True
        if not told and spent > limit_s - lead_s:
            told = True
            log(f"job {number}: signal {signal.Signals(kind).name}")
            job.send_signal(kind)  # B: to the batch shell alone
        if spent > limit_s:
            log(f"job {number}: killed at its limit")
            end_all(job)
            return False
        time.sleep(0.05)
    return False


def end_all(job: subprocess.Popen[bytes], kind: int = signal.SIGKILL) -> None:
    """Signal every process of a job, as a control group does: its session, and the sessions that its steps began."""
    steps = list(HOME.glob("step-*"))
    for leader in (job.pid, *(int(step.name.removeprefix("step-")) for step in steps)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, kind)
    if kind == signal.SIGKILL:
        for step in steps:
            step.unlink()
        job.wait()


def srun(arguments: list[str]) -> int:
    """Run the command once for each task, each under the name of its own node."""
    options = [word for word in arguments if word.startswith("--")]
    command = arguments[len(options) :]
    tasks = int(dict(word.removeprefix("--").partition("=")[::2] for word in options)["ntasks"])
    running = []
    for rank in range(tasks):
        node = {"SLURM_PROCID": str(rank), "SLURMD_NODENAME": f"127.0.0.{rank + 2}"}
        running.append(subprocess.Popen(command, env=os.environ | node, start_new_session=True))
        (HOME / f"step-{running[-1].pid}").touch()
    signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in running])
    while any(task.poll() is None for task in running):
        if any(task.poll() for task in running) and "--kill-on-bad-exit" in options:
            for task in running:
                task.terminate()
        time.sleep(0.1)
    return max(task.returncode for task in running)


def main() -> int:
    name = Path(sys.argv[0]).name
    if sys.argv[1] == "controller":
        controller(*sys.argv[2:])
        return 0
    if name == "sbatch":
        return sbatch(Path(sys.argv[-1]))
    if name == "srun":
        return srun(sys.argv[1:])
    (HOME / f"requeue-{sys.argv[2]}").touch()  # scontrol requeue JOB
    return 0


if __name__ == "__main__":
    sys.exit(main())
