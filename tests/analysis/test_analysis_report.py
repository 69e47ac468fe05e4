"""The report page: whole, self-contained, its numbers those of the journal, words where there is nothing to draw."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from small_study import ONE, TWO, Ending, make_study, write_spec

from analysis.findings import advice
from analysis.findings.advice import edge
from analysis.findings.chance import dev_noise
from analysis.findings.front import pareto_front
from analysis.findings.importance import importance
from analysis.report import report, write_report
from analysis.stores.journal import find_study, load_study
from analysis.stores.study import Range
from mer.errors import MerError
from mer.study.search.ledger import Ledger

REPOSITORY = Path(__file__).parents[2]

VOID = {"meta", "link", "br", "wbr"}
MIXED = [
    Ending("finished"),
    Ending("cut", reason="stopped by asha after epoch 3"),
    Ending("finished"),
    Ending("error", reason="CUDA <out> of memory & more", epochs=0),
    Ending("nonfinite", reason="the loss is not finite"),
    Ending("finished"),
    Ending("finished"),
]


class Page(HTMLParser):
    """Checks nesting; collects text, attributes and table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.raw = False  # inside script or style
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        self.raw = tag in ("script", "style")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.raw = False

    def handle_data(self, data):
        if not self.raw:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def render(folder: Path, tmp_path: Path):
    study = load_study(folder, with_mlflow=False)
    target = tmp_path / "out" / "page.html"
    tables = write_report(study, target)
    return study, Page(target.read_text(encoding="utf-8")), tables


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def journal(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return storage.get_all_trials(storage.get_all_studies()[0]._study_id)


def test_the_page_is_whole_and_needs_nothing_else(tmp_path):
    _, page, _ = render(make_study(tmp_path, MIXED), tmp_path)
    asked = [value for tag, name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert asked and all(value.startswith("#") or value == "data:," for value in asked)
    assert {value[1:] for value in asked if value.startswith("#")} <= set(page.ids)
    tags = {tag for tag, _, _ in page.attributes}
    assert not tags & {"iframe", "img", "object", "embed", "form"}
    text = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "url(" not in text and "@import" not in text and "prefers-color-scheme: dark" in text
    assert text.count("<script>") == 1 and "fetch(" not in text and "XMLHttpRequest" not in text
    assert ("meta", "content") in {(tag, name) for tag, name, value in page.attributes if "default-src 'none'" in value}
    assert not [value for _, name, value in page.attributes if "nan" in value.lower().split() or "inf" in value.split()]


def test_numbers_equal_the_journals(tmp_path):
    folder = make_study(tmp_path, MIXED)
    study, page, tables = render(folder, tmp_path)
    trials = {trial.number: trial for trial in journal(folder)}
    rows = rows_of(tables / "leaderboard.csv")
    assert sorted(int(row["trial"]) for row in rows) == sorted(trials)
    for row in rows:
        trial = trials[int(row["trial"])]
        ending = trial.user_attrs["ending"]
        assert row["ending"] == {"finished": "finished", "cut": "stopped early"}.get(ending["outcome"], "failed")
        assert (row["weighted-F1"] != "") == (ending["best"] is not None)
        if ending["best"]:
            assert float(row["weighted-F1"]) == ending["best"]["dev_weighted_f1"]
            assert float(row["macro-F1"]) == ending["best"]["dev_macro_f1"]
        assert float(row["head_lr"]) == trial.params["optim.head_lr"]
        assert (row["temperature"] == "") == ("loss.contrastive.temperature" not in trial.params)
    ranked = [float(row["weighted-F1"]) for row in rows if row["rank"]]
    assert len(ranked) == 4 and ranked == sorted(ranked, reverse=True)
    complete = [t for t in trials.values() if t.state == optuna.trial.TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.value)
    assert study.best.number == best.number and f"best weighted-F1 on dev (trial {best.number})" in page.text
    assert f"{100 * best.value:.2f}" in page.text
    per_class = rows_of(tables / "per_class.csv")
    assert {row["class"]: float(row["F1"]) for row in per_class} == pytest.approx(
        {name: best.user_attrs["ending"]["best"][f"dev_f1_{name}"] for name in ("neutral", "joy", "anger")}
    )
    curves = rows_of(tables / "learning_curves.csv")
    last = [float(row["dev_weighted_f1"]) for row in curves if int(row["trial"]) == best.number]
    assert max(last) == best.value and len(last) == 3
    assert "| rank | trial |" in (tables / "leaderboard.md").read_text(encoding="utf-8")


def test_every_state_is_said_in_words(tmp_path):
    _, page, tables = render(make_study(tmp_path, [*MIXED, Ending(None, epochs=2)]), tmp_path)
    assert "4 finished, 1 stopped early, 2 failed, 1 interrupted" in page.text
    assert "This study was interrupted: 1 of its trials have not ended." in page.text
    assert "1 failed: CUDA <out> of memory & more" in page.text and "1 failed: the loss is not finite" in page.text
    assert "5 trials: too few to tell which parameter matters (10 are needed" in page.text
    assert "python -m mer.tune search_spaces/small.yaml --trials 9" in page.text
    assert "git checkout 0123abcd" in page.text and "code.diff" in page.text
    assert "A study <to> test & report." in page.text and "meld emotion /data/MELD" in page.text
    assert rows_of(tables / "failures.csv")[0]["reason"] == "CUDA <out> of memory & more"


@pytest.mark.parametrize(
    ("endings", "sentences"),
    [
        ([], ["No trial has been handed out yet", "No trial has finished, so there is no best one.", "No trials yet."]),
        ([Ending(None, epochs=0)], ["No trial has reported a value.", "No trial has left the history of its epochs."]),
        (
            [Ending(None, epochs=1)],
            ["1 of its trials have not ended", "No trial has finished, so there is no best value."],
        ),
        ([Ending("error", reason="no disk", epochs=0)] * 3, ["Every trial failed.", "3 failed: no disk"]),
        ([Ending("cut")], ["No trial finished: the others were stopped early or failed", "0 trials: too few"]),
        (
            [Ending("finished")],
            ["Trial 0 reaches", "the search has found nothing above it", "Only one trial has a value"],
        ),
    ],
    ids=["none", "running, no epoch", "running", "all failed", "one, stopped early", "one"],
)
def test_little_studies_have_words_in_place_of_pictures(tmp_path, endings, sentences):
    _, page, _ = render(make_study(tmp_path, endings), tmp_path)
    for sentence in sentences:
        assert sentence in page.text


def test_several_objectives_show_the_front(tmp_path):
    study, page, _ = render(make_study(tmp_path, [Ending("finished")] * 8, objective=TWO), tmp_path)
    points = {t.number: (t.best["dev_weighted_f1"], -t.best["dev_loss"]) for t in study.finished}
    front = [
        n
        for n, (a, b) in points.items()
        if not any((c >= a and d >= b) and (c, d) != (a, b) for c, d in points.values())
    ]
    assert [trial.number for trial in pareto_front(study)] == sorted(front)
    assert f"no finished trial beats trials {', '.join(map(str, sorted(front)))} on all of them" in page.text


def test_importance_needs_enough_trials_and_then_sums_to_one(tmp_path):
    study, page, tables = render(
        make_study(tmp_path, [Ending("finished", seed=index) for index in range(24)]), tmp_path
    )
    found = importance(study)
    shares = found.shares
    assert set(shares) == set(study.ranges) and sum(shares.values()) == pytest.approx(1.0)
    assert (
        "PED-ANOVA over 24 finished trials: each" in page.text
        and "24 trials are few: expect another order" in page.text
    )
    assert {row["parameter"]: float(row["share"]) for row in rows_of(tables / "importance.csv")} == shares


def test_trials_that_were_stopped_count_in_the_rest(tmp_path):
    """Their own values do not matter, however good they looked when they were stopped."""
    endings = [Ending("finished", seed=index) for index in range(8)] + [
        Ending("cut", seed=index) for index in range(8, 20)
    ]
    study = load_study(make_study(tmp_path, endings), with_mlflow=False)
    found = importance(study)
    assert (found.finished, found.cut, found.top) == (8, 12, 0.25)
    for trial in study.trials:
        if trial.state == "stopped early":
            study._values[trial.number] = 0.999
    assert importance(study) == found


def test_noise_is_the_binomial_error_of_dev(tmp_path):
    study, page, _ = render(make_study(tmp_path, MIXED), tmp_path)
    accuracy = study.best.best["dev_accuracy"]
    noise = dev_noise(study)
    assert noise.utterances == 60 and noise.error == pytest.approx(math.sqrt(accuracy * (1 - accuracy) / 60))
    assert f"moves a dev score by about {100 * noise.error:.1f} points" in page.text


@pytest.mark.parametrize(
    ("signature", "value", "where", "says"),
    [
        (["float", 1e-4, 1e-2, True, None, {}], 1e-3, "50 %", "Inside"),
        (["float", 1e-4, 1e-2, True, None, {}], 9.9e-3, "100 %", "At the upper end (0.01)"),
        (["float", 0.0, 0.5, False, None, {}], 0.001, "0 %", "At the lower end (0), and nothing lies beyond it."),
        (["float", 0.1, 0.5, False, None, {}], 0.101, "0 %", "At the lower end (0.1): if values beyond it make sense"),
        (["float", 0.0, 1.0, False, None, {}], 0.946, "95 %", "At the upper end (1)"),
        (["float", 0.0, 1.0, False, None, {}], 0.944, "94 %", "Inside"),
        (["int", 8, 64, False, 1, {}], 8, "0 %", "At the lower end (8)"),
        (["choice", [512, 64, 128], {}], 512, "100 %", "At the upper end (512)"),
        (["choice", [512, 64, 128], {}], 128, "50 %", "Inside"),
        (["choice", [64, 128], {}], 128, "", "no order"),
        (["choice", ["last", [4]], {}], [4], "", "no order"),
        (["choice", [True, False, 2], {}], True, "", "no order"),
    ],
)
def test_edges(tmp_path, signature, value, where, says):
    study = load_study(make_study(tmp_path, [Ending("finished")] * 5), with_mlflow=False)
    study.ranges["x"] = Range.of(signature)
    study.best.params["x"] = value
    assert edge(study, "x")[0] == where and says in edge(study, "x")[1]


@pytest.mark.parametrize(
    ("key", "end", "step", "is_open"),
    [
        ("loss.contrastive.temperature", 0.03, -1, True),
        ("fusion.modality_dropout", 0.0, -1, False),
        ("encoders.text.lora.dropout", 0.9, 1, True),
        ("encoders.text.lora.dropout", 1.0, 1, False),
        ("no.such.key", 0.0, -1, False),
        ("no.such.key", 3.0, 1, True),
    ],
)
def test_advice_knows_the_bounds_of_a_configuration(key, end, step, is_open):
    assert advice.is_open(key, end, step) == is_open


def test_a_condition_that_the_best_trial_does_not_meet(tmp_path):
    study = load_study(make_study(tmp_path, [Ending("finished")]), with_mlflow=False)
    study.best.params.pop("loss.contrastive.temperature", None)
    says = edge(study, "loss.contrastive.temperature")[1]
    assert says == "Not drawn for the best trial (only when loss.contrastive.kind = spcl)."


def snapshot(folder: Path) -> dict[Path, tuple[int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def test_reading_changes_nothing(tmp_path):
    folder = make_study(tmp_path, [*MIXED, Ending(None)])
    before = {
        p: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in folder.rglob("*") if p.is_file()
    }
    render(folder, tmp_path)
    load_study(folder)  # with MLflow: there is no store, and none may appear
    after = {
        p: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest()) for p in folder.rglob("*") if p.is_file()
    }
    assert before == after and not list(tmp_path.glob("**/mlflow.db"))


def test_a_journal_that_is_being_written(tmp_path):
    folder = make_study(tmp_path, MIXED)
    with (folder / "journal.log").open("a", encoding="utf-8") as stream:
        stream.write('{"op_code": 4, "torn')
    assert len(load_study(folder, with_mlflow=False).trials) == len(MIXED)


@pytest.mark.slow
def test_mlflow_tells_of_a_running_study(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    from mer.study.tracking.store import PARENT_TAG, TAG_GENERATION, TAG_TRIAL, TrackingStore

    folder = make_study(tmp_path, [Ending("finished"), Ending(None, epochs=2)])
    generation = Ledger(folder, write_spec(tmp_path, "small", ONE)).generation
    client = MlflowClient(TrackingStore.under(tmp_path, None).uri)
    experiment = client.create_experiment("small", artifact_location=(tmp_path / "mlartifacts").as_uri())
    stale = client.create_run(experiment, tags={TAG_GENERATION: "another", TAG_TRIAL: "study"})
    client.set_terminated(stale.info.run_id)
    parent = client.create_run(experiment, tags={TAG_GENERATION: generation, TAG_TRIAL: "study"}).info.run_id
    for number in (0, 1):
        tags = {PARENT_TAG: parent, TAG_GENERATION: generation, TAG_TRIAL: str(number)}
        run = client.create_run(experiment, tags=tags).info.run_id
        for epoch in (1, 2):
            client.log_metric(run, "dev_weighted_f1", 0.1 * epoch + number, step=epoch)
    study = load_study(folder)
    assert study.mlflow.status == "RUNNING" and study.mlflow.runs.keys() == {0, 1}
    assert study.history(study.trials[1]) == [
        {"epoch": 1.0, "dev_weighted_f1": pytest.approx(1.1)},
        {"epoch": 2.0, "dev_weighted_f1": pytest.approx(1.2)},
    ]
    write_report(study, tmp_path / "page.html")
    assert "is running, or its driver was killed: 1 of its trials" in (tmp_path / "page.html").read_text(
        encoding="utf-8"
    )


# -- the command -------------------------------------------------------------------------------------------------


def test_faults_are_one_message(tmp_path):
    studies = tmp_path / "studies"
    make_study(studies, [Ending("finished")], name="spcl-meld-text")
    with pytest.raises(MerError) as caught:
        find_study("spcl-meld-txt", studies)
    assert str(caught.value).startswith("spcl-meld-txt: no such study. Did you mean 'spcl-meld-text'?")
    assert "studies there are: spcl-meld-text" in str(caught.value)
    (studies / "empty").mkdir()
    with pytest.raises(MerError, match=r"holds no journal\.log"):
        find_study("empty", studies)
    (studies / "empty" / "journal.log").write_text("", encoding="utf-8")
    with pytest.raises(MerError, match="holds no study yet"):
        load_study(studies / "empty")
    (studies / "empty" / "journal.log").write_text('{"op_code": 99}\n{}\n', encoding="utf-8")
    with pytest.raises(MerError, match="this version knows no operation 99"):
        load_study(studies / "empty")
    assert find_study("spcl-meld-text", studies) == find_study(str(studies / "spcl-meld-text"), Path("nowhere"))


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analysis.report", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_command(tmp_path):
    make_study(tmp_path / "studies", MIXED)
    ended = command(tmp_path, "small")
    assert ended.returncode == 0 and ended.stderr == ""
    assert ended.stdout.startswith("studies/small/report.html")
    assert (tmp_path / "studies/small/report-tables/leaderboard.md").exists()
    ended = command(tmp_path, "none")
    assert ended.returncode == 2 and ended.stderr.startswith("error: none: no such study.")
    with pytest.raises(MerError, match=r"--out x\.pdf: is no \.html file"):
        report("small", out=Path("x.pdf"))


def test_summary_brings_baseline_and_time(tmp_path):
    folder = make_study(tmp_path, MIXED)
    summary = {"seconds": 3725.0, "baseline_majority": {"dev_weighted_f1": 0.1667}, "environment": {"git_sha": "feed"}}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    _, page, _ = render(folder, tmp_path)
    assert "16.67" in page.text and "1 h 02 min" in page.text and "feed" in page.text


def test_an_export_is_no_study_and_the_message_says_what_to_do(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/MANIFEST.json").write_text("{}")
    with pytest.raises(MerError, match=r"is an export[\s\S]*next: python -m mer\.evaluate \S*/out, then"):
        find_study(str(tmp_path / "out"), tmp_path)
