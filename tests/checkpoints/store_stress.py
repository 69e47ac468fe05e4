"""Many processes publish equal and different files, one collects garbage, nothing reachable may go.

python tests/checkpoints/store_stress.py 60
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from store_files import assert_holds, trial, write_file

from mer.checkpoints import Store

WRITERS = 8
_SHARED = 6  # seeds that all writers publish


def stress(studies: Path, seconds: float) -> Counter[str]:
    """Run it; returns counts, `faults` among them. Every writer checks each file that it still links to."""
    context = multiprocessing.get_context("fork")
    counts = context.Queue()
    until = time.monotonic() + seconds
    workers = [context.Process(target=_write, args=(studies, number, until, counts)) for number in range(WRITERS)]
    workers.append(context.Process(target=_collect, args=(studies, until, counts)))
    for worker in workers:
        worker.start()
    total: Counter[str] = Counter()
    for _ in workers:
        total.update(counts.get(timeout=seconds + 60))
    for worker in workers:
        worker.join(30)
        total["died"] += worker.exitcode != 0
    check = Store(studies).verify()
    total["faults"] += len(check.faults)
    total["orphans"] += len(check.orphans)
    total["links"] += check.references
    total["objects"] += check.objects
    return total


def _write(studies: Path, writer: int, until: float, counts: multiprocessing.Queue) -> None:
    store, rng, done = Store(studies), random.Random(writer), Counter[str]()
    alive: dict[int, tuple[int, dict[str, int]]] = {}
    try:
        while time.monotonic() < until:
            number = done["published"]
            seed = rng.randrange(_SHARED) if rng.random() < 0.7 else 1000 * (writer + 1) + number
            path, card = trial(studies, number, f"s{writer}"), {"number": number, "writer": writer}
            write_file(path, seed, card)
            store.publish(path, split_card=True)
            alive[number] = (seed, card)
            done["published"] += 1
            for known in rng.sample(sorted(alive), min(3, len(alive))):
                assert_holds(trial(studies, known, f"s{writer}"), *alive[known])
            if rng.random() < 0.6:  # shared content loses its last link now and then, while others bring it back
                dropped = rng.choice(sorted(alive))
                trial(studies, dropped, f"s{writer}").unlink()
                del alive[dropped]
        for number, (seed, card) in alive.items():
            assert trial(studies, number, f"s{writer}").is_symlink()
            assert_holds(trial(studies, number, f"s{writer}"), seed, card)
            done["checked"] += 1
    except BaseException as fault:
        done["faults"] += 1
        print(f"writer {writer}: {type(fault).__name__}: {fault}", file=sys.stderr)
    counts.put(done)


def _collect(studies: Path, until: float, counts: multiprocessing.Queue) -> None:
    store, done = Store(studies), Counter[str]()
    try:
        while time.monotonic() < until:
            if store.root.exists():
                removed = store.gc(grace_s=0)
                done["collections"] += 1
                done["collected"] += len(removed.objects)
                faults = store.verify().faults
                done["faults"] += len(faults)
                for fault in faults[:3]:
                    print(f"verify: {fault}", file=sys.stderr)
            time.sleep(0.05)
    except BaseException as fault:
        done["faults"] += 1
        print(f"gc: {type(fault).__name__}: {fault}", file=sys.stderr)
    counts.put(done)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(dict(stress(Path(folder), float(sys.argv[1]))))
