"""Probabilities of seeds on test at the temperature that dev chose for each, where an export keeps one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mer.statistics import describe
from mer.study.evaluate.at_threshold import predictions_of
from mer.study.evaluate.seeds import SeedResult
from mer.study.folder.recorded import read_scores
from mer.training.calibration import Probable, at_temperature, fit_temperature, nll_of
from mer.training.number_scores import RegressionScores


def at_temperatures(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Fit a temperature to every seed's own dev predictions, and score the probabilities of its test predictions there.

    Args: results: seeds whose test predictions are written; nothing is predicted again.
    Returns: for `results.json`: a row per seed, `test` at its temperature and `before` without it; the summary of both,
        and a sentence.
    """
    rows: list[dict[str, Any]] = []
    for result in results:
        dev, test = (read_scores(path) for path in predictions_of(result))
        assert not isinstance(dev, RegressionScores) and not isinstance(test, RegressionScores)
        value = fit_temperature(dev).value
        told = {"test": _of(at_temperature(test, value)), "before": _of(test)}
        rows.append({"seed": result.seed, "temperature": value, **told})
    summary = {
        when: {name: asdict(describe([row[when][name] for row in rows])) for name in rows[0][when]}
        for when in ("test", "before")
    }
    return {"seeds": rows, "summary": summary, "words": _words(rows, summary)}


def _of(scores: Probable) -> dict[str, float]:
    return {"test_ece": scores.ece, "test_loss": nll_of(scores)}


def _words(rows: Sequence[dict[str, Any]], summary: dict[str, Any]) -> str:
    """Say what the temperatures were and what test gains by them."""
    values = [row["temperature"] for row in rows]
    between = f"{min(values):.2f}" if len(values) == 1 else f"{min(values):.2f} to {max(values):.2f}"
    ece, loss = ([summary[when][name]["mean"] for when in ("before", "test")] for name in ("test_ece", "test_loss"))
    return (
        f"at the temperature that dev chose for each seed ({between}): mean ECE {100 * ece[0]:.2f} -> "
        f"{100 * ece[1]:.2f} %, mean NLL {loss[0]:.4f} -> {loss[1]:.4f} nats; the answers are the same"
    )
