"""The tables and the page of a protocol: numbers are those of the evaluations, failed cells are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from small_evaluation import make_evaluation

from analysis.bench_page.build import write_bench
from analysis.stores.bench import load_bench
from mer.errors import MerError

STRENGTHS = {"ce": 0.8, "supcon": 1.6, "spcl": 1.2}


def make_bench(folder: Path, *, failed: str = "") -> Path:
    """Two corpora, three methods, each an evaluation in a folder of its own."""
    bench, cells = folder / "benches" / "tiny", []
    (bench / "cells").mkdir(parents=True)
    for corpus in ("one", "two"):
        for method, strength in STRENGTHS.items():
            name = f"{corpus}-text-{method}"
            place = folder / "studies" / f"eval-{name}"
            place.mkdir(parents=True)
            make_evaluation(place, strength=strength + (corpus == "two") * 0.3, method=method, export=f"exports/{name}")
            results = f"../../studies/eval-{name}/results.json"
            (bench / "cells" / f"{name}.json").write_text(json.dumps({"results": results}), encoding="utf-8")
            told = {"cell": name, "corpus": corpus, "features": "text", "method": method, "seconds": 61.0}
            state = {"state": "failed", "reason": "a <b> fault\n  next: mend"} if name == failed else {"state": "done"}
            cells.append(told | {"study": f"../../studies/tiny-{name}", "reason": ""} | state)
    told = {"format": 1, "protocol": "tiny", "trials": 2, "epochs": 3, "rerank": None, "seeds": [0, 42, 43]}
    (bench / "bench.json").write_text(json.dumps(told | {"cells": cells}), encoding="utf-8")
    return bench


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_scores_and_ranks_are_those_of_the_evaluations(tmp_path: Path):
    folder = make_bench(tmp_path)
    page = write_bench(folder).read_text(encoding="utf-8")
    rows = {(row["corpus"], row["method"]): row for row in rows_of(folder / "scores.csv")}
    assert len(rows) == 6
    for cell in load_bench(folder).cells:
        assert cell.evaluation is not None
        summary, row = cell.evaluation.summary("weighted_f1"), rows[cell.corpus, cell.method]
        assert float(row["mean"]) == summary["mean"] and float(row["sd over seeds"]) == summary["sd"]
        ends = tuple(float(row[f"95 % seeds, {end}"]) for end in ("low", "high"))
        assert ends == summary["t_interval"] and row["seeds"] == "3" and row["units"] == "dialogues"
    ranks = {row["method"]: row for row in rows_of(folder / "ranks.csv")}
    assert list(ranks) == ["supcon", "spcl", "ce"]
    assert [float(row["average rank"]) for row in ranks.values()] == [1.0, 2.0, 3.0]
    markdown = (folder / "scores.md").read_text(encoding="utf-8")
    assert markdown.count("\n") == 8 and "| one | text | ce |" in markdown
    assert "supcon has the best average rank of 3 methods over 2 corpora: 1.00." in page
    assert (folder / "verdicts_one.csv").is_file() and "report.html" not in markdown


def test_a_failed_cell_is_named_and_its_corpus_is_not_ranked(tmp_path: Path):
    folder = make_bench(tmp_path, failed="two-text-ce")
    page = write_bench(folder).read_text(encoding="utf-8")
    (failed,) = [row for row in rows_of(folder / "scores.csv") if row["note"]]
    assert failed["note"] == "failed: a <b> fault" and failed["mean"] == ""
    assert "two-text-ce failed: a &lt;b&gt; fault" in page
    ranks = rows_of(folder / "ranks.csv")
    assert [key for key in ranks[0] if key.endswith("text")] == ["one text"] and ranks[0]["corpora"] == "1"


def test_nothing_done_yet_and_no_protocol_at_all(tmp_path: Path):
    folder = make_bench(tmp_path)
    told = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    for cell in told["cells"]:
        cell["state"] = "waiting"
    (folder / "bench.json").write_text(json.dumps(told), encoding="utf-8")
    assert "0 of 6 cells done" in write_bench(folder).read_text(encoding="utf-8")
    assert {row["note"] for row in rows_of(folder / "scores.csv")} == {"not run yet"}
    with pytest.raises(MerError, match=r"holds no protocol \(no bench.json of format 1\)"):
        write_bench(tmp_path)


def test_an_evaluation_that_is_gone_is_told(tmp_path: Path):
    folder = make_bench(tmp_path)
    (tmp_path / "studies" / "eval-one-text-ce" / "results.json").unlink()
    write_bench(folder)
    (gone,) = [row for row in rows_of(folder / "scores.csv") if row["note"]]
    assert gone["method"] == "ce" and "No such file" in gone["note"]
