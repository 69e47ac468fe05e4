"""A trial's artifacts: tables, predictions, the picture that is drawn later; and the dry run."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.metrics import precision_recall_fscore_support
from study_helpers import make_spec, row

from mer.checkpoints import save_tensors
from mer.data.sample.corpus import write_sample
from mer.errors import MerError
from mer.study.folder.artifacts import draw_picture, history_csv, per_class_csv, predictions_csv, write_artifacts
from mer.study.folder.confusion_svg import confusion_svg
from mer.study.folder.recorded import read_history
from mer.study.preflight.dry_run import dry_run
from mer.study.preflight.run_options import RunOptions
from mer.training.metrics import Scores

NAMES = ("joy", 'a<b> & "c"', "never")


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((50, 3)).astype(np.float32)
    return Scores(logits, rng.integers(0, 2, 50), NAMES)


def ids(count=50):
    return tuple(f"train/{index},x" for index in range(count))


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_history_round_trips_exactly(tmp_path):
    rows = [row(1, 0.1 + 0.2, lr=1e-300), row(2, 1 / 3, lr=np.float64(2 / 3)), row(3, float("nan"), extra=7.0)]
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/history.csv").write_text(history_csv(rows))
    read = read_history(tmp_path)
    assert read[:2] == rows[:2] and "np." not in history_csv(rows)
    assert np.isnan(read[2]["dev_weighted_f1"]) and read[2]["extra"] == 7.0 and "lr" not in read[2]
    assert read_history(tmp_path / "nothing") == [] and history_csv([]) == "epoch\n"


def test_history_prefers_the_running_trials_own(tmp_path):
    save_tensors(tmp_path / "last.safetensors", {"x": torch.zeros(1)}, {"history": [row(1, 0.5)]})
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/history.csv").write_text(history_csv([row(1, 0.1), row(2, 0.2)]))
    assert read_history(tmp_path) == [row(1, 0.5)]


def test_predictions_at_full_precision(scores):
    rows = table(predictions_csv(scores, ids()))
    assert [line["id"] for line in rows] == list(ids())
    logits = np.array([[np.float32(line[f"logit_{name}"]) for name in NAMES] for line in rows])
    assert np.array_equal(logits, scores.logits_NC)
    assert [line["true"] for line in rows] == [NAMES[label] for label in scores.labels_N]
    assert [line["predicted"] for line in rows] == [NAMES[index] for index in scores.logits_NC.argmax(1)]
    with pytest.raises(ValueError):
        predictions_csv(scores, ids(49))


def test_per_class_table_equals_sklearn(scores):
    rows = table(per_class_csv(scores))
    expected = precision_recall_fscore_support(scores.labels_N, scores.predicted_N, labels=[0, 1, 2], zero_division=0)
    found = [[float(line[key]) for line in rows] for key in ("precision", "recall", "f1", "support")]
    assert np.allclose(found, np.array(expected, dtype=float), atol=1e-12)
    assert [line["class"] for line in rows] == list(NAMES)


def test_confusion_picture_is_xml_with_every_count(scores):
    svg = ElementTree.fromstring(confusion_svg(scores.confusion_CC, NAMES, "<study> & 00001"))
    texts = [node.text for node in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "<study> & 00001" in texts and texts.count(NAMES[1]) == 2
    for count in scores.confusion_CC.ravel():
        assert str(count) in texts
    assert texts.count("0%") >= 3  # a class without examples


def test_every_text_of_the_confusion_picture_stands_at_its_cell(scores):
    """Rows are true classes. Text in a dark cell is white, in a light one dark, and all lies inside the picture."""
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
    svg = ElementTree.fromstring(confusion_svg(counts, NAMES, "t"))
    name = "{http://www.w3.org/2000/svg}"
    _, *cells = svg.iter(f"{name}rect")
    boxes = [tuple(float(cell.get(key)) for key in ("x", "y", "width", "height")) for cell in cells]
    assert len({(x, y) for x, y, _, _ in boxes}) == 9 and len({size for box in boxes for size in box[2:]}) == 1
    cell = boxes[0][2]
    middles = [[(x + cell / 2, y + cell / 2) for x, y, _, _ in boxes[3 * true : 3 * true + 3]] for true in range(3)]
    texts = [(n.text, float(n.get("x")), float(n.get("y")), n.get("fill")) for n in svg.iter(f"{name}text")]
    for true in range(3):
        shares = counts[true] / max(1, counts[true].sum())
        for column, (x, y) in enumerate(middles[true]):
            here = [(words, ink) for words, tx, ty, ink in texts if tx == x and abs(ty - y) < cell / 2]
            assert [words for words, _ in here] == [str(counts[true, column]), f"{100 * shares[column]:.0f}%"]
            assert {ink for _, ink in here} == ({"white"} if shares[column] > 0.55 else {"#222"})
        assert [words for words, x, y, _ in texts if x == middles[0][true][0] and y < boxes[0][1] - 5][-1] == NAMES[
            true
        ]
        (left,) = [words for words, x, y, _ in texts if x < boxes[0][0] and abs(y - middles[true][0][1]) < 10]
        assert left == NAMES[true]
    width, height = float(svg.get("width")), float(svg.get("height"))
    assert all(0 < x < width and 0 < y < height for _, x, y, _ in texts)
    assert all(x + cell < width and y + cell < height for x, y, _, _ in boxes)
    (middle,) = [x for words, x, _, _ in texts if words == "predicted"]
    assert middle == middles[0][1][0]
    dark, light, empty = (cells[index].get("fill") for index in (8, 6, 2))
    assert empty == "#f7fbff" and dark < light < empty, "the larger the share, the darker"
    whole = ElementTree.fromstring(confusion_svg(np.array([[3]]), ("a",), "t"))
    assert [rect.get("fill") for rect in whole.iter(f"{name}rect")][1] == "#084081"


def test_the_folder_of_a_trial(tmp_path, scores):
    card = {"class_names": list(NAMES), "epoch": 2.0}
    arguments = {"config": {"a": 1}, "rows": [row(1, 0.5)], "labels_N": scores.labels_N}
    folder = write_artifacts(tmp_path / "bare", ids=ids(), **arguments)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "history.csv"]
    save_tensors(tmp_path / "full/best.safetensors", {"dev_logits": torch.tensor(scores.logits_NC)}, card)
    folder = write_artifacts(tmp_path / "full", ids=ids(), **arguments)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "confusion.csv", "dev_predictions.csv", "history.csv", "per_class.csv")
    ]
    header, *counts = csv.reader(io.StringIO((folder / "confusion.csv").read_text()))
    assert header == ["true", *NAMES] and [line[0] for line in counts] == list(NAMES)
    assert np.array_equal(np.array([line[1:] for line in counts], dtype=int), scores.confusion_CC)


def test_a_picture_is_drawn_from_the_predictions_alone(tmp_path, scores):
    assert draw_picture(tmp_path, "s 00000", 2) is None
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/dev_predictions.csv").write_text(predictions_csv(scores, ids()))
    drawn = draw_picture(tmp_path, "s 00000", 2)
    title = f"s 00000: dev weighted-F1 {100 * scores.weighted_f1:.2f} at epoch 2"
    assert drawn.read_text() == confusion_svg(scores.confusion_CC, NAMES, title)


# -- dry run -------------------------------------------------------------------------------------------------------


def test_dry_run_prints_counts_and_writes_nothing(tmp_path, monkeypatch):
    root, place = tmp_path / "sample", tmp_path / "place"
    write_sample(root, dialogues_per_split={"train": 6, "dev": 2, "test": 1})
    count = {split: len(table((root / f"{split}_sent_emo.csv").read_text())) for split in ("train", "dev")}
    two_widths = ("head.hidden: {int: [8, 64]}", "head.hidden: {choice: [32, 64]}")
    spec = make_spec(tmp_path, two_widths, overrides=(f"data.root={root}", "budget.trials=40"))
    place.mkdir()
    monkeypatch.chdir(place)
    before = sorted(tmp_path.rglob("*"))
    out = io.StringIO()
    dry_run(spec, RunOptions(place / "studies", place / "features"), Console(file=out, width=200))
    text = out.getvalue()
    assert f"data:      {count['train']} train and {count['dev']} dev utterances in {root}" in text
    assert "20 configurations of small" in text and "head_lr=0.001  hidden=32" in text
    assert "1 encoder settings" in text and "for 40 trials x 6 epochs, " in text
    assert "packs:     a worker trains about " in text and " min without packs (none stops some early)" in text
    assert text.endswith("dry run: nothing was encoded, trained or recorded\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_dry_run_times_no_more_configurations_than_its_patience_allows(tmp_path, monkeypatch):
    root = tmp_path / "sample"
    write_sample(root, dialogues_per_split={"train": 6, "dev": 2, "test": 1})
    spec = make_spec(tmp_path, overrides=(f"data.root={root}",))
    monkeypatch.setattr("mer.study.preflight.dry_run._PATIENCE_S", 0.0)
    out = io.StringIO()
    cost = dry_run(spec, RunOptions(tmp_path / "studies", tmp_path / "features"), Console(file=out, width=200))
    assert "1 configurations of small" in out.getvalue() and "(0 s were enough to time 1 of 20)" in out.getvalue()
    assert cost.seconds > 0, "the one that was timed stands for all"


def test_dry_run_trips_over_missing_data(tmp_path):
    spec = make_spec(tmp_path, overrides=(f"data.root={tmp_path / 'no'}",))
    with pytest.raises(MerError, match="there is no such folder"):
        dry_run(spec, RunOptions(tmp_path / "studies", tmp_path / "features"), Console(file=io.StringIO()))
