"""The page of an evaluation, and the page that sets studies and evaluations beside each other."""

from __future__ import annotations

import csv
import json
import time

import numpy as np
import pytest
from small_evaluation import make_evaluation
from small_study import Ending, make_study

from analysis.at_the_end import evaluation_pages
from analysis.compare import write_comparison
from analysis.comparison_page.pairs import evaluation_verdicts, study_verdicts
from analysis.report import write_evaluation_report
from analysis.stores.evaluation import load_evaluation
from analysis.stores.journal import load_study
from analysis.stores.links import related_to_evaluation, related_to_study
from mer.errors import MerError
from mer.statistics import paired_by_seed, paired_by_unit


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_numbers_are_those_of_the_results(tmp_path):
    one = load_evaluation(make_evaluation(tmp_path / "eval"))
    tables = write_evaluation_report(one, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    values = one.values("weighted_f1")
    mean = sum(values.values()) / 3
    assert f"spcl reaches {100 * mean:.2f} % weighted-F1 on test, the mean of 3 seeds" in page
    seeds = {int(row["seed"]): float(row["weighted-F1"]) for row in rows_of(tables / "seeds.csv")}
    assert seeds == values
    counts = [[float(row[name]) for name in ("neutral", "joy", "anger")] for row in rows_of(tables / "confusion.csv")]
    by_hand = np.mean([found.confusion() for found in one.predictions.values()], axis=0)
    assert np.allclose(counts, by_hand) and sum(map(sum, counts)) == pytest.approx(90, abs=0.5)
    assert "points against guessing" in page and page.count("<svg") >= 4


def test_pages_at_the_end_of_an_evaluation(tmp_path):
    make_evaluation(tmp_path / "eval")
    lines = evaluation_pages(tmp_path / "eval")
    assert [line.split()[0] for line in lines] == ["picture:", "report:"]
    assert (tmp_path / "eval" / "scores.svg").is_file() and (tmp_path / "eval" / "report.html").is_file()


def test_an_evaluation_on_dev_says_so(tmp_path):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8"))
    for row in told["seeds"]:
        row["dev"] = {key.replace("test_", "dev_"): value for key, value in row.pop("test").items()}
    told["summary"] = {key.replace("test_", "dev_"): value for key, value in told["summary"].items()}
    path.write_text(json.dumps(told | {"split": "dev", "note": "dev scores: expect less"}), encoding="utf-8")
    one = load_evaluation(path)
    write_evaluation_report(one, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "dev scores: expect less" in page and "weighted-F1 on dev" in page


def test_garbage_of_a_seed_is_named(tmp_path):
    path = make_evaluation(tmp_path / "eval")
    (tmp_path / "eval" / "trials" / "00001" / "test_predictions.csv").write_bytes(b"\xff\x00")
    write_evaluation_report(load_evaluation(path), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Made without test_predictions.csv of seed 42: garbage." in page and "mean of 2 seeds" in page


def test_study_export_and_evaluation_name_each_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = make_study(tmp_path / "studies", [Ending("finished", seed=index) for index in range(3)])
    study = load_study(folder, with_mlflow=False)
    export = tmp_path / "exports" / "spcl"
    export.mkdir(parents=True)
    provenance = {"study": "small", "generation": study.generation, "trial": 2}
    (export / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    one = load_evaluation(make_evaluation(tmp_path / "studies" / "eval-a"))
    make_evaluation(tmp_path / "studies" / "eval-b", export="exports/of_another")
    found = related_to_study(study)
    assert [(one.kind, one.folder.name) for one in found] == [("export", "spcl"), ("evaluation", "eval-a")]
    assert [(one.kind, one.folder.name) for one in related_to_evaluation(one)] == [
        ("export", "spcl"),
        ("study", "small"),
    ]
    write_evaluation_report(one, tmp_path / "studies" / "eval-a" / "report.html")
    assert 'href="../small"' in (tmp_path / "studies" / "eval-a" / "report.html").read_text(encoding="utf-8")


def test_evaluations_are_paired_by_seed_and_dialogue(tmp_path):
    good = load_evaluation(make_evaluation(tmp_path / "a", strength=2.0, method="good"))
    bad = load_evaluation(make_evaluation(tmp_path / "b", strength=0.3, method="bad"))
    (told,) = evaluation_verdicts([good, bad], ["good", "bad"])
    seeds = paired_by_seed(good.values("weighted_f1"), bad.values("weighted_f1"))
    assert told.difference == pytest.approx(seeds.difference) and told.says.startswith("good is above bad by")
    assert "seeds and dialogues both support it" in told.says
    assert evaluation_verdicts([good], ["good"]) == []


def test_studies_are_paired_by_dialogue(tmp_path):
    one = load_study(
        make_study(tmp_path, [Ending("finished", seed=index) for index in range(4)], name="one"), with_mlflow=False
    )
    two = load_study(make_study(tmp_path, [Ending("finished", seed=9)], name="two"), with_mlflow=False)
    (told,) = study_verdicts([one, two], ["one", "two"])
    ours, theirs = one.predictions(one.best), two.predictions(two.best)
    by_hand = paired_by_unit(
        "weighted_f1", [ours.scores_NC], [theirs.scores_NC], ours.true_N, ours.dialogues, resamples=4000
    )
    assert (told.difference, told.p) == (by_hand.difference, by_hand.p)


def test_the_page_of_several(tmp_path):
    studies = [
        load_study(
            make_study(tmp_path, [Ending("finished", seed=seed), Ending("cut", seed=seed)], name=name),
            with_mlflow=False,
        )
        for seed, name in enumerate(("one", "two"))
    ]
    evaluations = [
        load_evaluation(make_evaluation(tmp_path / name, strength=strength, export=f"exports/{name}"))
        for name, strength in (("eval-a", 2.0), ("eval-b", 0.3))
    ]
    tables = write_comparison(studies, evaluations, tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "eval-a has the highest mean weighted-F1 on test" in page and "eval-a is above eval-b by" in page
    assert {row["search"]: float(row["best"]) for row in rows_of(tables / "searches.csv")} == {
        study.name: pytest.approx(100 * study.value(study.best), abs=0.005) for study in studies
    }
    assert [row["evaluation"] for row in rows_of(tables / "evaluations.csv")] == ["eval-a", "eval-b"]
    assert rows_of(tables / "costs.csv")[0]["trials"] == "2"


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(seeds=[3, None]),
        lambda told: told.update(seeds={"a": 1}),
        lambda told: told["seeds"][0].update(test=[1]),
        lambda told: told["seeds"][0].update(seed="x"),
        lambda told: told["seeds"][0]["test"].update(test_accuracy=None),
    ],
)
def test_results_of_another_shape_are_one_message(tmp_path, change):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8"))
    change(told)
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(MerError, match="lacks"):
        load_evaluation(path)


@pytest.mark.parametrize("value", [3, [1], {"a": "b"}, "<script>", None])
def test_odd_values_elsewhere_make_no_difference(tmp_path, value):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8"))
    odd = dict.fromkeys(("summary", "comparisons", "export", "unit", "command"), value)
    path.write_text(json.dumps(told | odd), encoding="utf-8")
    write_evaluation_report(load_evaluation(path), tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<script>") == 1


@pytest.mark.slow
def test_a_page_is_made_in_two_seconds(tmp_path):
    folder = make_study(tmp_path, [Ending("finished" if index % 2 else "cut", seed=index) for index in range(40)])
    from analysis.at_the_end import study_pages

    study_pages(folder)  # imports; the command that ends a study has them
    begun = time.process_time()
    study_pages(folder)
    assert time.process_time() - begun < 2.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seeds", "none.json"], "none.json: No such file"),
        (["compare", "one"], "needs two studies or evaluations at least"),
        (["compare", "one", "two"], "one: no such study."),
        (["none"], "none: no such study."),
        (["none", "--out", "x.pdf"], "--out x.pdf: is no .html file"),
    ],
)
def test_mer_report_and_its_own_commands(monkeypatch, capsys, tmp_path, words, said):
    from mer.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["mer", "report", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and said in capsys.readouterr().err


FOLDS = {
    "by": "session",
    "parts": [
        {"name": f"session {k}", "train": 60, "test": 30, "mean": {"test_weighted_f1": 0.5 + k / 10}}
        for k in (1, 2, 3)
    ],
    "spread": {
        "test_weighted_f1": {
            "mean": 0.7, "sd_folds": 0.1, "sd_seeds": 0.012, "interval": [0.5, 0.9],
            "note": "the interval is over 3 folds",
        }
    },
}  # fmt: skip


def test_folds_have_a_section_of_their_own(tmp_path):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8")) | {"folds": FOLDS}
    path.write_text(json.dumps(told), encoding="utf-8")
    tables = write_evaluation_report(load_evaluation(path), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Folds by session" in page and "the interval is over 3 folds." in page and "50.00 to 90.00" in page
    assert [float(row["weighted-F1"]) for row in rows_of(tables / "folds.csv")] == pytest.approx([0.6, 0.7, 0.8])
    spread = {row[""]: row["weighted-F1"] for row in rows_of(tables / "fold-spread.csv")}
    assert (spread["sd over folds"], spread["sd over seeds"]) == ("10.00", "1.20")


@pytest.mark.parametrize("garbage", [7, {}, {"parts": 3}, {"parts": [4, {"mean": "x"}], "spread": []}])
def test_folds_of_garbage_break_no_page(tmp_path, garbage):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8")) | {"folds": garbage}
    path.write_text(json.dumps(told), encoding="utf-8")
    write_evaluation_report(load_evaluation(path), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 1000
