"""Word the result of a study: against trial 0, guessing, and what the luck of a search gives."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.findings.chance import Chance, Noise
from analysis.findings.front import pareto_front
from analysis.findings.luck import Luck
from analysis.page.words import counted, is_fraction, points, show, words
from analysis.stores.study import Study


@dataclass(frozen=True)
class Measured:
    """What the parts of a page are told about a study; computed once."""

    noise: Noise | None
    chance: Chance | None
    luck: Luck | None


def endings(study: Study) -> str:
    """Count the trials by how they ended, in words."""
    order = ["finished", "stopped early", "failed", "interrupted", "waiting"]
    parts = [f"{study.counts[word]} {word}" for word in order if study.counts[word]]
    return ", ".join(parts) or "no trial yet"


def result(study: Study, measured: Measured) -> str:
    """Say the result in one sentence."""
    best, first, metric = study.best, study.trial(0), study.metric
    if best is None:
        so_far = study.by_value([trial for trial in study.trials if study.value(trial) is not None])[:1]
        shown = (
            f"; the best so far is trial {so_far[0].number} with {show(metric, study.value(so_far[0]))}"
            if so_far
            else ""
        )
        return f"No trial has finished: {endings(study)}{shown}."
    value = study.value(best) or 0.0
    score = f"{show(metric, value)}{' %' if is_fraction(metric) else ''} {words(metric)} on dev"
    parts = [f"Trial {best.number} reaches {score}"]
    if first is best:
        parts.append("the first setting, and the search has found nothing above it")
    elif first is not None and metric in first.best:
        gain = value - first.best[metric]
        judged = ""
        if measured.luck:
            judged = ", above what luck gives" if measured.luck.is_above else ", no more than luck gives"
        parts.append(f"{points(metric, gain)} against trial 0{judged}")
    if measured.chance:
        parts.append(f"{points(metric, value - measured.chance.value)} against guessing")
    return parts[0] + (": " + "; ".join(parts[1:]) if len(parts) > 1 else "") + "."


def caution(study: Study, measured: Measured) -> list[str]:
    """List the sentences that say what the result is worth."""
    said, noise, luck, chance = [], measured.noise, measured.luck, measured.chance
    if luck:
        judged = (
            "The gain is above both; seeds have yet to confirm it."
            if luck.is_above
            else "The gain is not above both, so it may be luck alone."
        )
        said.append(
            f"Luck: the best of {luck.trials} equally good settings would still look about {100 * luck.by_luck:.1f} "
            f"points better than trial 0 on this dev split, and less than {100 * luck.at_most:.1f} in 95 of 100 "
            f"searches. {judged}"
        )
    if chance:
        said.append(f"Guessing: {show(study.metric, chance.value)} ({chance.guess}).")
    if noise:
        near = ""
        if len(study.finished) > 1:
            close = _indistinct(study, noise)
            near = f" {close} of {counted(len(study.finished), 'finished trial')} lie that close to the best."
        said.append(
            f"Chance alone moves a dev score by about {noise.points} points (binomial standard error with "
            f"{noise.utterances} dev utterances).{near}"
        )
    if len(study.objectives) > 1 and study.best:
        names = ", ".join(str(trial.number) for trial in pareto_front(study))
        said.append(
            f'Several objectives: no finished trial beats trials {names} on all of them. "Best" on this page means '
            f"best {words(study.metric)}, the first objective."
        )
    if study.best:
        said.append(
            f"The best of {len(study.finished)} is also the luckiest of them: re-train it over several seeds before it "
            "is compared with anything."
        )
    return said


def state(study: Study) -> tuple[str, str] | None:
    """Say what is unfinished or wrong about a study: the sentence and how loud it is; None when all is well."""
    counts = study.counts
    if not study.trials:
        return "No trial has been handed out yet: there is nothing to show but what was asked for.", "warn"
    if counts["interrupted"] or counts["waiting"]:
        running = study.mlflow.status == "RUNNING"
        words_of_state = "is running, or its driver was killed" if running else "was interrupted"
        left = counts["interrupted"] + counts["waiting"]
        text = f"This study {words_of_state}: {left} of its trials have not ended. The page shows what is known now."
        return text, "warn"
    if not counts["finished"]:
        if counts["failed"] == len(study.trials):
            return "Every trial failed. See Failures.", "bad"
        return "No trial finished: the others were stopped early or failed. See Failures.", "bad"
    return None


def _indistinct(study: Study, noise: Noise) -> int:
    """Count the finished trials within one standard error of the best, including the best."""
    top = study.value(study.finished[0]) or 0.0
    return sum(abs((study.value(trial) or 0.0) - top) <= noise.error for trial in study.finished)
