"""Train every point of a search space with several seeds, and tell what each change to the first one gives on dev.

    python -m benchmarks.ingredients search_spaces/meld_text_ingredients.yaml --seeds 1 2 3 [--set KEY=VALUE]

All runs are trials of one study, named as the space with `-seeds` behind it; the same command goes on with it. Settings
are named by what differs from the first point, and compared with it seed by seed (paired t test, Holm's adjustment).
Test is never read.
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
from mer.study.evaluate.seeds import SEED_PARAM, run_quietly
from mer.study.folder.read_study import read_record
from mer.study.folder.standings import Standing
from mer.study.preflight.run_options import RunOptions
from mer.study.show.words import short, short_names, show
from mer.study.space.load import load_spec
from mer.study.space.spec import Budget, Sampler, Scheduler, StudySpec


def over_seeds(spec: StudySpec, seeds: Sequence[int]) -> StudySpec:
    """Make the study that trains each point of a search space with each seed, to the last epoch.

    Raises: MerError when the space has no points.
    """
    if not spec.points:
        raise MerError(f"{spec.study}: points", "there are none", allowed="settings to train, the first is the bar")
    points = tuple({**point, "seed": seed} for point in spec.points for seed in seeds)
    changed = {
        "study": f"{spec.study}-seeds",
        "budget": Budget(trials=len(points), epochs=spec.budget.epochs),
        "sampler": Sampler(kind="random"),
        "scheduler": Scheduler(kind="none"),
        "params": {**spec.params, "seed": SEED_PARAM},
        "points": points,
    }
    return StudySpec(**{name: getattr(spec, name) for name in StudySpec.model_fields} | changed)


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
    parser.add_argument("space", type=Path, help="search space whose points are trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of mer.tune")
    parser.add_argument("--studies", type=Path, default=Path("studies"))
    parser.add_argument("--cache", type=Path, default=Path("features"))
    parser.add_argument("--show", action="store_true", help="train nothing, show what is there")
    asked = parser.parse_args()
    spec, console = over_seeds(load_spec(asked.space, asked.set), asked.seeds), page()
    folder = asked.studies / spec.study
    if not asked.show:
        run_quietly(spec, RunOptions(asked.studies, asked.cache, command="python -m benchmarks.ingredients"), console)
    metric = spec.objective[0].metric
    console.print(table_of(settings_of(read_record(folder).standings, metric), metric))


if __name__ == "__main__":
    main()
