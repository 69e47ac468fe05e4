"""Names of metrics as MLflow takes them, whatever a class is called."""

from __future__ import annotations

import pytest

from mer.study.tracking.store import metric_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("dev_f1_开心", "dev_f1_开心"),
        ("dev_f1_very happy", "dev_f1_very happy"),
        ("dev_f1_joy (strong)", "dev_f1_joy _strong_"),
        ("dev_f1_a/b//c", "dev_f1_a_b__c"),
        ("dev_recall_don't know!", "dev_recall_don_t know_"),
    ],
)
def test_odd_classes_get_a_name(key: str, name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert metric_name(key) == name
    _validate_metric_name(name)
