"""Send hostile inputs to every door that reads what users name, and count how they end.

    python tests/hostile/hostile_run.py                        # counts by outcome; exit code 1 on any fault
    python tests/hostile/hostile_run.py --messages             # and every distinct message, to be read by a person
    python tests/hostile/hostile_run.py --door space.yaml      # one door
    python tests/hostile/hostile_run.py --kind alias --show    # inputs whose kind has this word, with what was said

Each input must be accepted and be right, or be refused in one clear message, within 5 s of CPU and 1 GB of memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE), str(HERE.parent), str(HERE.parents[1])) if path not in sys.path]

from hostile_door import Door, Input, all_doors  # noqa: E402

COUNT = 2400
MOST_SECONDS = 5.0  # of CPU
MOST_MB = 1024.0
HANGS_SECONDS = 30.0  # without an answer; the machine may be busy
LONGEST = 8000  # characters of a message
GOOD = ("accepted", "refused")
_PROSE = re.compile(  # of libraries: says nothing to a user
    r"input should|validation error|\[type=|errors\.pydantic|traceback|object at 0x|<class |field required|"
    r"NoneType|not subscriptable|unexpected keyword|positional argument|codec can't|line \d+ column \d+ \(char",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")


@dataclass(frozen=True)
class Ending:
    """How one input ended: accepted and right, refused in one clear message, or a fault of ours by its name."""

    door: str
    kind: str
    outcome: str
    message: str
    seconds: float
    peak_mb: float

    @property
    def is_good(self) -> bool:
        return self.outcome in GOOD


def run(count: int, *, doors: Sequence[str] = (), kind: str = "", seed: int = 0) -> Iterator[Ending]:
    """Yield how each of about `count` inputs ended.

    Args:
        doors: names of the doors; () for all.
        kind: only inputs whose kind contains it, however many there are of them.
        seed: of the drawn inputs.
    """
    chosen = [door for name, door in all_doors().items() if not doors or name in doors]
    with tempfile.TemporaryDirectory(prefix="hostile-") as scratch, Worker() as worker:
        for place, door in enumerate(chosen):
            base, share = Path(scratch) / f"base-{place}", count // len(chosen) + (place < count % len(chosen))
            base.mkdir()
            for hostile in chosen_inputs(door, base, share, kind, seed):
                folder = Path(scratch) / "input"
                folder.mkdir()
                try:
                    yield judged(door, hostile, worker.ask(door.name, hostile.write(folder)))
                finally:
                    remove(folder)


def chosen_inputs(door: Door, base: Path, share: int, kind: str, seed: int) -> list[Input]:
    """Choose the inputs of a door: all kinds that were thought of, half of a small share; the rest is drawn."""
    rng = random.Random(f"{seed} {door.name}")
    kinds = list(door.kinds(base))
    if kind:
        drawn = itertools.islice(door.mutants(base, rng), 4 * share)
        return [hostile for hostile in [*kinds, *drawn] if kind in hostile.kind]
    if 2 * len(kinds) > share:
        kinds = rng.sample(kinds, min(len(kinds), max(share // 2, share - 200)))
    return [*kinds, *itertools.islice(door.mutants(base, rng), share - len(kinds))]


def judged(door: Door, hostile: Input, answer: dict[str, Any]) -> Ending:
    """Judge a worker's answer: bounds, what had to come, and whether a person can read the message."""
    outcome, message = answer["outcome"], answer["message"]
    if answer["seconds"] > MOST_SECONDS:
        outcome, message = "slow", f"{answer['seconds']:.1f} s of CPU, then {outcome}: {message[:300]}"
    elif answer["peak_mb"] > MOST_MB:
        outcome, message = "memory", f"{answer['peak_mb']:.0f} MB, then {outcome}: {message[:300]}"
    elif outcome in GOOD and hostile.must not in ("", outcome):
        outcome, message = "wrong", f"{outcome}, must be {hostile.must}: {message[:300]}"
    elif outcome == "refused" and (why := unclear(message)):
        outcome, message = "unclear", f"{why}: {message[:2000]}"
    return Ending(door.name, hostile.kind, outcome, message, answer["seconds"], answer["peak_mb"])


def unclear(message: str) -> str:
    """Say why a message is no message for a person; "" when it is one."""
    if not message.strip():
        return "empty"
    if len(message) > LONGEST:
        return f"{len(message)} characters"
    if found := _CONTROL.search(message):
        return f"holds the character {found.group()!r}"
    if found := _PROSE.search(message):
        return f"a library speaks ({found.group()!r})"
    return ""


class Worker:
    """A process that reads inputs; a new one takes its place when it hangs or dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._answers: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, door: str, path: Path) -> dict[str, Any]:
        """Let the worker read one input. Returns its answer, or what became of the worker."""
        process = self._start()
        started = time.monotonic()
        assert process.stdin is not None and self._answers is not None
        print(json.dumps({"door": door, "path": str(path)}), file=process.stdin, flush=True)
        answer = self._answer(HANGS_SECONDS)
        if answer is not None:
            return answer
        seconds = time.monotonic() - started
        died = process.poll()
        self.close()
        outcome, words = ("slow", f"no answer after {seconds:.0f} s") if died is None else ("died", f"exit code {died}")
        return {"outcome": outcome, "message": words, "seconds": 0.0, "peak_mb": 0.0}

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            reading, writing = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "hostile_worker.py"), str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if "HOSTILE_DEBUG" not in os.environ else None,
                pass_fds=[writing],
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            os.close(writing)
            self._answers = os.fdopen(reading, encoding="utf-8")
            ready = self._answer(300.0)
            assert ready is not None, "the worker did not start: HOSTILE_DEBUG=1 shows why"
        return self._process

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """Wait for a line. None: the worker died, or said nothing for so long."""
        assert self._answers is not None
        if not select.select([self._answers], [], [], seconds)[0]:
            return None
        line = self._answers.readline()
        if not line:
            assert self._process is not None
            self._process.wait()
            return None
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None and self._answers is not None
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._answers.close()
            self._process = self._answers = None


def remove(folder: Path) -> None:
    """Remove an input, also one that took permissions away."""

    def allow(function: Any, path: str, fault: object) -> None:
        Path(path).parent.chmod(0o700)
        Path(path).chmod(0o700)
        function(path)

    shutil.rmtree(folder, onerror=allow)


def pattern(message: str) -> str:
    """Return a message without what differs from input to input, so that equal kinds fall together."""
    text = re.sub(r"/\S*?hostile-\w+/(?:input|base-\d+)/", "", message)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", text)
    text = re.sub(r"\[[^]]{40,}\]|\{[^}]{40,}\}", "[...]", text)
    return re.sub(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", "#", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--door", action="append", default=[], choices=list(all_doors()))
    parser.add_argument("--kind", default="", help="only inputs whose kind contains this")
    parser.add_argument("--messages", action="store_true", help="print every distinct message, with its count")
    parser.add_argument("--show", action="store_true", help="print how each input ended")
    options = parser.parse_args()
    started, endings = time.monotonic(), []
    for ending in run(options.count, doors=options.door, kind=options.kind, seed=options.seed):
        endings.append(ending)
        if options.show or not ending.is_good:
            print(
                f"{ending.door} | {ending.kind} | {ending.outcome} | {ending.seconds:.2f} s\n{ending.message[:3000]}\n"
            )
    outcomes = Counter((ending.door, ending.outcome) for ending in endings)
    names = [*GOOD, *sorted({outcome for _, outcome in outcomes} - set(GOOD))]
    print(f"{'':32}" + "".join(f"{name:>12}" for name in ("inputs", *names)))
    for door in dict.fromkeys(ending.door for ending in endings):
        cells = [outcomes[door, name] for name in names]
        print(f"{door:32}{sum(cells):12}" + "".join(f"{cell:12}" for cell in cells))
    totals = [sum(outcomes[key] for key in outcomes if key[1] == name) for name in names]
    print(f"{'all':32}{sum(totals):12}" + "".join(f"{cell:12}" for cell in totals))
    print(
        f"{time.monotonic() - started:.0f} s; slowest {max((e.seconds for e in endings), default=0):.2f} s of CPU, ",
        end="",
    )
    print(f"most memory {max((e.peak_mb for e in endings), default=0):.0f} MB")
    if options.messages:
        told: Counter[str] = Counter()
        first: dict[str, str] = {}
        for ending in endings:
            for line in re.split(r"\n(?! )", ending.message) if ending.outcome == "refused" else ():
                told[pattern(line)] += 1
                first.setdefault(pattern(line), line)
        for count, line in sorted((-count, first[key]) for key, count in told.items()):
            print(f"\n{-count} x {line}")
    return 0 if all(ending.is_good for ending in endings) else 1


if __name__ == "__main__":
    sys.exit(main())
