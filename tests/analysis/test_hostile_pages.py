"""Text from data stays text on every page and in every file; garbage of one trial is named and left out."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import small_study
from small_study import Ending, make_study

from analysis.at_the_end import study_pages
from analysis.page.html import esc, link
from analysis.page.tables import Table
from analysis.report import write_report
from analysis.stores.journal import load_study
from analysis.stores.texts import Turn, dev_texts
from mer.errors import MerError

NASTY = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    "\x1b[2J\x9b31m",
    '"><img src=x onerror=alert(1)>',
    "a\u202eb",
    "]]>",
]
FINISHED = [Ending("finished", seed=index) for index in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_study(tmp_path / "studies", FINISHED)


def page_of(folder: Path) -> str:
    target = folder.parent / "page.html"
    write_report(load_study(folder, with_mlflow=False), target)
    return target.read_text(encoding="utf-8")


def artifact(folder: Path, number: int, name: str) -> Path:
    return folder / "trials" / f"{number:05d}" / "artifacts" / name


@pytest.mark.parametrize("text", NASTY)
def test_class_names_and_ids_stay_text(tmp_path, monkeypatch, text):
    monkeypatch.setattr(small_study, "NAMES", ("neutral", text, "anger"))
    folder = make_study(tmp_path / "studies", FINISHED)
    study = load_study(folder, with_mlflow=False)
    best = artifact(folder, study.best.number, "dev_predictions.csv")
    best.write_text(best.read_text(encoding="utf-8").replace("dev/dia3", "<b>dia3"), encoding="utf-8")
    page = page_of(folder)
    assert page.count("<script>") == 1 and "<img" not in page and "<b>dia3" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)
    tables = folder.parent / "page-tables"
    assert (tables / "per_class.csv").is_file()
    for file in tables.iterdir():
        written = file.read_text(encoding="utf-8")
        assert "\x1b" not in written and not re.search(r"(?m)(^|,)\"?[=@]", written), file.name


@pytest.mark.parametrize("text", NASTY)
def test_reasons_descriptions_and_configurations_stay_text(tmp_path, text):
    folder = make_study(tmp_path / "studies", [*FINISHED, Ending("error", reason=text, epochs=0)])
    (folder / "space.json").write_text(json.dumps({"description": text}), encoding="utf-8")
    for number in range(6):
        config = {"data": {"dataset": text, "root": text}, "encoders": {text: {"backbone": text, "mode": text}}}
        artifact(folder, number, "config.json").write_text(json.dumps(config), encoding="utf-8")
        environment = {"command": f"/x/mer/tune.py {text}", "git_sha": text, "packages": {text: text}, "python": text}
        artifact(folder, number, "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    page = page_of(folder)
    assert page.count("<script>") == 1 and "<img" not in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)


GARBAGE = [
    b"",
    b"\x00\xff\xfe garbage",
    b"epoch,dev_weighted_f1\n1,2,3,4\n",
    b"epoch,dev_weighted_f1\nx,y\n",
    b"epoch\nnan\n",
    b'id,true,predicted,logit_a\n"unclosed',
    b"id,true,predicted,logit_joy\n1,joy,sorrow,0.1\n",
    b"id,true,predicted,logit_joy\n1,joy,joy,inf\n",
    b"id,id\n1,1\n",
]


@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", ["history.csv", "dev_predictions.csv"])
def test_garbage_of_one_trial_is_named_and_left_out(folder, name, content):
    best = load_study(folder, with_mlflow=False).best.number
    artifact(folder, best, name).write_bytes(content)
    page = page_of(folder)
    if name == "history.csv" and content == b"":
        return  # a trial without an epoch
    assert f"Made without {name} of trial {best}: garbage." in page
    assert "Learning curves" in page and "Leaderboard" in page and 'id="facts"' in page


def test_a_folder_or_a_pipe_in_the_place_of_a_file(folder):
    best = load_study(folder, with_mlflow=False).best.number
    for name in ("history.csv", "dev_predictions.csv"):
        artifact(folder, best, name).unlink()
    artifact(folder, best, "history.csv").mkdir()
    os.mkfifo(artifact(folder, best, "dev_predictions.csv"))
    page = page_of(folder)
    assert f"history.csv of trial {best}" in page and f"dev_predictions.csv of trial {best}" in page


@pytest.mark.parametrize(
    "content", ["[]", "3", "{", '{"baseline_majority": [], "environment": 3, "seconds": "x", "mlflow": []}']
)
def test_summaries_of_another_shape(folder, content):
    for name in ("summary.json", "space.json"):
        (folder / name).write_text(content, encoding="utf-8")
    for trial in range(6):
        for name in ("config.json", "environment.json"):
            artifact(folder, trial, name).write_text(content, encoding="utf-8")
    assert "reaches" in page_of(folder)


def test_what_was_said_is_shown_on_request_alone(folder):
    study = load_study(folder, with_mlflow=False)
    said = {name: Turn("Ross", f"<b>{name}</b>") for name in study.predictions(study.best).ids}
    write_report(study, folder / "page.html", texts=said)
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;dev/dia0_utt0&lt;/b&gt;" in page and "Ross" in page and "<b>dev" not in page
    assert "Ross" not in page_of(folder)
    with pytest.raises(MerError):  # its data are not there
        dev_texts(study)


def test_a_page_that_fails_is_a_line(folder, monkeypatch):
    monkeypatch.setattr("analysis.report.write_report", lambda *_: 1 / 0)
    lines = study_pages(folder)
    assert lines[0].startswith("picture: ") and lines[1].startswith("report:          not made (ZeroDivisionError")
    assert study_pages(folder.parent / "none")[0].startswith("report:          not made (")


def test_pages_at_the_end(folder):
    lines = study_pages(folder)
    assert lines == [f"picture:         {folder / 'history.svg'}", f"report:          {folder / 'report.html'}"]
    picture = (folder / "history.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg") and "prefers-color-scheme: dark" in picture


def test_addresses_that_lead_away_are_no_links():
    assert link("javascript:alert(1)", "x") == "x" and link("//evil/x", "x") == "x" and link("https://evil", "x") == "x"
    assert link("../a b/report.html", "<x>") == '<a href="../a b/report.html">&lt;x&gt;</a>'
    assert esc('"\x1b<') == "&quot;\\u001b&lt;"


def test_markdown_cells_stay_cells():
    table = Table("t", ["a|b", "c"], [["x\ny|z", "<b>"]])
    assert table.markdown() == "| a\\|b | c |\n| --- | --- |\n| x y\\|z | &lt;b> |\n"
