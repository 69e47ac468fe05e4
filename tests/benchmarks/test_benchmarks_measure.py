"""Benchmarks compare in pairs, refuse ratios on a machine that is not quiet, and say whose the CPU time was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.machine import MOST_OTHERS, OwnTime, Process, Use, processes, watch
from benchmarks.measure import Ratio, Round, Table, alternate
from benchmarks.options import Options
from benchmarks.suites import SUITES
from mer.errors import MerError

QUIET, LOUD = 0.0, MOST_OTHERS + 0.01


def fake_watch(loads: Iterator[float]):
    """A watch that takes no time: an action says its own seconds, and the machine's load comes from the list."""

    def watch_(action):
        return {}, Use(action(), next(loads))

    return watch_


def test_contestants_alternate_and_a_loud_round_is_measured_again():
    order: list[str] = []

    def contestant(name: str, seconds: float):
        def action() -> float:
            order.append(name)
            return seconds

        return action

    loads = iter([QUIET, LOUD, *[QUIET] * 6])
    rounds = alternate(
        {"ours": contestant("ours", 1.0), "peer": contestant("peer", 2.0)}, 3, lambda _: None, watch=fake_watch(loads)
    )
    assert order == ["ours", "peer", "peer", "ours"] * 2
    assert [r.is_quiet for r in rounds] == [False, True, True, True]
    assert rounds[0].values == {"ours": 1.0, "peer": 2.0}


def test_it_gives_up_waiting_for_a_quiet_machine():
    loads = iter([LOUD] * 6)
    rounds = alternate({"ours": lambda: 1.0}, 3, lambda _: None, watch=fake_watch(loads))
    table = Table("t", "s", rounds, [Ratio("ours", "ours")])
    assert len(rounds) == 6 and "0 of 6 rounds were quiet" in table.refusal


def table_of(*others: float) -> Table:
    values = [
        {"ours": 1.0, "peer": 2.0},
        {"ours": 3.0, "peer": 4.0},
        {"ours": 8.0, "peer": 10.0},
        {"ours": 9, "peer": 1},
    ]
    rounds = [Round(value, load) for value, load in zip(values, others, strict=False)]
    return Table("t", "s", rounds, [Ratio("ours", "peer", 0.7), Ratio("ours", "peer", 0.8)])


def test_a_ratio_is_the_median_of_the_ratios_of_quiet_rounds():
    table = table_of(QUIET, QUIET, QUIET, LOUD)
    assert table.refusal == ""
    assert [(ratio.limit, value, ratio.is_met(value)) for ratio, value in table.compared()] == [
        (0.7, 0.75, False),
        (0.8, 0.75, True),
    ]
    assert table.values() == {"ours": [1.0, 3.0, 8.0], "peer": [2.0, 4.0, 10.0]}


def test_too_few_quiet_rounds_give_times_and_no_ratios():
    table = table_of(QUIET, LOUD, QUIET)
    assert table.compared() == [] and table.as_json()["ratios"] is None
    assert "used up to 11 % of the machine" in table.refusal and "2 of 3 rounds were quiet" in table.refusal
    assert table.values()["ours"] == [1.0, 3.0, 8.0] and table.as_json()["median"]["peer"] == 4.0


@pytest.mark.parametrize(("load", "code"), [(QUIET, 0), (LOUD, 3)])
def test_the_command_prints_times_and_refuses_ratios(
    load: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    from benchmarks.suites import seeds

    monkeypatch.setattr(seeds, "measure", lambda options: [table_of(load, load, load)])
    out = tmp_path / "numbers.json"
    assert run.main(["--suite", "seeds", "--out", str(out)]) == code
    printed = capsys.readouterr().out
    assert "median" in printed and ("0.750" in printed) is (code == 0) and ("NO RATIOS" in printed) is (code == 3)
    written = json.loads(out.read_text())
    assert {"cores", "processor", "memory_gib", "torch", "load_before", "load_after"} <= set(written["machine"])
    assert (written["suites"]["seeds"][0]["ratios"] is None) is (code == 3)


def test_a_suite_that_cannot_run_is_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from benchmarks.suites import seeds

    def measure(options: Options) -> list[Table]:
        raise MerError("suite seeds", "cannot run here")

    monkeypatch.setattr(seeds, "measure", measure)
    assert run.main(["--suite", "seeds"]) == 2
    assert capsys.readouterr().err == "error: suite seeds: cannot run here\n"


def process(number: int, parent: int, own: float, waited: float = 0.0) -> Process:
    return Process((number, 100 + number), parent, own, waited)


def test_own_time_counts_descendants_also_those_that_ended():
    own = OwnTime(1, [process(1, 0, 1.0), process(9, 0, 50.0)])
    own.look([process(1, 0, 1.0), process(2, 1, 5.0), process(3, 2, 7.0), process(9, 0, 55.0)])
    assert own.seconds([process(1, 0, 1.0), process(2, 1, 5.0), process(3, 2, 7.0)]) == 12.0
    now = [process(1, 0, 2.0, waited=14.0), process(9, 0, 60.0)]  # 2 and 3 ended at 6 and 8 s and were waited for
    own.look(now)
    assert own.seconds(now) == 1.0 + 14.0


def test_own_time_keeps_a_daemon_whose_parent_has_gone():
    own = OwnTime(1, [process(1, 0, 1.0)])
    own.look([process(1, 0, 1.0), process(2, 1, 1.0), process(3, 2, 4.0)])
    now = [process(1, 0, 1.0), process(3, 0, 9.0), process(4, 3, 2.0)]
    own.look(now)
    assert own.seconds(now) == 1.0 + 9.0 + 2.0


def test_what_nobody_waited_for_counts_beside_what_was_waited_for_before():
    """As when Ray is measured second: the benchmark has waited for the first contestant, nobody waits for Ray's."""
    own = OwnTime(1, [process(1, 0, 3.0, waited=500.0)])
    own.look([process(1, 0, 3.0, waited=500.0), process(2, 1, 10.0), process(3, 2, 90.0)])
    now = [process(1, 0, 3.0, waited=510.0)]  # the driver 2 was waited for, its worker 3 was not
    own.look(now)
    assert own.seconds(now) == 10.0 + 90.0


def test_a_number_that_is_used_again_is_another_process():
    own = OwnTime(1, [process(1, 0, 1.0)])
    own.look([process(1, 0, 1.0), process(2, 1, 4.0)])
    now = [process(1, 0, 1.0, waited=4.0), Process((2, 999), 0, 70.0, 0.0)]
    own.look(now)
    assert own.seconds(now) == 4.0


SPIN = "import time\nwhile time.process_time() < 0.8: pass"


# starts a process that has lost its parent and its session before anybody looks, as daemons do
DETACH = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"


@pytest.mark.slow
def test_what_a_command_starts_is_ours_and_a_stranger_is_not():
    """Real processes: the CPU time of a child, and of a daemon it leaves behind, is no load of others; a process that
    was there before is."""
    subprocess.run([sys.executable, "-c", SPIN], check=True)  # waited for before anything is measured
    own = OwnTime(os.getpid(), processes(), "MER_TEST_MARK=own")
    child = subprocess.Popen([sys.executable, "-c", SPIN])
    subprocess.run([sys.executable, "-c", DETACH, SPIN], check=True, env={**os.environ, "MER_TEST_MARK": "own"})
    started = sum(os.times()[:2])

    def of_both() -> float:
        own.look(now := processes())
        return own.seconds(now) - (sum(os.times()[:2]) - started)

    until = time.monotonic() + 60
    while time.monotonic() < until and of_both() < 1.5:
        time.sleep(0.05)
    assert child.wait() == 0 and of_both() >= 1.4

    subprocess.run([sys.executable, "-c", DETACH, "import time\ntime.sleep(1)\n" + SPIN], check=True)
    _, use = watch(lambda: time.sleep(2.5))
    assert use.seconds >= 2.5 and use.others * use.seconds * (os.cpu_count() or 1) > 0.4


def test_every_suite_can_be_loaded_and_the_core_ones_need_no_ray():
    code = (
        "import sys\nabsent = ['ray', 'optuna', 'mlflow', 'typer', 'rich', 'sklearn', 'yaml']\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "from benchmarks import run\nimport benchmarks.suites.packs, benchmarks.suites.seeds\n"
        "sys.exit(run.main(['--suite', 'packs', '--tiny', '--synthetic', '--pairs', '1', '--members', '1', '2', "
        "'--losses', 'spcl']) % 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "K=002" in done.stdout, done.stderr
    assert set(SUITES) == {path.stem for path in Path(run.__file__).parent.glob("suites/[a-z]*.py")}


def test_all_contestants_get_the_same_widths_equally_often():
    from benchmarks.suites.study import configurations

    for count in (24, 200):
        widths = [config["hidden"] for config in configurations(count)]
        assert max(map(widths.count, (128, 256, 512))) - min(map(widths.count, (128, 256, 512))) <= 1
    assert configurations(24) == configurations(24)
