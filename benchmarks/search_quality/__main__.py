"""`python -m benchmarks.search_quality [--seeds 20] [--trials 60]`: what packs cost the search, and what they gain it.

With `--record STUDY ...` the folders of finished studies, all of one space and run without early stopping, replace the
recorded trials. A study of the same space with another `seed` says how much of a score is the seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.search_quality.compare import compare, print_comparison
from benchmarks.search_quality.landscape import RECORDED, Bowl, Landscape, Scores, read_recorded, record
from mer.console import run


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_quality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="studies of each kind [default: 20]")
    parser.add_argument("--first-seed", type=int, default=0, help="of the studies [default: 0]")
    parser.add_argument("--trials", type=int, default=60, help="of each study [default: 60]")
    parser.add_argument("--packs", nargs="+", default=["8", "auto"], help="sizes to compare with 1 [default: 8 auto]")
    parser.add_argument("--schedulers", nargs="+", default=["none", "asha"], help="[default: none asha]")
    parser.add_argument("--bowl", action="store_true", help="a harder landscape, made up: an optimum a seed")
    parser.add_argument("--out", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--record", type=Path, nargs="+", metavar="STUDY", help=f"write {RECORDED.name} anew")
    asked = parser.parse_args(sys.argv[1:] if words is None else words)
    if asked.record:
        print(f"{record(asked.record)} trials recorded in {RECORDED}")
        return 0
    recorded = Landscape.recorded()
    print("landscape: a bowl around an optimum, another for each seed" if asked.bowl else recorded.words)
    landscape: Scores = Bowl.over(recorded, read_recorded()[0]) if asked.bowl else recorded
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    packs = [int(pack) if pack.isdigit() else pack for pack in asked.packs]
    found = [compare(landscape, kind, packs, asked.trials, seeds) for kind in asked.schedulers]
    for one in found:
        print_comparison(one)
    if asked.out:
        asked.out.write_text(json.dumps([one.as_json() for one in found], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(lambda: sys.exit(main()))
