"""Results of many studies: a line of JSON for each on disk, and their table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from benchmarks.kills.play import Outcome

_WRONG = ("lost", "doubled", "incomplete", "false_exit")
MOMENTS = ("starting", "between trials", "training", "saving", "closing", "between drivers")


def read(path: Path) -> list[Outcome]:
    """Read the outcomes of earlier calls; [] when there are none."""
    if not path.exists():
        return []
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Outcome(**{**one, "hits": [tuple(hit) for hit in one["hits"]]}) for one in told]


def append(path: Path, outcome: Outcome) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(outcome.as_json(), ensure_ascii=False) + "\n")


def table(outcomes: Iterable[Outcome]) -> str:
    """Write a Markdown table: disturbances by kind and moment, and what was wrong with the studies that they hit."""
    outcomes = list(outcomes)
    hits: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    wrong: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for outcome in outcomes:
        for kind, moment in outcome.hits:
            hits[kind][moment] += 1
        for kind in {kind for kind, _ in outcome.hits}:
            for name in _WRONG:
                wrong[kind][name] += bool(outcome.verdict.get(name))
    head = ["what happened", *MOMENTS, "in all", *(name.replace("_", " ") for name in _WRONG)]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for kind in sorted(hits, key=lambda kind: -sum(hits[kind].values())):
        counts = [hits[kind][moment] for moment in MOMENTS]
        rows.append([kind, *map(str, counts), str(sum(counts)), *(str(wrong[kind][name]) for name in _WRONG)])
    totals = [sum(of[moment] for of in hits.values()) for moment in MOMENTS]
    bad = [sum(bool(outcome.verdict.get(name)) for outcome in outcomes) for name in _WRONG]
    rows.append(["all", *map(str, totals), str(sum(totals)), *map(str, bad)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
