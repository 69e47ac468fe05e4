"""Say how a configuration would score after each epoch: a random forest fitted to recorded trials, and noise of seeds.

The recorded trials are random draws of `recorded.yaml` on MELD text, trained in full. The table holds our own numbers
only: parameters and dev weighted-F1 after each epoch.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mer.training.seeding import derive_seed

SPACE = Path(__file__).with_name("recorded.yaml")
RECORDED = Path(__file__).with_name("recorded.csv")
_METRIC = "dev_weighted_f1"
_SEED, _EPOCH = "seed", "epoch "  # names of columns that are no parameters
_TREES = 300

_POINTS, _RISE = 0.08, 0.05  # a bowl's depth, in score; what its curves gain after the first epoch
_EPOCHS_TO_RISE = 2.0

Floats = NDArray[np.float64]


class Scores(Protocol):
    """What a simulated study is told about its trials; `seed` is that of the study."""

    def expected(self, params: Mapping[str, Any], seed: int) -> Floats: ...
    def noise(self, seed: int, number: int) -> Floats: ...


@dataclass(frozen=True)
class Landscape:
    """Scores of any configuration of the recorded space.

    Args:
        forest: of scikit-learn, from encoded parameters to a score per epoch.
        columns: names of the encoded parameters.
        residuals_NE: what the forest missed of each recorded curve, scaled to the spread of seeds.
        words: how good the fit is.
    """

    forest: Any
    columns: tuple[str, ...]
    residuals_NE: Floats
    words: str

    @classmethod
    def recorded(cls) -> Landscape:
        return cls.fitted(*read_recorded())

    @classmethod
    def fitted(cls, params: Sequence[Mapping[str, Any]], seeds: Sequence[int], curves_NE: Floats) -> Landscape:
        """Fit the trials of the first seed; trials of another seed say how far two seeds lie apart."""
        from sklearn.ensemble import RandomForestRegressor

        columns = tuple(sorted({name for one in params for name in _encode(one)}))
        first = [k for k, seed in enumerate(seeds) if seed == seeds[0]]
        x_NF = np.array([_row(params[k], columns) for k in first])
        forest = RandomForestRegressor(_TREES, max_features=0.5, oob_score=True, random_state=0).fit(
            x_NF, curves_NE[first]
        )
        missed_NE = curves_NE[first] - forest.oob_prediction_
        explained = 1 - missed_NE[:, -1].var() / curves_NE[first, -1].var()
        twins = [
            (k, j)
            for j, seed in enumerate(seeds)
            if seed != seeds[0]
            for k in first
            if params[k] == params[j]
        ]  # fmt: skip
        spread = float(np.std([curves_NE[k, -1] - curves_NE[j, -1] for k, j in twins]) / np.sqrt(2)) if twins else 0.0
        scale = min(1.0, spread / float(missed_NE[:, -1].std()))
        words = (
            f"landscape: {len(first)} recorded trials; the forest explains {100 * explained:.0f} % of the variance of "
            f"trials it has not seen; two seeds of one configuration have a standard deviation of {100 * spread:.2f} "
            f"points ({len(twins)} pairs)"
        )
        return cls(forest, columns, (missed_NE - missed_NE.mean(axis=0)) * scale, words)

    def expected(self, params: Mapping[str, Any], seed: int) -> Floats:
        """Return the score after each epoch, without noise. All seeds have the same landscape."""
        curve: Floats = self.forest.predict(np.array([_row(params, self.columns)]))[0]
        return curve

    def noise(self, seed: int, number: int) -> Floats:
        """Return the deviation of one run from what is expected: that of a recorded trial, chosen by names."""
        residual: Floats = self.residuals_NE[derive_seed("noise", seed, number) % len(self.residuals_NE)]
        return residual


@dataclass(frozen=True)
class Bowl:
    """A harder landscape: the score falls with the squared distance from an optimum, another one for each seed.

    On the recorded landscape many configurations are nearly as good as the best, so that any search finds one. Here
    only a small part of the space is good. Some parameters matter more than others, as is usual.

    Args:
        recorded: gives the parameters, their ranges and the noise.
        sorted_FN: values of each encoded parameter in the recorded trials, in order: a value's rank is its place.
    """

    recorded: Landscape
    sorted_FN: Floats

    @classmethod
    def over(cls, recorded: Landscape, params: Sequence[Mapping[str, Any]]) -> Bowl:
        return cls(recorded, np.sort([_row(one, recorded.columns) for one in params], axis=0).T)

    def expected(self, params: Mapping[str, Any], seed: int) -> Floats:
        rng = np.random.default_rng(derive_seed("bowl", seed))
        features = len(self.sorted_FN)
        optimum_F, weight_F = rng.random(features), rng.exponential(size=features)
        row = _row(params, self.recorded.columns)
        place_F = np.array(
            [np.searchsorted(known, value) / len(known) for known, value in zip(self.sorted_FN, row, strict=True)]
        )
        far = float(np.sum(weight_F / weight_F.sum() * (place_F - optimum_F) ** 2))
        epochs_E = np.arange(self.recorded.residuals_NE.shape[1])
        rise_E: Floats = 0.6 - _POINTS * far / 0.1 - _RISE * np.exp(-epochs_E / _EPOCHS_TO_RISE)
        return rise_E

    def noise(self, seed: int, number: int) -> Floats:
        return self.recorded.noise(seed, number)


def read_recorded() -> tuple[list[dict[str, Any]], list[int], Floats]:
    """Read parameters, seed, and scores per epoch of each recorded trial."""
    with RECORDED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [name for name in rows[0] if name != _SEED and not name.startswith(_EPOCH)]
    epochs = [name for name in rows[0] if name.startswith(_EPOCH)]
    params = [{key: json.loads(row[key]) for key in keys} for row in rows]
    curves_NE = np.array([[float(row[name]) for name in epochs] for row in rows])
    return params, [int(row[_SEED]) for row in rows], curves_NE


def record(studies: Sequence[Path]) -> int:
    """Write the finished trials of these studies as the recorded ones. Returns how many there are."""
    from mer.study.folder.read_study import read_record
    from mer.study.paths import artifacts_folder

    rows: list[dict[str, Any]] = []
    for folder in studies:
        for trial in read_record(folder).standings:
            if trial.state != "finished":
                continue
            artifacts = artifacts_folder(folder, trial.number)
            seed = json.loads((artifacts / "config.json").read_text(encoding="utf-8"))["seed"]
            with (artifacts / "history.csv").open(encoding="utf-8", newline="") as file:
                scores = [float(row[_METRIC]) for row in csv.DictReader(file)]
            params = {key: json.dumps(_rounded(value)) for key, value in sorted(trial.params.items())}
            epochs = {f"{_EPOCH}{epoch}": f"{score:.5f}" for epoch, score in enumerate(scores, 1)}
            rows.append({_SEED: seed, **params, **epochs})
    with RECORDED.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _encode(params: Mapping[str, Any]) -> dict[str, float]:
    """Turn parameters into numbers: a number is itself (trees need no scale), any other choice a column of 0 and 1."""
    encoded: dict[str, float] = {}
    for key, value in params.items():
        if isinstance(value, (int, float)):
            encoded[key] = float(value)
        else:
            encoded[f"{key}={json.dumps(value)}"] = 1.0
    return encoded


def _row(params: Mapping[str, Any], columns: Sequence[str]) -> list[float]:
    encoded = _encode(params)
    return [encoded.get(name, 0.0) for name in columns]
