"""Train the k best trials of a study again over several seeds and rank them by mean dev, which is less noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mer.checkpoints import read_card
from mer.config import TrialConfig
from mer.errors import MerError
from mer.files import write_json
from mer.naming import method_name
from mer.read_files import as_model, read_json
from mer.statistics import Summary, describe
from mer.study.evaluate.candidate_study import CandidateStudy, alike
from mer.study.evaluate.seeds import SeedStudy, on_all_folds, seed_results, train_seeds, with_root
from mer.study.folder.read_study import find_study, read_record
from mer.study.folder.standings import rank_key
from mer.study.paths import CONFIG, artifacts_folder, trial_folder
from mer.study.preflight.run_options import RunOptions
from mer.study.show.words import show
from mer.study.space.spec import Resources
from mer.terminal.commands import command
from trainables.trial_files import BEST


@dataclass(frozen=True)
class Candidate:
    """One trial that is ranked again.

    Args:
        number: of the trial.
        searched: its dev score in the study, from one seed.
        seeds: the same score over the seeds trained here.
    """

    number: int
    searched: float
    config: TrialConfig
    seeds: Summary


def rerank(
    study: Path,
    count: int,
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
    *,
    data_root: str | None = None,
    resources: Resources | None = None,
) -> Candidate:
    """Train the best trials over seeds, print their ranking and how to export the winner. Never reads test.

    Args: count: how many of the best.
    Returns: the winner.
    Raises: MerError when no trial has finished, or a seed failed.
    """
    record = read_record(find_study(str(study), options.studies))
    folder, best = record.folder, record.ranked[:count]
    if not best:
        raise MerError(folder, "no trial has finished", then="go on with the study first (--resume)")
    if record.owner:
        console.print(f"{folder.name} is still running ({record.owner}): its best so far are re-ranked")
    if len(best) < count:
        console.print(f"{folder.name} has {len(best)} finished trials: re-ranking those")
    configs = {trial.number: on_all_folds(with_root(_config_of(folder, trial.number), data_root)) for trial in best}
    scores: dict[int, list[float]] = {}
    for group in alike(configs):
        for number, config in group.items():
            console.print(f"trial {number}: {method_name(config)}, seeds {' '.join(map(str, seeds))}")
        scores |= _train(folder.name, group, seeds, options, console, resources or Resources())
    candidates = [
        Candidate(t.number, t.best[configs[t.number].training.metric], configs[t.number], describe(scores[t.number]))
        for t in best
    ]
    mode = candidates[0].config.training.mode
    ranked = sorted(candidates, key=lambda candidate: rank_key(candidate.seeds.mean, candidate.number, mode))
    _print(ranked, folder, seeds, options, console)
    write_json(
        folder / "rerank.json",
        [
            {"trial": c.number, "searched": c.searched, "mean": c.seeds.mean, "sd": c.seeds.sd, "n": c.seeds.n}
            for c in ranked
        ],
    )
    options.make_pages([folder], console)
    return ranked[0]


def _train(
    name: str,
    group: dict[int, TrialConfig],
    seeds: Sequence[int],
    options: RunOptions,
    console: Console,
    resources: Resources,
) -> dict[int, list[float]]:
    """Train candidates that can share packs; return trial number -> the best dev value of each seed."""
    if len(group) > 1:
        together = CandidateStudy(name, group)
        return together.scores(together.train(seeds, options, console, resources), seeds)
    ((number, config),) = group.items()
    repeats = SeedStudy(f"{name}-{number}", config)
    trained = train_seeds(repeats, seeds, options, console, resources)
    return {number: [result.dev[config.training.metric] for result in seed_results(trained, repeats.study, seeds)]}


def _config_of(folder: Path, number: int) -> TrialConfig:
    """Read a trial's configuration from its artifacts, or from its weights where there are no artifacts."""
    resolved = artifacts_folder(folder, number) / CONFIG
    if resolved.exists():
        return as_model(read_json(resolved), TrialConfig, resolved)
    best = trial_folder(folder, number) / BEST
    return as_model(read_card(best).get("config"), TrialConfig, best)


def _print(ranked: list[Candidate], folder: Path, seeds: Sequence[int], options: RunOptions, console: Console) -> None:
    metric = ranked[0].config.training.metric
    table = Table(
        title=f"{folder.name}: {metric} on dev over {len(seeds)} seeds", title_justify="left", box=None, pad_edge=False
    )
    for heading in ("trial", "mean", "sample sd", "in the search", "method"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for candidate in ranked:
        spread = show(metric, candidate.seeds.sd)
        cells = (show(metric, candidate.seeds.mean), spread, show(metric, candidate.searched))
        table.add_row(str(candidate.number), *cells, method_name(candidate.config))
    console.print(table)
    winner = ranked[0]
    out = Path("exports") / f"{folder.name}-{winner.number}"
    console.print(
        f"best by mean dev: trial {winner.number}. Next\n"
        f"  {command('mer.export', folder, '--trial', winner.number, '--out', out)}\n"
        f"  {command('mer.evaluate', out, '--seeds', *seeds)}",
        soft_wrap=True,
    )
