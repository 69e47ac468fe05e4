"""What decides a feature file: one hashable value in memory, and in a journal the words that earlier versions wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mer.config import TEACHER, FeatureSetting, TrialConfig, settings_of
from mer.files import sha256_json

_CLIPS = {"dtype": "float32", "max_seconds": 20.0, "pooler": "auto", "revision": None}
_TEXT: dict[str, Any] = {
    "backbone": "minilm", "context": {"future": 0, "max_tokens": 256, "past": 0}, "dtype": "float32",
    "pooler": "mean", "prompt": False, "revision": None, "speaker": "none",
}  # fmt: skip
WRITTEN: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {  # by 28e52bf
    "frozen text": ({"text": {"layers": "all"}}, "text", {"encoder": {**_TEXT, "mode": "frozen"}}),
    "frozen sound": ({"audio": {}}, "audio", {"encoder": {**_CLIPS, "backbone": "melstats", "mode": "frozen"}}),
    "tuned text": (
        {"text": {"mode": "lora", "freeze_layers": 2, "lora": {"rank": 4}, "lr": 1e-4}},
        "text",
        {"encoder": {**_TEXT, "tokens": 2}},
    ),
    "tuned text, token ids": ({"text": {"mode": "full"}}, "text", {"encoder": {**_TEXT, "tokens": None}}),
    "tuned pictures": (
        {"video": {"backbone": "b", "mode": "full"}},
        "video",
        {"encoder": {**_CLIPS, "backbone": "b", "crops": None, "face_detector": None, "frames": None, "tokens": 0}},
    ),
    "outputs of a teacher": ({"audio": {}}, TEACHER, {"teacher": "exports/t"}),
}


def _config(encoders: dict[str, Any], **other: Any) -> TrialConfig:
    return TrialConfig.model_validate({"encoders": encoders, **other})


@pytest.mark.parametrize("name", WRITTEN)
def test_a_journal_of_an_earlier_version_names_the_same_files(name: str) -> None:
    encoders, key, words = WRITTEN[name]
    distill = {"distill": {"teacher": "exports/t"}} if key == TEACHER else {}
    setting = settings_of(_config(encoders, **distill))[key]
    assert setting.recorded == json.dumps({"data": {"dataset": "meld"}, **words}, sort_keys=True)


def test_equal_settings_are_one_key() -> None:
    def of(label: str = "emotion", root: str = "a", **encoder: Any) -> FeatureSetting:
        return settings_of(_config({"text": encoder}, data={"label": label, "root": root}))["text"]

    assert {of(), of(label="sentiment"), of(layers="all"), of(layers=[0, 1])} == {of()}
    tuned = {"mode": "lora", "freeze_layers": 2}
    assert {of(**tuned), of(**tuned, lora={"rank": 2}), of(**tuned, lr=0.1), of(mode="full", freeze_layers=2)} == {
        of(**tuned)
    }
    others = [of(), of(root="b"), of(pooler="first"), of(**tuned), of(mode="lora"), of(mode="lora", freeze_layers=1)]
    assert len(set(others)) == len(others)
    assert of(root="b").recorded == of().recorded, "data may move between two runs of a study"


def test_the_modality_of_an_encoder_is_a_field_that_is_not_written() -> None:
    config = _config({"text": {}, "audio": {"max_seconds": 5}, "video": {"frames": 8}}, fusion={"kind": "concat"})
    assert [encoder.modality for encoder in config.encoders.present.values()] == ["text", "audio", "video"]
    assert all("modality" not in dump for dump in config.encoders.model_dump().values())
    written_by_28e52bf = "3244f2cd85d3da1645cf6f25f893eac3f8234ab92c7b1cb519f34eee71183271"
    assert sha256_json(config.model_dump(mode="json")) == written_by_28e52bf
