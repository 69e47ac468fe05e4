"""`python -m benchmarks.faults --seeds N | --seed S | --exhaustive`: studies in a simulated world in which things fail.

Prints what became of every study, and of one that did not end well how to repeat it. Exit 1 when there is one.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.faults.case import Size, judge
from benchmarks.faults.exhaustive import Found, cases_of, run_cases
from benchmarks.faults.luck import draw
from benchmarks.faults.show import print_bad, print_table, print_verdict
from benchmarks.faults.world.faults import OneFault
from benchmarks.faults.world.kinds import KINDS
from mer.console import quiet_libraries

_MEMORY = Path("/dev/shm")


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="so many studies with faults at random")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="of --seeds [default: 0]")
    parser.add_argument("--seed", type=int, metavar="S", help="repeat the study of one seed, and tell its story")
    parser.add_argument("--exhaustive", action="store_true", help="every operation fails once, in every way")
    parser.add_argument("--at", metavar="DOMAIN:INDEX:FAULT", help="repeat one case of --exhaustive")
    parser.add_argument("--kind", choices=KINDS, default="alone", help="of study [default: alone]")
    parser.add_argument("--domains", nargs="+", default=["file", "mlflow", "moment"], help="[default: all]")
    parser.add_argument("--trials", type=int, default=12, help="of an exhaustive study [default: 12]")
    parser.add_argument("--epochs", type=int, default=2, help="of an exhaustive study [default: 2]")
    parser.add_argument("--out", type=Path, help="write the counts of --exhaustive to this JSON file, for --table")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="add up counts of --out, and show them")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="of the cases, the I-th of N parts [default: all]")
    asked = parser.parse_args(sys.argv[1:] if words is None else words)
    quiet_libraries()
    if asked.table:
        return _show(asked.table)
    size = Size(asked.trials, asked.epochs)
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        root = Path(folder) / "world"
        if asked.seed is not None:
            return _tell(asked.seed, root)
        if asked.at:
            return _repeat(asked.kind, asked.at, size, root)
        if asked.exhaustive:
            return _exhaust(asked, size, root)
        return _try_luck(range(asked.first_seed, asked.first_seed + asked.seeds), root)


def _tell(seed: int, root: Path) -> int:
    drawn = draw(seed)
    verdict = judge(drawn.kind, drawn.size, drawn.study_seed, root, drawn.plans)
    print(
        f"seed {seed}: {drawn.kind.name}, {drawn.size.trials} trials of {drawn.size.epochs} epochs: {verdict.outcome}"
    )
    for number, plan in enumerate(drawn.plans):
        for fault in plan.happened:
            print(f"  command {number}: {fault}")
    print_verdict(verdict)
    return 0 if verdict.is_good else 1


def _repeat(kind: str, at: str, size: Size, root: Path) -> int:
    domain, index, fault = at.split(":")
    plan = OneFault(domain, int(index), fault.replace("-", " "))  # type: ignore[arg-type]
    verdict = judge(KINDS[kind], size, 0, root, [plan])
    print(verdict.outcome)
    print_verdict(verdict)
    return 0 if verdict.is_good else 1


def _show(files: list[Path]) -> int:
    found = Found.read(json.loads(file.read_text(encoding="utf-8")) for file in files)
    print_table(found)
    print(f"\n{found.cases} cases in {found.seconds:.0f} s")
    return 0


def _exhaust(asked: argparse.Namespace, size: Size, root: Path) -> int:
    part, parts = map(int, asked.part.split("/"))
    cases = list(cases_of(KINDS[asked.kind], size, root, asked.domains))
    found = run_cases(cases[part - 1 :: parts], size, root)
    if asked.out:
        asked.out.write_text(json.dumps(found.as_json()), encoding="utf-8")
    print_table(found)
    print(f"\n{found.cases} cases of {len(cases)} in {found.seconds:.0f} s, {len(found.bad)} did not end well")
    print_bad(found.bad)
    return 1 if found.bad else 0


def _try_luck(seeds: range, root: Path) -> int:
    outcomes: Counter[str] = Counter()
    faults, commands, bad, started = 0, 0, [], time.perf_counter()
    gc.freeze()
    for seed in seeds:
        drawn = draw(seed)
        verdict = judge(drawn.kind, drawn.size, drawn.study_seed, root, drawn.plans)
        outcomes[verdict.outcome] += 1
        faults += sum(len(plan.happened) for plan in drawn.plans)
        commands += len(verdict.codes)
        if not verdict.is_good:
            bad.append(seed)
            print(f"seed {seed}: {verdict.outcome}; again: python -m benchmarks.faults --seed {seed}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{len(seeds)} studies, {commands} commands, {faults} faults in {seconds:.0f} s: {dict(outcomes)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
