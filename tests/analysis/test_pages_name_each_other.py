"""Pages that are there learn of what was made since: exports, evaluations, trials ranked again, other corpora."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from small_evaluation import make_evaluation
from small_study import ONE, Ending, make_study, write_spec

from analysis.at_the_end import evaluation_pages, name_on_page, study_pages, with_pages_opened
from analysis.page.document import Section, page, with_section
from analysis.stores.journal import load_study
from mer.study.show.words import BAR
from mer.tune import tune


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with its page."""
    monkeypatch.chdir(tmp_path)
    folder = make_study(tmp_path / "studies", [Ending("finished", seed=index) for index in range(3)])
    summary = {"objective": [{"metric": "dev_weighted_f1", "mode": "max"}]}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert len(study_pages(folder)) == 2
    return folder


def generation_of(study: Path) -> str:
    return load_study(study, with_mlflow=False).generation


def export(study: Path, name: str = "spcl") -> Path:
    folder = study.parent.parent / "exports" / name
    folder.mkdir(parents=True)
    told = {"study": study.name, "generation": generation_of(study), "trial": 2}
    (folder / "provenance.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_section_comes_before_another_and_then_in_its_own_place():
    parts = [Section("top", "Top", "a"), Section("facts", "Facts", "b")]
    html = page("t", "l", parts, "f")
    once = with_section(html, Section("new", "New", "first"), "facts")
    assert once == page("t", "l", [parts[0], Section("new", "New", "first"), parts[1]], "f")
    again = with_section(once, Section("new", "New", "second"), "facts")
    assert again == page("t", "l", [parts[0], Section("new", "New", "second"), parts[1]], "f")
    assert with_section(html, Section("new", "New", "x"), "nowhere") == html


def test_the_page_of_a_study_lists_its_exports_and_evaluations_as_they_come(study: Path):
    assert "What belongs to it" not in page_of(study)
    export(study)
    name_on_page(study, generation_of(study))
    assert 'export: <a href="../../exports/spcl">exports/spcl</a> (trial 2)' in page_of(study)
    make_evaluation(study.parent / "eval-a")
    evaluation_pages(study.parent / "eval-a")
    told = page_of(study)
    assert told.count('<section id="related">') == 1 == told.count('<a href="#related">')
    assert 'evaluation: <a href="../eval-a/report.html">studies/eval-a</a>' in told
    assert '<a href="../small/report.html">' in page_of(study.parent / "eval-a"), "and the other way"
    assert told.index('id="related"') < told.index('id="facts"')


def test_a_page_of_a_former_study_is_left_alone(study: Path):
    export(study)
    before = page_of(study)
    name_on_page(study, "another-generation")
    name_on_page(study, "")
    name_on_page(study.parent / "none", "x")
    assert page_of(study) == before


RANKED = [
    {"trial": 1, "searched": 0.61, "mean": 0.6, "sd": 0.01, "n": 3},
    {"trial": 0, "searched": 0.64, "mean": 0.58, "sd": None, "n": 3},
]


def test_trials_that_were_ranked_again_are_on_the_page_of_their_study(study: Path):
    (study / "rerank.json").write_text(json.dumps(RANKED), encoding="utf-8")
    lines = evaluation_pages(study)
    assert lines == [f"picture:         {study / 'history.svg'}", f"report:          {study / 'report.html'}"]
    told = page_of(study)
    assert "By the mean trial 1 is the best: 60.00, in the search 61.00." in told
    assert told.index('id="leaderboard"') < told.index('id="reranked"') < told.index('id="best"')
    with (study / "report-tables" / "reranked.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["trial"], float(row["mean - search"])) for row in rows] == [
        ("1", pytest.approx(-0.01)), ("0", pytest.approx(-0.06)),
    ]  # fmt: skip
    assert page_of(study) == _made_anew(study), "the page that is made whole is the same"


def _made_anew(study: Path) -> str:
    study_pages(study)
    return page_of(study)


ELSEWHERE = {
    "format": 1, "trained_on": "meld", "on": "emorynlp", "split": "test", "seeds": [0, 42],
    "by_seed": [{"weighted_f1": 0.3}, {"weighted_f1": 0.32}], "rows": {"scored": 700, "of": 984},
    "summary": {
        "weighted_f1": {"mean": 0.31, "sd": 0.014, "t_interval": [0.18, 0.44], "bootstrap_interval": [0.28, 0.34]}
    },
    "majority": {"weighted_f1": 0.21},
}  # fmt: skip


@pytest.mark.parametrize("has_results", [True, False])
def test_other_corpora_are_on_the_page_of_the_seeds(study: Path, has_results: bool):
    place = study
    if has_results:
        make_evaluation(study.parent / "eval-a")
        place = study.parent / "eval-a"
    (place / "on-emorynlp-test.json").write_text(json.dumps(ELSEWHERE), encoding="utf-8")
    assert evaluation_pages(place)[-1] == f"report:          {place / 'report.html'}"
    told = page_of(place)
    assert "Trained on meld, scored elsewhere" in told and "emorynlp (test)" in told and "700 of 984" in told
    assert "31.00 ± 1.40" in told and told.count('<section id="corpora">') == 1


def test_what_the_same_utterances_show_is_said(study: Path):
    told = ELSEWHERE | {"same_utterances": {"verdict": "lower by 2.00 points <b>"}}
    (study / "on-heard-test.json").write_text(json.dumps(told), encoding="utf-8")
    evaluation_pages(study)
    page = page_of(study)
    assert "emorynlp (test), the same utterances as its own: lower by 2.00 points &lt;b&gt;" in page


@pytest.mark.parametrize(("kind", "main", "shown", "always"), [
    ("regression", "ccc", "0.3100 ± 0.0140", "CCC of always the mean"),
    ("multilabel", "macro_f1", "31.00 ± 1.40", "macro-F1 of always the usual labels"),
])  # fmt: skip
def test_numbers_and_labels_on_other_corpora(study: Path, kind: str, main: str, shown: str, always: str):
    text = json.dumps(ELSEWHERE | {"kind": kind}).replace("weighted_f1", main).replace("majority", BAR[kind])
    (study / "on-emorynlp-test.json").write_text(text, encoding="utf-8")
    (study / "on-other-test.json").write_text(json.dumps(ELSEWHERE), encoding="utf-8")
    evaluation_pages(study)
    told = page_of(study)
    assert shown in told and always in told and "other (test)" not in told
    assert told.count('<section id="corpora">') == 1


@pytest.mark.parametrize("garbage", ["", "[", "3", '{"summary": 4}', '[{"trial": "x"}, 7, {"trial": 1, "mean": []}]'])
def test_garbage_beside_a_study_breaks_no_page(study: Path, garbage: str):
    for name in ("rerank.json", "on-x-test.json"):
        (study / name).write_text(garbage, encoding="utf-8")
    assert len(evaluation_pages(study)) == 2
    told = page_of(study)
    assert '<section id="reranked">' not in told and '<section id="corpora">' not in told


def test_a_page_is_opened_where_that_is_asked_for(study: Path, monkeypatch: pytest.MonkeyPatch):
    make_evaluation(study.parent / "eval-a")
    for place, done, last in ((True, True, "report.html"), (False, False, "yourself")):
        asked: list[str] = []
        monkeypatch.setattr("webbrowser.open", lambda address, asked=asked, place=place: asked.append(address) or place)
        lines = with_pages_opened(evaluation_pages)(study.parent / "eval-a")
        assert asked == [(study.parent / "eval-a/report.html").as_uri()]
        assert lines[-1].endswith(last) and (len(lines) == 2) is done


def test_a_study_is_opened_once_it_has_ended(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: asked.append(address) is not None)
    monkeypatch.setattr("mer.study.runner.run_study", lambda *_: asked.append("it ran"))
    space = write_spec(tmp_path / "studies", study.name, ONE)
    tune(tmp_path / "studies" / f"{space.study}.yaml", studies=study.parent, cache=tmp_path / "features", open_it=True)
    assert asked == ["it ran", (study / "report.html").as_uri()]
    assert f"no browser could be opened: open {study / 'report.html'} yourself" in capsys.readouterr().out
