"""A protocol as it is read: its cells are search spaces, and whatever is wrong with it comes in one message."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_protocol import cells_of, write_corpus, write_protocol

from mer.errors import Faults, MerError
from mer.study.bench import cells as cells_module
from mer.study.bench.cells import make_cells, read_protocol
from mer.study.bench.protocol import SHIPPED
from mer.study.bench.yaml_models import find_yaml, shipped_names
from mer.study.space.load import load_spec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "own")
    return tmp_path


def message(folder: Path, *changes: tuple[str, str]) -> str:
    path = write_protocol(folder, *changes)
    with pytest.raises(MerError) as caught:
        cells_of(path)
    return str(caught.value).replace(str(path), "FILE")


def test_a_cell_is_its_parts_put_together(folder: Path):
    ce, supcon = cells_of(write_protocol(folder))
    assert (ce.name, supcon.name) == ("own-text-ce", "own-text-supcon")
    assert (ce.spec.study, supcon.spec.study) == ("tiny-own-text-ce", "tiny-own-text-supcon")
    assert list(ce.spec.params) == ["optim.head_lr"]
    assert list(supcon.spec.params) == ["optim.head_lr", "loss.contrastive.weight"]
    assert supcon.spec.fixed["loss.contrastive.kind"] == "supcon" and supcon.spec.fixed["head.hidden"] == 16
    assert ce.spec.points == ({"optim.head_lr": 0.002},) and ce.spec.keep_weights == 2
    assert (ce.spec.budget.trials, ce.spec.budget.epochs, ce.spec.resources.workers) == (2, 3, 1)
    assert ce.rerank is not None and ce.rerank.seeds == (1,) and ce.seeds == (0, 1)


def test_the_space_of_a_cell_is_a_search_space_of_the_same_study(folder: Path):
    for cell in cells_of(write_protocol(folder)):
        (folder / "cell.yaml").write_text(cell.space, encoding="utf-8")
        assert load_spec(folder / "cell.yaml") == cell.spec


def test_a_later_part_counts_more(folder: Path):
    (ce, _) = cells_of(
        write_protocol(
            folder, ("  ce: {}", "  ce: {fixed: {optim.head_lr: 5e-3}, params: {head.hidden: {int: [4, 8]}}}")
        )
    )
    assert list(ce.spec.params) == ["head.hidden"] and ce.spec.fixed["optim.head_lr"] == 5e-3
    assert "head.hidden" not in ce.spec.fixed and ce.spec.points == ()


def test_a_feature_set_may_be_for_some_corpora_and_methods(folder: Path):
    other = "  other:\n    trainable: text\n    fixed: {encoders: {text: {backbone: minilm, layers: [4]}}}\n"
    path = write_protocol(
        folder,
        ("methods:\n  ce: {}", f"{other}methods:\n  ce: {{features: [other]}}"),
        ("    data: {dataset: csv, root: own}", "    data: {dataset: csv, root: own}\n    features: [other, text]"),
    )  # fmt: skip
    assert [cell.name for cell in cells_of(path)] == ["own-text-supcon", "own-other-ce", "own-other-supcon"]


def test_the_plan_is_of_what_decides_scores(folder: Path):
    first = cells_of(write_protocol(folder))[0].plan
    assert cells_of(write_protocol(folder), workers=2)[0].plan == first
    for change in (
        ("trials: 2", "trials: 3"),
        ("seeds: [1]", "seeds: [2]"),
        ("[0, 1]", "[0, 2]"),
        ("1e-3, 1e-2", "1e-3, 1e-1"),
    ):
        assert cells_of(write_protocol(folder, change))[0].plan != first, change


def test_data_and_trials_from_the_command_line(folder: Path):
    path = write_protocol(folder, ("root: own", "root: elsewhere"))
    protocol, file = read_protocol(path, data={"own": "own"}, trials=4)
    (cell, _) = make_cells(protocol, file, protocol.combinations())
    assert cell.data_root == "own" and cell.spec.budget.trials == 4
    for options, words in (
        ({"data": {"owm": "own"}, "trials": None}, "the protocol has no corpus 'owm'. Did you mean 'own'?"),
        ({"data": {}, "trials": 1}, "1 are fewer than are ranked again"),
    ):
        with pytest.raises(MerError, match="(?s)" + words.replace("?", r"\?")):
            read_protocol(path, **options)


def test_unknown_keys_and_values_of_every_part_in_one_message(folder: Path):
    said = message(
        folder, ("  epochs: 3", "  epoch: 3"), ("workers: 1", "workers: 0"), ("trainable: text", "trainables: text"),
        ("seeds: [0, 1]", "seeds: [0, 0]"),
    )  # fmt: skip
    assert said.splitlines()[0] == "FILE:4: search.epoch: unknown key. Did you mean 'epochs'?"
    assert "FILE:7: evaluate.seeds: seed 0 is there twice" in said
    assert "FILE:8: resources.workers: got 0" in said
    assert "features.text: the key 'trainable' is missing" in said
    assert "FILE:18: features.text.trainables: unknown key. Did you mean 'trainable'?" in said


def test_faults_of_the_search_spaces_name_the_line_of_the_protocol(folder: Path):
    said = message(
        folder, ("weight: {float: [0.1, 1.0]}", "wait: {float: [0.1, 1.0]}"), ("hidden: 16", "hiden: 16"),
    )  # fmt: skip
    lines = [line for line in said.splitlines() if line.startswith("FILE")]
    assert lines == [
        "FILE:10: fixed.head.hiden: unknown key. Did you mean 'head.hidden'?",
        "FILE:24: params.loss.contrastive.wait: unknown key. Did you mean 'loss.contrastive.weight'?",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("  ce: {}", "  ce: {features: [texts]}"), "methods.ce.features: there is no feature set 'texts'. Did"),
        (("trainable: text", "trainable: distill"), "features.text.trainable: got 'distill'"),
        (("top: 2", "top: 3"), "rerank: top 3 is above search.trials 2"),
        (("protocol: tiny", "protocol: a-b"), "protocol: got 'a-b'"),
        (("root: own", "path: own"), "corpora.own.data: no `root` says where the data lie"),
        (("  ce: {}", "  c e: {}"), "methods.c e: got 'c e'"),
    ],
)  # fmt: skip
def test_what_does_not_fit(folder: Path, change: tuple[str, str], words: str):
    assert words in message(folder, change)


def test_missing_corpora_in_one_message_with_what_to_do(folder: Path):
    other = "    data: {dataset: csv, root: own}\n  far:\n    data: {dataset: csv, root: nowhere}\n    get: buy it"
    said = message(folder, ("    data: {dataset: csv, root: own}", other.replace("root: own", "root: gone")))
    assert said == (
        "FILE:15: corpora.own.data.root: there is no such file or folder: gone\n"
        "  next: --data own=FOLDER_OR_FILE, or without it: --only NAME\n"
        "FILE:17: corpora.far.data.root: there is no such file or folder: nowhere\n"
        "  next: buy it, or --data far=FOLDER_OR_FILE, or without it: --only NAME"
    )
    protocol, file = read_protocol(folder / "tiny.yaml", data={"own": "own"}, trials=None)
    assert len(make_cells(protocol, file, protocol.chosen(["own"]))) == 2  # the other one is not asked for


def test_a_corpus_without_test_is_refused_before_hours_of_search(folder: Path):
    (folder / "own" / "test.csv").unlink()
    said = message(folder)
    assert said == (
        "FILE:15: corpora.own.data: own has no test split\n  next: divide all rows: add `folds: 4` (docs/folds.md)"
    )
    assert len(cells_of(write_protocol(folder, ("root: own}", "root: own, folds: {k: 3, by: dialogue}}")))) == 2


@pytest.mark.parametrize("name", ["small", *(pytest.param(n, marks=pytest.mark.slow) for n in ("emobox", "merbench"))])
def test_shipped_protocols_make_studies(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    protocol, file = read_protocol(SHIPPED / f"{name}.yaml", data={}, trials=None)
    monkeypatch.setattr(cells_module, "present_splits", lambda data: ("train", "dev", "test"))
    found = make_cells(
        protocol.with_data(dict.fromkeys(protocol.corpora, str(tmp_path))), file, protocol.combinations()
    )
    assert len(found) == len({cell.spec.study for cell in found}) == len({cell.name for cell in found})
    assert {corpus for corpus, _, _ in protocol.combinations()} == set(protocol.corpora)


def test_every_shipped_protocol_is_tested_above():
    assert shipped_names(SHIPPED) == ["emobox", "merbench", "small"]


def test_small_has_three_methods_for_each_of_four_corpora():
    protocol, _ = read_protocol(SHIPPED / "small.yaml", data={}, trials=None)
    assert [corpus for corpus, _, _ in protocol.combinations()] == [
        corpus for corpus in ("meld", "emorynlp", "ravdess", "sample") for _ in range(3)
    ]


def test_a_protocol_is_found_by_path_or_name(folder: Path):
    assert find_yaml("small", SHIPPED, "protocol") == SHIPPED / "small.yaml"
    assert find_yaml(str(write_protocol(folder)), SHIPPED, "protocol").name == "tiny.yaml"
    with pytest.raises(MerError, match=r"smal: no such protocol. Did you mean 'small'\?"):
        find_yaml("smal", SHIPPED, "protocol")


def test_no_protocol_at_all(folder: Path):
    for text, words in (("", "is empty"), ("[1]", "got \\[1\\]"), ("a: [", "is not YAML")):
        (folder / "odd.yaml").write_text(text, encoding="utf-8")
        with pytest.raises((MerError, Faults), match=words):
            read_protocol(folder / "odd.yaml", data={}, trials=None)
