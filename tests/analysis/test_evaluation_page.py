"""The page of an evaluation, and the page that sets studies and evaluations beside each other."""

from __future__ import annotations

import csv
import json
import re
import time

import numpy as np
import pytest
from small_evaluation import make_evaluation, make_number_evaluation
from small_study import Ending, make_study

from analysis.at_the_end import evaluation_pages, study_pages
from analysis.compare import write_comparison
from analysis.comparison_page.pairs import evaluation_verdicts
from analysis.evaluation_page.scores import sentence
from analysis.report import main as report_main
from analysis.report import write_evaluation_report
from analysis.seeds import seed_report
from analysis.stores.evaluation import load_evaluation
from analysis.stores.journal import load_study
from analysis.stores.links import related_to_evaluation, related_to_study, results_of
from mer.errors import MerError
from mer.statistics import Scored, paired_by_unit


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_numbers_are_those_of_the_results(tmp_path):
    one = load_evaluation(make_evaluation(tmp_path / "eval"))
    tables = write_evaluation_report(one, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    values = one.values("weighted_f1")
    mean = sum(values.values()) / 3
    assert f"spcl reaches {100 * mean:.2f} % weighted-F1 on test, the mean of 3 seeds" in page.replace("\u00a0", " ")
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
    found = related_to_study(study.folder, study.generation)
    assert [(one.kind, one.folder.name) for one in found] == [("export", "spcl"), ("evaluation", "eval-a")]
    assert [(one.kind, one.folder.name) for one in related_to_evaluation(one)] == [
        ("export", "spcl"),
        ("study", "small"),
    ]
    write_evaluation_report(one, tmp_path / "studies" / "eval-a" / "report.html")
    assert 'href="../small"' in (tmp_path / "studies" / "eval-a" / "report.html").read_text(encoding="utf-8")


def test_an_ensemble_of_many_members_is_named_by_its_folder(tmp_path):
    long = "ensemble of 5: " + " + ".join(f"GRU-online-speakers apcl(temp={i})" for i in range(5))
    path = make_evaluation(tmp_path / "a", method=long, export="exports/together")
    told = json.loads(path.read_text(encoding="utf-8")) | {"ensemble": {"members": [], "groups": {}}}
    path.write_text(json.dumps(told), encoding="utf-8")
    said = sentence(load_evaluation(path), None)
    assert said.startswith("together (ensemble of 5) reaches ") and "the mean of 3 groups" in said
    assert sentence(load_evaluation(make_evaluation(tmp_path / "b")), None).startswith("spcl reaches ")


def test_evaluations_of_numbers_are_paired_and_listed(tmp_path):
    near = load_evaluation(make_number_evaluation(tmp_path / "near", noise=0.2))
    far = load_evaluation(make_number_evaluation(tmp_path / "far", noise=2.0))
    (told,) = evaluation_verdicts([near, far], ["near", "far"])
    assert told.says.startswith("near is above far by 0.") and "seeds and dialogues both support it" in told.says
    assert "points" not in told.says and not told.in_percent
    one, other = near.targets[0], far.targets[0]
    dialogues = [name.rpartition("_utt")[0] for name in one.ids]
    outputs = ([of.output_NT for of in two.targets.values()] for two in (near, far))
    by_hand = paired_by_unit("ccc", *outputs, one.true_NT, dialogues, resamples=4000, scored=Scored("regression"))
    assert by_hand.n == 18 and other.is_numbers and f"{by_hand.difference:+.4f}" in told.says
    classes = load_evaluation(make_evaluation(tmp_path / "classes"))
    tables = write_comparison([], [near, far, classes], tmp_path / "compare.html")
    listed = rows_of(tables / "evaluations.csv")
    assert [row["evaluation"] for row in listed] == ["near", "far", "spcl"] and "±" in listed[0]["CCC"]


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


def cooled(path, temperatures=(0.5, 2.0, 1.25)):
    """Add to results what `mer.evaluate` writes of an export with a temperature."""
    told = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for row, value in zip(told["seeds"], temperatures, strict=True):
        scores = {"test_ece": row["test"]["test_ece"], "test_loss": row["test"]["test_loss"]}
        after = {name: number * value for name, number in scores.items()}
        rows.append({"seed": row["seed"], "temperature": value, "before": scores, "test": after})
    mean = sum(row["test"]["test_ece"] for row in rows) / len(rows)
    words = "at the temperature that dev chose for each seed (0.50 to 2.00): mean ECE 9.00 -> 3.00 %"
    told["at_temperature"] = {"seeds": rows, "summary": {"test": {"test_ece": {"mean": mean}}}, "words": words}
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def test_how_sure_the_seeds_are_is_drawn(tmp_path):
    one = load_evaluation(make_evaluation(tmp_path / "eval"))
    write_evaluation_report(one, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    part = page[page.index('<section id="calibration">') :].split("</section>")[0]
    errors = list(one.values("ece").values())
    assert f"Mean expected calibration error: {100 * sum(errors) / 3:.2f}" in part.replace("\u00a0", " ")
    assert "utterances of 3 seeds on test" in part and "temperature" not in part
    marks = [int(found) for found in re.findall(r"(\d+) utterances?</title>", part)]
    assert sum(marks) == 3 * 90, "each utterance of each seed is in one mark"


def test_temperatures_that_dev_chose_are_shown_seed_by_seed(tmp_path):
    path = cooled(make_evaluation(tmp_path / "eval"))
    one = load_evaluation(path)
    tables = write_evaluation_report(one, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    part = page[page.index('<section id="calibration">') :].split("</section>")[0]
    assert "At the temperature that dev chose for each seed (0.50 to 2.00)" in part
    assert "at the temperature of each seed" in part, "the plot has a second line, and its legend says so"
    rows = rows_of(tables / "temperatures.csv")
    assert [row["seed"] for row in rows] == ["0", "42", "43", "mean"]
    assert [float(row["temperature"]) for row in rows[:3]] == [0.5, 2.0, 1.25]
    before, after = (list(one.told["at_temperature"]["seeds"][0][key].values()) for key in ("before", "test"))
    assert [float(value) for value in list(rows[0].values())[2:]] == [before[0], after[0], before[1], after[1]]
    marks = [int(found) for found in re.findall(r"(\d+) utterances?</title>", part)]
    assert sum(marks) == 2 * 3 * 90
    assert "- spcl: at the temperature that dev chose" in seed_report([one])


def test_a_temperature_changes_how_sure_and_no_answer(tmp_path):
    (found, *_) = load_evaluation(make_evaluation(tmp_path / "eval")).predictions.values()
    colder = found.cooled(0.5)
    assert (colder.predicted_N == found.predicted_N).all()
    assert (colder.probabilities_NC.argmax(axis=1) == found.probabilities_NC.argmax(axis=1)).all()
    squared = found.probabilities_NC**2
    assert np.allclose(colder.probabilities_NC, squared / squared.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    "garbage",
    [7, {}, {"seeds": 3}, {"seeds": [4, {"seed": [], "temperature": "x", "test": 1}], "words": 5},
     {"seeds": [{"seed": 0, "temperature": 1e-300, "test": {"test_ece": 1e300}}], "summary": [2]}],
)  # fmt: skip
@pytest.mark.parametrize("key", ["at_temperature", "at_threshold"])
def test_decisions_of_garbage_break_no_page(tmp_path, garbage, key):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8")) | {key: garbage}
    path.write_text(json.dumps(told), encoding="utf-8")
    one = load_evaluation(path)
    write_evaluation_report(one, tmp_path / "page.html")
    write_comparison([], [one, load_evaluation(make_evaluation(tmp_path / "b"))], tmp_path / "compare.html")
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_thresholds_that_dev_chose_are_shown_beside_the_usual_ones(tmp_path):
    path = make_evaluation(tmp_path / "eval")
    told = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {"seed": row["seed"], "at_least": 0.3 + place / 10, "test": {"test_macro_f1": 0.5 + place / 10}}
        for place, row in enumerate(told["seeds"])
    ]
    told["at_threshold"] = {"metric": "macro_f1", "seeds": rows, "summary": {}}
    path.write_text(json.dumps(told), encoding="utf-8")
    one = load_evaluation(path)
    tables = write_evaluation_report(one, tmp_path / "page.html")
    assert "Dev chose a threshold for each seed by macro-F1" in (tmp_path / "page.html").read_text(encoding="utf-8")
    table = rows_of(tables / "thresholds.csv")
    assert [row["threshold"] for row in table] == ["0.300", "0.400", "0.500", "", ""]
    usual = sum(one.values("macro_f1").values()) / 3
    assert [float(row["macro-F1"]) for row in table[3:]] == pytest.approx([0.6, usual])


def test_a_comparison_has_the_ece_of_each_and_that_at_its_temperature(tmp_path):
    one = load_evaluation(cooled(make_evaluation(tmp_path / "a")))
    other = load_evaluation(make_evaluation(tmp_path / "b"))
    tables = write_comparison([], [one, other], tmp_path / "compare.html")
    first, second = rows_of(tables / "evaluations.csv")
    mean = one.told["at_temperature"]["summary"]["test"]["test_ece"]["mean"]
    assert first["ECE at the temperature of dev"] == f"{100 * mean:.2f}" and not second["ECE at the temperature of dev"]
    assert second["ECE"].startswith(f"{100 * sum(other.values('ece').values()) / 3:.2f} ± ")


def test_an_evaluated_export_stands_for_its_newest_evaluation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    export = tmp_path / "exports" / "spcl"
    export.mkdir(parents=True)
    for name in ("provenance.json", "MANIFEST.json"):
        (export / name).write_text("{}", encoding="utf-8")
    studies = tmp_path / "studies"
    assert results_of("exports/spcl", studies) is None
    for name, created in (("eval-old", "2026-11-27"), ("eval-new", "2026-11-28")):
        path = make_evaluation(studies / name)
        told = json.loads(path.read_text(encoding="utf-8")) | {"created": created}
        path.write_text(json.dumps(told), encoding="utf-8")
    make_evaluation(studies / "eval-other", export="exports/of_another")
    assert results_of("exports/spcl", studies) == results_of(str(export), studies) == studies / "eval-new/results.json"
    monkeypatch.setattr("sys.argv", ["mer report", "compare", "exports/spcl", "eval-other"])
    with pytest.raises(SystemExit) as ended:
        report_main()
    assert not ended.value.code
    page = (tmp_path / "reports" / "compare.html").read_text(encoding="utf-8")
    assert "eval-new" in page and "2 evaluations" in page and capsys.readouterr().out.startswith("reports/compare.html")


def test_nobody_is_ahead_on_other_data(tmp_path):
    good = load_evaluation(make_evaluation(tmp_path / "a", strength=2.0))
    path = make_evaluation(tmp_path / "b", strength=0.3)
    told = json.loads(path.read_text(encoding="utf-8")) | {"dataset": "emorynlp"}
    path.write_text(json.dumps(told), encoding="utf-8")
    write_comparison([], [good, load_evaluation(path)], tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "not of the same data and task" in page and "has the highest mean" not in page


def test_searches_on_other_data_share_no_plot_and_likeness_is_one_sentence(tmp_path):
    studies = [
        load_study(make_study(tmp_path, [Ending("finished", seed=seed)], name=name), with_mlflow=False)
        for seed, name in enumerate(("one", "two", "three", "four"))
    ]
    config = json.loads((tmp_path / "four/trials/00000/artifacts/config.json").read_text(encoding="utf-8"))
    config["data"]["dataset"] = "emorynlp"
    (tmp_path / "four/trials/00000/artifacts/config.json").write_text(json.dumps(config), encoding="utf-8")
    tables = write_comparison(studies, [], tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert [row["data"] for row in rows_of(tables / "searches.csv")] == [*["meld emotion"] * 3, "emorynlp emotion"]
    for data in ("meld emotion", "emorynlp emotion"):
        assert f"weighted-F1 on dev of {data}, in percent" in page
    assert page.count("no difference at this sample size: ") <= 1
