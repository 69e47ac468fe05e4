"""The table of seeds is never wider than its console, and no number of it is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mer.study.evaluate.seed_table import SeedTable

METRICS = ["accuracy", "weighted-F1", "macro-F1", "UA", "ECE"]
SEEDS = [(0, ["60.73", "60.95", "42.97", "43.55", "5.47"], 5), (3407, ["60.04", "60.24", "42.05", "42.49", "3.23"], 10)]
SPREADS = [
    ("mean", "n=2", ["60.41", "60.49", "42.67", "43.17", "4.61"]),
    ("95 % over seeds (t)", "", [f"[{low}, 61.19]" for low in ("59.62", "59.82", "41.76", "42.19", "1.99")]),
]


def printed(method: str, width: int) -> list[str]:
    out = io.StringIO()
    SeedTable("together: test", method, METRICS, SEEDS, SPREADS).print(Console(file=out, width=width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    "method", ["ce", "ensemble of 5: " + " + ".join(["GRU-online-speakers apcl(temp=0.1338)"] * 5)]
)
@pytest.mark.parametrize("width", [66, 80, 100, 160, 700])
def test_numbers_are_whole_at_every_width(method: str, width: int) -> None:
    lines = printed(method, width)
    table = [line for line in lines if not line.startswith(("method: ", "not shown"))]
    assert all(len(line.rstrip()) <= width for line in table)
    said = "\n".join(table)
    shown = [metric for metric in METRICS if metric in table[1]]
    assert len(shown) >= 2 and shown == METRICS[: len(shown)]
    for place in range(len(shown)):
        assert all(cells[place] in said for _, cells, _ in SEEDS) and all(cells[place] in said for *_, cells in SPREADS)
    left_out = METRICS[len(shown) :]
    assert (f"not shown, for lack of width: {', '.join(left_out)}" in lines) == bool(left_out)
    assert (f"method: {method}" in lines) == (f"{method} " not in said), "told whole once"


def test_short_seeds_leave_every_heading_whole() -> None:
    out = io.StringIO()
    SeedTable("dev", "m" * 90, METRICS, [(0, SEEDS[0][1], 4)], SPREADS).print(Console(file=out, width=80))
    assert out.getvalue().splitlines()[1].split() == ["method", "seed", *METRICS[:3], "epoch"]


def test_a_wide_console_shows_every_row() -> None:
    lines = [line.split() for line in printed("ce", 160)]
    assert lines[1] == ["method", "seed", *METRICS, "epoch"] and lines[2] == ["ce", "0", *SEEDS[0][1], "5"]
    assert lines[4] == ["mean", "n=2", *SPREADS[0][2]] and len(lines) == 6
