"""Test scores of a configuration over seeds, as an export keeps them and its card shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mer.study.export.machine_paths import without_places
from mer.study.export.markdown import table
from mer.study.show.words import show

EVALUATION = "evaluation.json"
SHOWN = {  # metric on test: our words
    "test_weighted_f1": "weighted-F1",
    "test_macro_f1": "macro-F1",
    "test_accuracy": "accuracy",
    "test_unweighted_accuracy": "unweighted accuracy",
    "test_ccc": "CCC",
    "test_pearson": "Pearson",
    "test_mae": "MAE",
    "test_acc2_has0": "Acc-2 (has0)",
    "test_acc2_non0": "Acc-2 (non0)",
    "test_acc7": "Acc-7",
    "test_micro_f1": "micro-F1",
    "test_samples_f1": "samples-F1",
    "test_jaccard": "Jaccard",
}


class Spread(BaseModel):
    """A metric over seeds."""

    model_config = ConfigDict(frozen=True)
    mean: float
    sd: float | None = None
    t_interval: tuple[float, float] | None = None
    bootstrap_interval: tuple[float, float] | None = None

    @property
    def intervals(self) -> tuple[tuple[float, float] | None, ...]:
        """Over seeds, and over units."""
        return self.t_interval, self.bootstrap_interval


class SeedRow(BaseModel):
    """One seed: the epoch that dev chose, and test there."""

    model_config = ConfigDict(frozen=True)
    seed: int
    epoch: int
    test: dict[str, float]


class OnTest(BaseModel):
    """What `evaluation.json` of an export holds."""

    model_config = ConfigDict(frozen=True)
    method: str
    seeds: tuple[SeedRow, ...] = Field(min_length=1)
    summary: dict[str, Spread]
    utterances: int
    unit: str
    units: int
    command: str
    created: str
    calibration: str = ""


def on_test(told: Mapping[str, Any]) -> OnTest:
    """Take from the `results.json` of an evaluation what the card shows, without places of this machine."""
    unit = str(told["unit"])
    return OnTest(
        method=told["method"],
        seeds=tuple(SeedRow.model_validate(row) for row in told["seeds"]),
        summary={name: Spread.model_validate(told["summary"][name]) for name in SHOWN if name in told["summary"]},
        utterances=told["test_utterances"],
        unit=unit,
        units=told[f"test_{unit}s"],
        command=without_places(told["command"]),
        created=told["created"],
        calibration=told.get("at_temperature", {}).get("words", ""),
    )


def on_test_section(scores: OnTest) -> list[str]:
    """Write the parts of the card: what was done, means with intervals, and a row for each seed."""
    numbers = ", ".join(str(row.seed) for row in scores.seeds)
    one = len(scores.seeds) == 1
    unit = "" if "test_ccc" in scores.summary else ", in percent"
    return [
        "## Scores on test",
        f"`python -m mer.evaluate` trained this configuration again with {len(scores.seeds)} "
        f"seed{'' if one else 's'} ({numbers}), chose each epoch on dev, then read test once per seed: "
        f"{scores.utterances} utterances of {scores.units} {scores.unit}s. The numbers are of those runs{unit}, "
        "not of the weights in this folder.",
        table(
            ("metric", "mean", "sample sd", "95 % over seeds", f"95 % over {scores.unit}s"),
            [
                (SHOWN[name], show(name, of.mean), show(name, of.sd), *(_span(name, b) for b in of.intervals))
                for name, of in scores.summary.items()
            ],
        ),
        table(
            ("seed", "epoch", *(SHOWN[name] for name in scores.summary)),
            [
                (row.seed, row.epoch, *(show(name, row.test.get(name)) for name in scores.summary))
                for row in scores.seeds
            ],
        ),
        *([f"Probabilities {scores.calibration}."] if scores.calibration else []),
        f"Method `{scores.method}`; `{scores.command}`, {scores.created[:10]}. The same is in `{EVALUATION}`.",
    ]


def _span(metric: str, bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{show(metric, bounds[0])} to {show(metric, bounds[1])}"
