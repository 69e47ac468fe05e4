"""`python -m mer.study.slurm.node MEETING NODES`: Ray on one node of a job, until the job ends. The job script runs it.

The first task of the step starts the cluster and writes its address into the folder MEETING, which all nodes share;
the others join it. When all are there, `MEETING/address` tells the script to start the study.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from mer.console import QUIET_ENVIRONMENT
from mer.files import write_text
from mer.study.cluster.socket_folder import socket_folder
from mer.study.preflight.machine import this_machine

_MEET_S = 300.0
_OWN_NAME = "127.0.1.1"  # what Debian and Ubuntu make of a machine's own name
_LOOK_S = 0.2
_RAY, _STARTED = (sys.executable, "-m", "ray.scripts.scripts"), "Ray runtime started"


def main(meeting: Path, nodes: int) -> int:
    """Start Ray here and stay. Returns its exit code."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    host, head = _address(), meeting / "head"
    os.environ.update(QUIET_ENVIRONMENT)
    address = f"{host}:{_free_port(host)}" if rank == 0 else _await(head)
    ray = subprocess.Popen([*_RAY, "start", *_options(host, address, is_head=rank == 0)], stdout=subprocess.PIPE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ray.terminate())
    for number in (signal.SIGUSR1, signal.SIGHUP):  # for the driver, which the script asks to stop
        signal.signal(number, signal.SIG_IGN)
    if not _has_started(ray):
        print(f"error: Ray did not start on {host}", file=sys.stderr)
        return ray.wait() or 1
    write_text(meeting / f"joined-{rank}", host)
    if rank == 0:
        write_text(head, address)
        if (there := _await_all(meeting, nodes, ray)) < nodes and ray.poll() is None:
            print(f"note: {there} of {nodes} nodes joined in {_MEET_S:.0f} s; others may follow", file=sys.stderr)
        write_text(meeting / "address", address)
    return ray.wait()


def _has_started(ray: subprocess.Popen[bytes]) -> bool:
    """Read what `ray start` says until it has started, and throw away the rest, which is advice for other cases."""
    assert ray.stdout is not None
    said = []
    for line in ray.stdout:
        said.append(line.decode("utf-8", "replace"))
        if _STARTED in said[-1]:
            threading.Thread(target=ray.stdout.read, daemon=True).start()
            return True
    print("".join(said), file=sys.stderr, end="")
    return False


def _options(host: str, address: str, *, is_head: bool) -> list[str]:
    """Free ports, nobody else's folders, no dashboard."""
    machine = this_machine()
    place = [f"--address={address}"]
    if is_head:
        place = ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false", "--disable-usage-stats"]
        if importlib.util.find_spec("grpc"):  # where Ray's client is installed, its server starts, too
            place.append(f"--ray-client-server-port={_free_port(host)}")
    return [
        *place,
        "--block",
        f"--node-ip-address={host}",
        f"--temp-dir={socket_folder()}",
        f"--num-cpus={int(machine.cpus)}",
        f"--num-gpus={int(machine.gpus)}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--dashboard-agent-listen-port=0",
    ]


def _address() -> str:
    """Return the address under which SLURM knows this node; Ray's own choice where its name leads back to itself."""
    try:
        found = socket.gethostbyname(os.environ.get("SLURMD_NODENAME") or socket.gethostname())
    except OSError:
        found = _OWN_NAME
    if found != _OWN_NAME:
        return found
    import ray.util

    return str(ray.util.get_node_ip_address())


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _await(file: Path) -> str:
    """Wait for a file that another node writes. Returns its text; ends the process when it does not come."""
    end = time.monotonic() + _MEET_S
    while not file.exists():
        if time.monotonic() > end:
            sys.exit(
                f"error: {file}: the first node did not start Ray in {_MEET_S:.0f} s, or this folder is not shared"
            )
        time.sleep(_LOOK_S)
    return file.read_text(encoding="utf-8")


def _await_all(meeting: Path, nodes: int, ray: subprocess.Popen[bytes]) -> int:
    """Wait until all nodes have joined, or for minutes. Returns how many did."""
    end = time.monotonic() + _MEET_S
    while (there := len(list(meeting.glob("joined-*")))) < nodes and time.monotonic() < end and ray.poll() is None:
        time.sleep(_LOOK_S)
    return there


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
