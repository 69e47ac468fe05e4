"""The model card: front matter that the hub's own library reads, and code on it that runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from export_helpers import HEAD, Made
from huggingface_hub import ModelCard, metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from open_study import OpenStudy, begin_study

import mer
from mer.checkpoints.export_folder import Export
from mer.config import TextEncoderConfig
from mer.data.sample.corpus import write_sample
from mer.features.cache.sequences import Sequences
from mer.predictor.answers import SOMEBODY, as_dialogue
from mer.study.export.card_facts import CardFacts, base_model_id
from mer.study.export.peft_snippet import peft_snippet

TEXT = "Oh\u2019 no \u2013 \u201cMy  God\u201d\u2026 well\u200bdone caf\u00e9!"  # most of it is replaced by normalising


# ---- front matter


def test_the_hubs_library_reads_the_dev_metrics(exported: Export, small_study: Made) -> None:
    card, row = ModelCard.load(exported.folder / "README.md"), small_study.runs[HEAD].member.best.row
    found = {(one.metric_type, (one.metric_args or {}).get("average")): one for one in card.data.eval_results}
    assert {key: one.metric_value for key, one in found.items()} == {
        ("f1", "weighted"): row["dev_weighted_f1"],
        ("f1", "macro"): row["dev_macro_f1"],
        ("accuracy", None): row["dev_accuracy"],
        ("recall", "macro"): row["dev_unweighted_accuracy"],
    }
    for one in found.values():
        assert (one.dataset_type, one.dataset_split, one.task_type) == ("sample", "dev", "text-classification")
        assert one.metric_name.endswith("on dev")
    data = metadata_load(exported.folder / "README.md")
    assert data["datasets"] == ["sample"] and data["pipeline_tag"] == "text-classification"
    assert data["license"] == "apache-2.0" and data["base_model"] == ["sentence-transformers/all-MiniLM-L6-v2"]
    assert data["metrics"] == ["f1", "accuracy", "recall"] and data["library_name"] == "mer" and "eacl" in data["tags"]
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "small-00000" and len(results) == 4


def test_the_body_follows_the_front_matter(exported: Export) -> None:
    text = (exported.folder / "README.md").read_text()
    assert text.startswith("---\n") and ModelCard(text).text.strip().startswith("# small, trial 0")
    assert text.index("import mer") < text.index("Import `mer` before `transformers`")
    assert "without mer" not in text  # frozen features: there is no adapter


@pytest.mark.parametrize(
    ("dataset", "sample", "backbones", "license"),
    [
        ("meld", True, ["melstats"], "cc0-1.0"),
        ("meld", True, ["minilm", "melstats"], "apache-2.0"),
        ("meld", False, ["minilm"], "other"),
        ("ravdess", False, ["melstats"], "cc-by-nc-sa-4.0"),
        ("ravdess", False, ["minilm", "melstats"], "cc-by-nc-sa-4.0"),
        ("ravdess", False, ["roberta-large"], "other"),
    ],
)
def test_the_strictest_licence_counts(dataset: str, sample: bool, backbones: list[str], license: str) -> None:
    provenance = {"sample_corpus": sample, "backbones": {str(i): {"name": n} for i, n in enumerate(backbones)}}
    config = SimpleNamespace(data=SimpleNamespace(dataset=dataset, corpus_name=dataset))
    facts = CardFacts("", "", 0, "", config, None, {}, {}, provenance, {}, False)  # type: ignore[arg-type]
    assert facts.license == license


def test_only_models_of_the_hub_are_base_models() -> None:
    assert base_model_id({"name": "roberta-large", "revision": "abc"}) == "roberta-large"
    assert base_model_id({"name": "my-folder", "revision": None}) == base_model_id({"name": "melstats"}) == ""


# ---- the adapter without mer

SPACE = """study: adapted
trainable: text
budget: {trials: 1, epochs: 1}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, mode: lora, layers: [3, -1], lora: {rank: 4}, READS}}
  optim: {batch_size: 16}
params:
  optim.encoder_lr: {float: [1e-2, 2e-2]}
"""
PLAIN = "pooler: target, context: {past: 1}"
TAIL = """
import numpy
assert sys.modules.pop("mer") is None and not any(name.split(".")[0] == "mer" for name in sys.modules)
numpy.save("states.npy", torch.cat(states).numpy())
"""


def adapted(reads: str, place: Path) -> OpenStudy:
    """A study of one trial with a text adapter, as driver and worker leave it."""
    write_sample(place / "corpus", dialogues_per_split={"train": 3, "dev": 2})
    study = begin_study(SPACE, place, CORPUS=place / "corpus", READS=reads)
    study.train_next()
    return study


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> OpenStudy:
    return adapted(PLAIN, tmp_path_factory.mktemp("plain"))


def run_card(folder: Path, text: str, where: Path, **changes: str) -> np.ndarray:
    """Run the card's code for peft in a process without mer; returns its hidden states (L+1, T, D)."""
    card = (folder / "README.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", card, re.S) if "PeftModel" in block]
    for old, new in {'text = "Oh my God!"': f"text = {text!r}", **changes}.items():
        assert code.count(old) == 1
        code = code.replace(old, new)
    (where / "card.py").write_text(f"import sys\nsys.modules['mer'] = None\n{code}\n{TAIL}")
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [sys.executable, "card.py"], cwd=where, env=own, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return np.load(where / "states.npy")


def states_of_mer(folder: Path, text: str) -> tuple[np.ndarray, Sequences]:
    """Return the pooled hidden states (L, D) that the head of `mer.load(folder)` gets, and the tokens behind them."""
    model = mer.load(folder)
    tokens = model.encoders["text"].encode([as_dialogue([(SOMEBODY, text)], name="x")]).features_NLD
    encoder, seen = model._model.tuned["text"], []
    pooled = encoder.pooled
    encoder.pooled = lambda batch: seen.append(pooled(batch)) or seen[-1]
    model.logits(tokens)
    return seen[0][0].numpy(), tokens


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reads", "text"),
    [
        (PLAIN, TEXT),
        ("pooler: mask, prompt: true, speaker: name, context: {max_tokens: 24}", f"{TEXT} " * 6),  # its end stays
        ("pooler: first, speaker: upper", TEXT),
    ],
    ids=["plain", "prompt, too long", "speaker in capitals"],
)
def test_the_cards_code_gives_the_hidden_states_of_mer(reads: str, text: str, tmp_path: Path) -> None:
    adapted(reads, tmp_path).export(tmp_path / "model")
    ours, tokens = states_of_mer(tmp_path / "model", text)
    theirs = run_card(tmp_path / "model", text, tmp_path)
    (start, end), length = tokens.spans[0], len(tokens.values)
    assert theirs.shape[1] == length
    np.testing.assert_allclose(theirs[[3, 6], start:end].mean(axis=1), ours, atol=1e-5)


@pytest.mark.slow
def test_without_the_normalised_text_the_tokens_are_others(plain: OpenStudy, tmp_path: Path) -> None:
    """The reason why the card carries a copy of the function."""
    plain.export(tmp_path / "model")
    _, tokens = states_of_mer(tmp_path / "model", TEXT)
    theirs = run_card(tmp_path / "model", TEXT, tmp_path, **{"turn = normalise(text)": "turn = text"})
    assert theirs.shape[1] != len(tokens.values)


@pytest.mark.slow
def test_a_merged_export_has_no_adapter_to_show(plain: OpenStudy, tmp_path: Path) -> None:
    plain.export(tmp_path / "merged", merge=True)
    assert "PeftModel" not in (tmp_path / "merged/README.md").read_text()


def test_the_cards_of_hub_models_and_bundles_name_their_backbone() -> None:
    encoder = TextEncoderConfig(backbone="roberta-large", mode="lora")
    code = peft_snippet(encoder, "exports/a/adapter", [24], backbone="roberta-large", revision="abc")
    assert "base = 'roberta-large'\n" in code and code.count(', revision="abc"') == 2 and "find_spec" not in code
    code = peft_snippet(encoder, "exports/a/adapter", [24], backbone="exports/a/backbone", revision=None)
    assert "base = 'exports/a/backbone'\n" in code and "revision" not in code
    for some in (code, peft_snippet(encoder, "a", [1], backbone="minilm", revision=None)):
        compile(some, "card", "exec")
        assert max(map(len, some.splitlines())) <= 120
