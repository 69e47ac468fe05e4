"""docs/howto/given_features.md as typed: a pickle is converted, searched, exported, scored; predict refuses."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest_ray import begin_with

from benchmarks.kills.fork_server import ForkServer

sys.path.append(str(Path(__file__).parents[1] / "features"))

from test_features_given_pickles import mmsa

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
REPOSITORY = Path(__file__).parents[2]
SMALL = ["--workers", "1", "--trials", "2", "--set", "budget.epochs=3", "--set", "scheduler.kind=none"]


def test_from_a_pickle_to_test_scores(forks: ForkServer, database: Path, tmp_path: Path) -> None:
    begin_with(database, tmp_path / "studies")
    said = mmsa(24)
    for fields in said.values():
        fields["audio"] += 2 * np.sign(fields["regression_labels"])[:, None, None]
    (tmp_path / "unaligned_50.pkl").write_bytes(pickle.dumps(said))
    (tmp_path / "search_spaces").symlink_to(REPOSITORY / "search_spaces")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}

    def typed(module: str, *words: str, code: int = 0) -> str:
        process = forks(module, list(words), cwd=tmp_path, environment=environment)
        assert process.wait() == code, process.output()
        assert "Traceback" not in process.output()
        return process.output()

    assert "--set data.root=mosi/utterances.csv" in typed("mer.features", "convert", "unaligned_50.pkl", "mosi")
    space = "search_spaces/given_features.yaml"
    assert "3 encoder settings" in typed("mer.tune", space, "--dry-run", *SMALL)
    assert "all cached" not in typed("mer.extract", space)
    typed("mer.tune", space, *SMALL)
    out = typed("mer.export", "studies/given-features", "--out", "exports/mosi")
    assert "try it: python -m mer.evaluate exports/mosi" in out
    scored = typed("mer.evaluate", "exports/mosi", "--seeds", "0", "--workers", "1")
    assert "test" in scored
    refused = typed("mer.predict", "exports/mosi", "--text", "Hi!", code=2)
    assert "features that others extracted" in refused and "--features PLACE" in refused
    later = mmsa(6)
    (tmp_path / "later.pkl").write_bytes(pickle.dumps(later["test"]))
    typed("mer.features", "convert", "later.pkl", "later")
    told = typed("mer.predict", "exports/mosi", "--features", "later/features.safetensors", "--out", "later.csv")
    assert "4 predictions written to later.csv" in told
