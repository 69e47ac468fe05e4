"""`python -m benchmarks.kills --n 500 [--seed S]`: disturb studies at random, and count what is lost.

Every study is disturbed several times, as its seed says, gone on with to its end, and compared with its undisturbed
twin. Outcomes are kept in a file: the same command goes on where it was. `--replay SEED` plays one study again.
Exit codes: 0 nothing was wrong; 1 something was; 2 a fault that a user can mend.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.kills.fork_server import ForkServer
from benchmarks.kills.mlflow_http import MlflowServer
from benchmarks.kills.outcomes import append, read, table
from benchmarks.kills.plan import plan_of
from benchmarks.kills.play import Outcome, clear, play, scene_of
from benchmarks.kills.stage import Stage, staged
from benchmarks.kills.worker_fork import ForkedWorkers
from benchmarks.kills.workshop import Workshop, make_workshop
from mer.console import run

_DIALOGUES = (16, 8)  # of train and dev: what a trial trains is not looked at here


def arguments_of(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=500, help="disturbances in all [default: 500]")
    parser.add_argument("--seed", type=int, default=0, help="of the first study; the next have the next [default: 0]")
    parser.add_argument("--steps", type=int, default=8, help="disturbances of one study [default: 8]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long [default: never]")
    parser.add_argument("--out", type=Path, default=Path("kills.jsonl"), help="outcomes [default: kills.jsonl]")
    parser.add_argument("--replay", type=int, metavar="SEED", help="play one study again, say all, keep its folder")
    parser.add_argument("--home", type=Path, help="keep corpus, features and undisturbed study there for later calls")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    asked = arguments_of(sys.argv[1:] if words is None else words)
    until, version = time.monotonic() + asked.seconds, _version()
    with _staged(asked.home) as stage:
        allowed = {"disk full": stage.has_disk}
        if asked.replay is not None:
            return _replay(asked.replay, asked.steps, stage, allowed)
        known = read(asked.out)
        done, seed = {outcome.seed for outcome in known}, asked.seed
        count = sum(len(outcome.hits) for outcome in known)
        while count < asked.n and time.monotonic() < until:
            if seed not in done:
                outcome = replace(_one(seed, asked.steps, stage, allowed), version=version)
                append(asked.out, outcome)
                known.append(outcome)
                count += len(outcome.hits)
                _say(outcome, count, asked.n)
            seed += 1
    print(table(known))
    wrong = [outcome.seed for outcome in known if not outcome.is_clean]
    seconds = sum(outcome.seconds for outcome in known)
    print(f"{count} disturbances of {len(known)} studies in {seconds / 60:.0f} minutes; {len(wrong)} studies are wrong")
    for seed in wrong:
        print(f"  python -m benchmarks.kills --replay {seed}")
    return 1 if wrong else 0


def _one(seed: int, steps: int, stage: Stage, allowed: dict[str, bool], *, keep: bool = False) -> Outcome:
    plan = plan_of(seed, steps, allowed)
    server = None
    if plan.flavour == "MLflow server":
        server = MlflowServer(stage.shop.home / f"mlflow-{seed}")
        server.start()
    scene = scene_of(plan, stage, server)
    try:
        return play(plan, stage, scene)
    finally:
        if server is not None:
            server.stop()
        if keep:
            kept = Path(tempfile.mkdtemp(prefix=f"mer-kills-{seed}-"))
            subprocess.run(["cp", "-a", str(scene.studies), str(kept)], check=False)
            print(f"the studies folder is kept: {kept}")
        clear(scene)


def _replay(seed: int, steps: int, stage: Stage, allowed: dict[str, bool]) -> int:
    for step in plan_of(seed, steps, allowed).steps:
        print(f"plan: {step}", flush=True)
    outcome = _one(seed, steps, stage, allowed, keep=True)
    _say(outcome, len(outcome.hits), len(outcome.hits))
    print(outcome.said)
    return 0 if outcome.is_clean else 1


def _say(outcome: Outcome, count: int, most: int) -> None:
    hits = ", ".join(f"{kind} ({moment})" for kind, moment in outcome.hits)
    print(f"{count}/{most}  seed {outcome.seed}, {outcome.flavour}, {outcome.seconds:.0f} s: {hits}", flush=True)
    for kind, words in outcome.verdict.items():
        for word in words:
            print(f"    {kind.upper()}: {word}", flush=True)


def _version() -> str:
    """Name the code: its commit, and whether it was changed since."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()


@contextmanager
def _staged(kept: Path | None) -> Iterator[Stage]:
    """Make all that studies share, and the study that nobody disturbs, whose workers are started as usual.

    Args: kept: folder in which both are found again where the code is the same; None: a temporary one.
    """
    with ExitStack() as stack:
        home = (kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mer-kills-")))).absolute()
        forks = ForkServer(os.environ)
        stack.callback(forks.close)
        workers = stack.enter_context(ForkedWorkers())
        shop = replace(_workshop(home, forks), settings={"OMP_NUM_THREADS": "1"})
        mark = home / "version"
        if not mark.exists() or mark.read_text() != _version():
            print("the study that nobody disturbs ...", flush=True)
            shutil.rmtree(home / "twin", ignore_errors=True)
            shop.run(home / "twin")
            mark.write_text(_version())
        yield stack.enter_context(staged(shop, home / "twin", home, workers))


def _workshop(home: Path, forks: ForkServer) -> Workshop:
    """Make corpus, features and search space, or find those of an earlier call."""
    shop = Workshop(home, home / "space.yaml", home / "features", forks)
    if not shop.space.exists():
        home.mkdir(parents=True, exist_ok=True)
        shop = make_workshop(home, forks, *_DIALOGUES)
        text = shop.space.read_text(encoding="utf-8")
        shop.space.write_text(text.replace("trials: 6, epochs: 6", "trials: 16, epochs: 10"), encoding="utf-8")
    return shop


if __name__ == "__main__":
    run(lambda: sys.exit(main()))
