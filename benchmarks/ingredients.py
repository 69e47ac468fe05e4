"""Tell what each change of a setting gave, over seeds, in a study whose points are settings and seeds.

    python -m benchmarks.ingredients studies/ingredients-meld-text

Trials that differ in `seed` alone are one setting. Settings are named by what differs from the first one, and compared
with it seed by seed on dev (paired t test, Holm's adjustment). Reads a study's journal and nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from mer.console import page
from mer.errors import MerError
from mer.files import sha256_json
from mer.statistics import Paired, Summary, describe, holm, paired_by_seed
from mer.study.folder.read_study import find_study, read_record
from mer.study.folder.standings import Standing
from mer.study.show.words import short, short_names, show


@dataclass(frozen=True)
class Setting:
    """One setting, trained with several seeds.

    Args:
        change: what differs from the first setting; a key that only the first one has is left out.
        scores: over the seeds.
        gain: over the first setting, seed by seed; None for the first.
    """

    change: dict[str, Any]
    scores: Summary
    gain: Paired | None


def settings_of(standings: Sequence[Standing], metric: str) -> list[Setting]:
    """Group finished trials by what was drawn for them beside the seed, in the order of their numbers.

    Raises: MerError when none has finished, or trials have no seed of their own.
    """
    groups: dict[str, tuple[Mapping[str, Any], dict[int, float]]] = {}
    for trial in standings:
        if trial.state != "finished":
            continue
        if "seed" not in trial.params:
            raise MerError(f"trial {trial.number}", "no seed was drawn for it", allowed="a study with `seed` in params")
        own = {key: value for key, value in trial.params.items() if key != "seed"}
        groups.setdefault(sha256_json(own), (own, {}))[1][int(trial.params["seed"])] = trial.best[metric]
    if not groups:
        raise MerError("the study", "no trial has finished", then="go on with it first (--resume)")
    first, bar = next(iter(groups.values()))
    gains = [paired_by_seed(scores, bar) for _, scores in groups.values()][1:]
    adjusted = holm([gain.p for gain in gains])
    told = [None, *(replace(gain, p_adjusted=p) for gain, p in zip(gains, adjusted, strict=True))]
    return [
        Setting({k: v for k, v in own.items() if first.get(k) != v}, describe(list(scores.values())), gain)
        for (own, scores), gain in zip(groups.values(), told, strict=True)
    ]


def table_of(settings: Sequence[Setting], metric: str) -> Table:
    """One row for each setting, in their order."""
    names = short_names(sorted({key for setting in settings for key in setting.change}))
    table = Table(box=None, pad_edge=False)
    for heading in ("change", "seeds", "mean", "sd", "gain", "95 %", "p, adjusted"):
        table.add_column(heading, justify="left" if heading == "change" else "right")
    for setting in settings:
        change = ", ".join(f"{names[key]} {short(value)}" for key, value in setting.change.items()) or "none: the bar"
        cells = [change, str(setting.scores.n), show(metric, setting.scores.mean), show(metric, setting.scores.sd)]
        if (gain := setting.gain) is not None and gain.difference is not None:
            cells.append(f"{100 * gain.difference:+.2f}")
            cells.append("-" if gain.interval is None else " to ".join(f"{100 * end:+.2f}" for end in gain.interval))
            cells.append("-" if gain.p_to_judge is None else f"{gain.p_to_judge:.3f}")
        table.add_row(*cells)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="folder of the study, or its name")
    parser.add_argument("--studies", type=Path, default=Path("studies"), help="folder of all studies")
    asked = parser.parse_args()
    record = read_record(find_study(asked.study, asked.studies))
    metric = record.objective[0].metric
    page().print(table_of(settings_of(record.standings, metric), metric))


if __name__ == "__main__":
    main()
