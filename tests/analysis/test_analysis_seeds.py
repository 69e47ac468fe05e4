"""Seed tables from results files."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.seeds import seed_report
from analysis.stores.evaluation import Evaluation, load_evaluation
from mer.errors import MerError
from mer.statistics import describe

REPOSITORY = Path(__file__).parents[2]


def results(method="spcl(temp=0.08)", dataset="meld", values=(0.671, 0.668, 0.674)):
    seeds = [
        {
            "seed": seed,
            "epoch": 7,
            "dev": {"dev_weighted_f1": 0.6},
            "test": {"test_weighted_f1": value, "test_accuracy": value + 0.01, "test_f1_joy": value - 0.1},
        }
        for seed, value in zip((0, 42, 114), values, strict=False)
    ]
    told = describe(list(values))
    summary = {
        "mean": told.mean,
        "sd": told.sd,
        "n": told.n,
        "t_interval": told.t_interval,
        "bootstrap_interval": [0.65, 0.69],
    }
    return {
        "format": 1,
        "method": method,
        "dataset": dataset,
        "task": "emotion",
        "seeds": seeds,
        "summary": {"test_weighted_f1": summary | ({"note": told.note} if told.note else {})},
        "comparisons": [{"against": "ce", "verdict": "spcl and ce: no difference at this sample size (...)."}],
        "command": "python -m mer.evaluate exports/spcl",
    }


def told(*arguments, **named):
    return Evaluation(Path("results.json"), "test", results(*arguments, **named))


def write(path, found):
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_the_reference_layout(tmp_path):
    found = load_evaluation(write(tmp_path / "results.json", results()))
    text = seed_report([found])
    assert "| method | seed | accuracy | weighted-F1 |" in text
    assert "| spcl(temp=0.08) | 42 | 67.80 | 66.80 |" in text
    assert "| spcl(temp=0.08) | weighted-F1 | 67.10 ± 0.30 | 3 | 66.35 to 67.85 | 65.00 to 69.00 |" in text
    assert "| spcl(temp=0.08) | 57.10 |" in text  # mean F1 of joy
    assert "- spcl and ce: no difference at this sample size (...)." in text
    assert "    python -m mer.evaluate exports/spcl" in text


def test_methods_stand_together_datasets_apart():
    text = seed_report([told("a"), told("b", "emorynlp"), told("c")])
    first, second = text.split("## emorynlp")
    assert "| a | 0 |" in first and "| c | 0 |" in first and "| b | 0 |" not in first and "| b | 0 |" in second


def test_one_seed_has_no_spread():
    text = seed_report([told(values=(0.671,))])
    assert "| 67.10 | 1 | - | 65.00 to 69.00 | one seed: no spread can be told from it |" in text


def edited(change):
    found = copy.deepcopy(results())
    change(found)
    return found


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda r: r.update(format=2), "is no results file of mer.evaluate: format 2"),
        (lambda r: r.pop("method"), "lacks method"),
        (lambda r: r.update(seeds=[]), "lacks seeds"),
        (lambda r: r["seeds"][1]["test"].pop("test_accuracy"), r"lacks seeds\[1\].test.test_accuracy"),
        (
            lambda r: r["seeds"][0]["test"].update(test_weighted_f1=0.9),
            "the mean of test_weighted_f1 is 0.671000, its rows",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path, change, text):
    with pytest.raises(MerError, match=text):
        load_evaluation(write(tmp_path / "results.json", edited(change)))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analysis.seeds", *map(str, arguments)]
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_the_command(tmp_path):
    one, two = write(tmp_path / "a.json", results("a")), write(tmp_path / "b.json", results("b"))
    ended = command(one, two, "--out", tmp_path / "seeds.md")
    assert ended.returncode == 0 and ended.stderr == ""
    assert (tmp_path / "seeds.md").read_text(encoding="utf-8") == ended.stdout
    two.write_text("{", encoding="utf-8")
    ended = command(one, two)
    assert ended.returncode == 2 and "is no JSON" in ended.stderr and "Traceback" not in ended.stderr
    ended = command(tmp_path / "none.json")
    assert ended.returncode == 2 and "No such file" in ended.stderr
