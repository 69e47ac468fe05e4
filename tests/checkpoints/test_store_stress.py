"""Eight writers and a collector at once; writers killed in the middle."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from store_files import assert_holds, trial, write_file
from store_stress import WRITERS, stress

from mer.checkpoints import Store


@pytest.mark.slow
def test_eight_writers_and_a_collector(tmp_path):
    for seconds in (5, 15, 45):  # on a busy machine little happens in a few seconds
        counts = stress(tmp_path / str(seconds), seconds)
        assert counts["faults"] == counts["died"] == 0, counts
        if counts["published"] > 10 * WRITERS and counts["collections"] >= 3 and counts["collected"] >= 3:
            break
    else:
        pytest.fail(f"nothing happened: {counts}")
    assert counts["checked"] == counts["links"] > 0 and counts["objects"] < counts["links"], counts


def _publish_for_ever(studies: Path, writer: int, kilobytes: int) -> None:
    store, number = Store(studies), 0
    while True:
        path = write_file(trial(studies, number, f"s{writer}"), number % 7, {"number": number}, kilobytes)
        store.publish(path, split_card=True)
        number += 1


@pytest.mark.faults
def test_killed_writers_leave_a_store_that_verifies(tmp_path):
    """SIGKILL at any moment: every finished file is there and whole, as a link or still as a file."""
    context, rng = multiprocessing.get_context("fork"), random.Random(0)
    leftovers = 0
    for turn in range(10):
        studies = tmp_path / str(turn)
        writers = [context.Process(target=_publish_for_ever, args=(studies, number, 256)) for number in range(2)]
        for writer in writers:
            writer.start()
        time.sleep(rng.uniform(0.05, 0.4))
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        if not (studies / ".store").exists():
            continue
        store = Store(studies)
        assert store.verify().faults == []
        for path in studies.glob("*/trials/*/best.safetensors"):
            number = int(path.parent.name)
            assert_holds(path, number % 7, {"number": number} if path.is_symlink() else None, 256)
            store.publish(path, split_card=True)  # whoever comes next takes up what was left
        leftovers += len(store.gc(grace_s=0).leftovers)
        assert store.verify().faults == [] and store.verify().orphans == []
        assert list(studies.rglob("*.tmp")) == []
    assert leftovers > 0, "no kill came in the middle of a write: this test showed nothing"
