"""The study in which an evaluation trains its seeds, and the names of Optuna that it leans on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mer.config import TrialConfig
from mer.errors import MerError
from mer.study.evaluate.seeds import SeedStudy, known_seeds, with_root
from mer.study.search.ledger import Ledger
from mer.study.space.spec import Resources

REPOSITORY = Path(__file__).parents[2]


def test_seeds_that_wait_keep_their_trial_numbers(tmp_path: Path) -> None:
    """A waiting trial's seed is read from Optuna's system attribute "fixed_params", which its documents do not name.

    If this fails after an upgrade of Optuna: look where `Study.enqueue_trial` stores the parameters, and read them
    there in `known_seeds`; journals of the present version keep the former name.
    """
    study = SeedStudy("one", TrialConfig.model_validate({"encoders": {"text": {"backbone": "minilm"}}}))
    ledger = Ledger(tmp_path, study.spec([5, 3, 8], [], Resources()))
    assert ledger.next_assignment() is not None  # the first seed is drawn, the others wait
    assert known_seeds(tmp_path, study.study) == [5, 3, 8]
    assert known_seeds(tmp_path / "none", study.study) == []


def test_no_private_name_of_optuna_is_used() -> None:
    """Optuna may rename what begins with an underscore in any release; storages offer the same under public names."""
    private = re.compile(r"(?<!self)\._(trial_id|study_id|storage|cached_frozen_trial|suggest)\b")
    files = [path for folder in ("mer", "analysis", "trainables") for path in (REPOSITORY / folder).rglob("*.py")]
    found = [
        f"{path}: {line.strip()}" for path in files for line in path.read_text().splitlines() if private.search(line)
    ]
    assert files and not found


def test_data_that_are_not_there_are_asked_for_with_the_option_of_these_commands(tmp_path: Path) -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "csv", "root": str(tmp_path / "a.csv")}})
    with pytest.raises(MerError) as caught:
        with_root(config, None)
    assert "say where they are: --data-root FOLDER_OR_FILE" in str(caught.value)
    (tmp_path / "b.csv").touch()
    assert with_root(config, str(tmp_path / "b.csv")).data.root == str(tmp_path / "b.csv")
