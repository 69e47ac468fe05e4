"""Sum up a study: the leaderboard, `summary.json`, and the note in MLflow."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mer.config import TargetKind
from mer.redaction import words_without_secrets
from mer.study.folder.standings import Standing, rank, rank_key, standings_of
from mer.study.search.ledger import Ledger
from mer.study.search.stored_trial import ENDED_WORDS, STATES
from mer.study.show.words import BAR, one_line, settings, short_names, show, terse
from mer.study.space.params import Param
from mer.study.space.spec import StudySpec
from mer.terminal.commands import command
from mer.training.scores import BASELINE

_TOP = 10
_SHOWN: dict[TargetKind, tuple[str, ...]] = {  # beside the objectives
    "class": ("dev_weighted_f1", "dev_macro_f1", "dev_accuracy"),
    "regression": ("dev_ccc", "dev_pearson", "dev_mae"),
    "multilabel": ("dev_macro_f1", "dev_micro_f1", "dev_jaccard"),
}
_HEADINGS = {  # of columns that leave room for the settings
    "dev_weighted_f1": "wF1",
    "dev_macro_f1": "mF1",
    "dev_accuracy": "acc",
    "dev_unweighted_accuracy": "UA",
}
_PICTURED = 20  # trials that get a picture when all weights are kept


class Results:
    """All that a study has found so far, read once from its ledger.

    Attributes:
        most: trials that the budget, or the grid, allows.
        counts: state in words -> trials.
        standings: every trial that was handed out.
        pareto: numbers on the Pareto front; empty with one objective.
        retried: number of a failed trial -> number of the trial that repeats it.
        cells: combinations of a grid that the budget covers whole; None otherwise.
    """

    def __init__(self, spec: StudySpec, ledger: Ledger) -> None:
        self.spec = spec
        trials = ledger.trials()
        self.most, self.retried, self.cells = ledger.most(), ledger.retries.pairs(), ledger.cells
        self.counts = Counter(STATES[trial.state] for trial in trials)
        self.standings = standings_of(trials)
        self.pareto = {t.number for t in ledger.study.best_trials} if len(spec.objective) > 1 else set()

    @property
    def ranked(self) -> list[Standing]:
        """The finished trials, best first by the first objective."""
        return rank(self.standings, self.spec.objective[0])

    @property
    def pictured(self) -> list[Standing]:
        """The trials worth a picture: as many of the best as keep their weights, and the Pareto front."""
        ranked, most = self.ranked, self.spec.keep_weights or _PICTURED
        return ranked[:most] + [standing for standing in ranked[most:] if standing.number in self.pareto]

    @property
    def best(self) -> Standing | None:
        """The best finished trial."""
        return self.ranked[0] if self.ranked else None

    @property
    def first(self) -> Standing | None:
        """Trial 0: the published setting, where the space has one."""
        return next((s for s in self.standings if s.number == 0), None)

    @property
    def unfinished(self) -> int:
        """Trials of the budget (or cells of the grid) that have not ended."""
        ended = sum(n for word, n in self.counts.items() if word in ENDED_WORDS)
        return max(0, self.most - ended)

    @property
    def failed(self) -> list[Standing]:
        """Failed trials that nobody has tried again yet."""
        return [one for one in self.standings if one.state == "failed" and one.number not in self.retried]

    def best_metrics(self) -> dict[str, float]:
        """Return the best trial's dev metrics under the names best_*."""
        best = self.best.best if self.best else {}
        return {f"best_{name}": value for name, value in best.items() if name.startswith("dev_")}

    def summary(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """Return counts, best trial, trial 0 and front as JSON-able data.

        Args: extra: added as it is (times, places, baseline).
        """
        return {
            "study": self.spec.study,
            "objective": [objective.model_dump() for objective in self.spec.objective],
            "trials": dict(self.counts),
            "best": vars(self.best) if self.best else None,
            "trial_0": vars(self.first) if self.first else None,
            "pareto_front": sorted(self.pareto),
            **extra,
        }

    def note(self, start_over: str, folder: Path) -> str:
        """Write the description of the parent run in MLflow: outcome, space, how to reproduce. Markdown.

        Args:
            start_over: the command that runs the study anew.
            folder: of the study.
        """
        metric = self.spec.objective[0].metric
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        lines = [self.spec.description, "", f"**{counts}**", ""]
        if self.best:
            lines += [f"- best: trial {self.best.number}, {metric} {show(metric, self.best.best[metric])} on dev"]
        if self.first and self.first.best:
            lines += [f"- trial 0: {show(metric, self.first.best[metric])} ({self.first.state})"]
        lines += ["", "| parameter | range |", "| :--- | :--- |"]
        lines += [f"| `{key}` | {_range(param)} |" for key, param in self.spec.params.items()]
        again = command("mer.verify", folder, "--trial", self.best.number) if self.best else ""
        start_over = shlex.join(words_without_secrets(shlex.split(start_over)))
        whole = f"{start_over} --trials {self.spec.budget.trials}" if "mer.tune" in start_over else start_over
        return "\n".join([*lines, "", "Reproduce:", "", f"    {whole}", f"    {again}".rstrip()])

    @property
    def _conditions(self) -> dict[str, list[str]]:
        return {key: list(param.when) for key, param in self.spec.params.items()}

    def _named(self, shown: Sequence[Standing]) -> tuple[dict[str, str], str]:
        """Return short names of the keys in which trials differ, and in words what is the same in all of them."""
        names = short_names(list(self.spec.params))
        if len(shown) < 2:
            return names, ""
        first = shown[0].params
        same = {
            key
            for key in first
            if all(key in one.params and one.params[key] == first[key] for one in shown) and not self._decides(key)
        }
        return {k: n for k, n in names.items() if k not in same}, " ".join(
            f"{names[key]}={terse(first[key])}" for key in names if key in same
        )

    def _decides(self, key: str) -> bool:
        """Tell whether other parameters depend on this one: it is shown with them."""
        return any(key in owners for owners in self._conditions.values())

    def print_leaderboard(self, console: Console, baseline: Mapping[str, float]) -> None:
        """Print the ten best trials, the baseline, and how the others ended.

        Args: baseline: dev metrics of the lowest bar, e.g. always predicting the most frequent class.
        """
        metric = self.spec.objective[0].metric
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items() if word != "waiting")
        table = Table(title=f"{self.spec.study}: {counts}", title_justify="left", box=None, pad_edge=False)
        shown = [o.metric for o in self.spec.objective]
        task = self.spec.data.task
        shown += [name for name in _SHOWN[task] if name not in shown]
        for heading in ("trial", *(_HEADINGS.get(name, name.removeprefix("dev_")) for name in shown), "epoch"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("settings")  # this one gives way where the terminal is narrow
        listed = self.ranked[:_TOP]
        names, alike = self._named(listed)
        for standing in listed:
            mark = "*" if standing.number in self.pareto else ""
            scores = [show(name, standing.best.get(name)) for name in shown]
            drawn = settings(standing.params, self._conditions, names)
            table.add_row(f"{standing.number}{mark}", *scores, f"{standing.best['epoch']:.0f}", one_line(drawn))
        table.add_section()
        table.add_row(BAR[task], *[show(name, baseline.get(name)) for name in shown], "", BASELINE[task])
        console.print(table)
        if alike:
            console.print(f"the same in all of them: {alike}", highlight=False, markup=False)
        if self.pareto:
            console.print("* on the Pareto front: no other trial is better in one objective and as good in the rest")
        if self.best and self.first and self.first.best:
            gain = self.best.best[metric] - self.first.best[metric]
            console.print(
                f"best: trial {self.best.number}, {metric} {show(metric, self.best.best[metric])} on dev "
                f"({'+' if gain >= 0 else ''}{show(metric, gain)} against trial 0)",
                highlight=False,
            )
        cut = [s for s in self.standings if s.state == "stopped early" and s.best]
        if cut:
            mode = self.spec.objective[0].mode
            top = min(cut, key=lambda s: rank_key(s.best[metric], s.number, mode))
            best = show(metric, top.best[metric])
            console.print(f"{len(cut)} stopped early, the best of them at {best} (trial {top.number})")
        reasons = Counter(s.reason for s in self.standings if s.state == "failed")
        for reason, count in reasons.most_common(3):
            console.print(f"{count} failed: {reason}", highlight=False)
        if self.retried:
            pairs = ", ".join(f"{failed} as {again}" for failed, again in sorted(self.retried.items())[:_TOP])
            console.print(f"tried again: {pairs}", highlight=False)


def _range(param: Param) -> str:
    """Write a parameter as its YAML says it, on one line."""
    body = param.model_dump(by_alias=True, exclude_defaults=True)
    return ", ".join(f"{key} {value}" for key, value in body.items()).replace("|", "/")
