"""`python -m benchmarks.run [--suite NAME] [--pairs 3] [--out FILE.json]`: measure, compare, say on which machine.

Exit codes: 0 measured; 2 a fault that a user can mend; 3 the machine was not quiet, so that there are times and no
ratios. With argparse, since the suites of the core run where typer is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, load
from benchmarks.measure import Table
from benchmarks.options import CONTESTANTS, Options
from benchmarks.show import show
from benchmarks.suites import SUITES
from mer.console import run
from mer.errors import MerError

NOT_QUIET = 3


def arguments_of(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.partition("\n")[0])
    named = [f"{name}: {words}" for name, words in SUITES.items()]
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="; ".join(named) + " [default: all]")
    parser.add_argument("--pairs", type=_count, default=3, help="rounds that must be quiet [default: 3]")
    parser.add_argument("--out", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--tiny", action="store_true", help="the smallest form: shows that a suite works, nothing else")
    parser.add_argument("--root", type=Path, default=Path("datasets/MELD"), help="MELD [default: datasets/MELD]")
    parser.add_argument("--cache", type=Path, default=Path("features"), help="feature files [default: features]")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of suites packs, fusions and seeds")
    parser.add_argument("--synthetic", action="store_true", help="suites packs and seeds: random features, MELD's size")
    parser.add_argument(
        "--features", type=Path, nargs=2, metavar=("TRAIN", "DEV"), help="feature files to read instead"
    )
    parser.add_argument("--losses", nargs="+", default=[], help="suite packs: of none supcon spcl apcl eacl")
    parser.add_argument("--fusions", nargs="+", default=[], help="suite fusions: e.g. concat misa cross_modal")
    parser.add_argument("--widths", nargs="+", type=_count, default=[], help="suite packs: of the head, e.g. 128 256")
    parser.add_argument(
        "--members", nargs="+", type=_count, default=[], help="suites packs and fusions: sizes K, e.g. 1 8 64"
    )
    parser.add_argument(
        "--trials", nargs="+", type=_count, default=[], help="suites study, thousand and ray: e.g. 24 200"
    )
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS, default=[], help="suite study: some of them [default: all]"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the suites that were asked for. Returns the exit code."""
    asked = arguments_of(sys.argv[1:] if words is None else words)
    machine = describe() | {"load_before": load()}
    print("machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    measured: dict[str, list[Table]] = {}
    faults: list[MerError] = []
    with tempfile.TemporaryDirectory(prefix="mer-benchmark-") as folder:
        for name in asked.suite or SUITES:
            work = Path(folder) / name
            work.mkdir()
            try:
                suite = importlib.import_module(f"benchmarks.suites.{name}")
                measured[name] = suite.measure(_options(asked, work))
            except MerError as fault:  # the other suites can still be measured
                faults.append(fault)
                continue
            for table in measured[name]:
                show(table)
            if asked.out:
                _write(asked.out, machine, measured, faults, words)
    for fault in faults:
        print(f"error: {fault.message}", file=sys.stderr)
    if faults:
        return 2
    refused = [table for tables in measured.values() for table in tables if table.refusal]
    return NOT_QUIET if refused else 0


def _options(asked: argparse.Namespace, work: Path) -> Options:
    return Options(
        pairs=asked.pairs,
        tiny=asked.tiny,
        root=asked.root.resolve(),
        cache=asked.cache.resolve(),
        device=asked.device,
        synthetic=asked.synthetic,
        features=tuple(asked.features) if asked.features else None,
        losses=tuple(asked.losses),
        fusions=tuple(asked.fusions),
        widths=tuple(asked.widths),
        members=tuple(asked.members),
        trials=tuple(asked.trials),
        contestants=tuple(asked.contestants),
        work=work,
        say=lambda text: print(f"  {text}", file=sys.stderr, flush=True),
    )


def _write(
    target: Path, machine: dict[str, Any], measured: dict[str, list[Table]], faults: list[MerError], words: Any
) -> None:
    """Write after each suite, so that a long call that is stopped leaves what it has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": ["python", "-m", "benchmarks.run", *(sys.argv[1:] if words is None else words)],
        "machine": machine | {"load_after": load()},
        "suites": {name: [table.as_json() for table in tables] for name, tables in measured.items()},
        "faults": [fault.message for fault in faults],
    }
    target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


if __name__ == "__main__":
    run(lambda: sys.exit(main()))
