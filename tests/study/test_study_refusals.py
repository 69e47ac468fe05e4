"""Keys that may not be searched, and addresses that may not be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy
from study_helpers import make_spec

from mer.errors import MerError
from mer.study.preflight.check_plan import reachable_configs
from mer.study.tracking.store import TrackingStore


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("seed: {choice: [0, 1]}", "params.seed: a searched seed only finds a lucky one"),
        ("data.label: {choice: [emotion, sentiment]}", "trials on different data or labels cannot be ranked"),
    ],
)
def test_seeds_and_data_are_not_searched(tmp_path: Path, line: str, found: str) -> None:
    with pytest.raises(MerError) as fault:
        make_spec(tmp_path, ("params:", f"params:\n  {line}"))
    assert found in str(fault.value)


def test_every_encoder_setting_between_the_ends_is_planned(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, ("params:", "params:\n  encoders.text.context.past: {int: [0, 4]}"))
    contexts = {config.encoders.text.context.past for config in reachable_configs(spec)}
    assert contexts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:////home/me/studies/mlflow.db", "sqlite:////home/me/studies/mlflow.db"),
        ("https://me:secret@mlflow.example:5000/a?token=secret", "https://mlflow.example:5000/a"),
        ("postgresql://user:secret@db/mlflow", "postgresql://db/mlflow"),
    ],
)
def test_credentials_of_a_store_are_never_shown(uri: str, shown: str) -> None:
    assert TrackingStore(uri, None).shown == shown


@pytest.mark.parametrize("name", ["my studies", "50% done", "50%20x", "run#2", "what?", "étude 学习", 'it\'s "q"'])
def test_a_database_is_found_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    store = TrackingStore.under(tmp_path / name, None)
    assert store.database == tmp_path.resolve() / name / "mlflow.db"
    url = sqlalchemy.make_url(store.uri)
    assert (url.database, dict(url.query)) == (str(store.database), {})
