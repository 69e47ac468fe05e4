"""`python -m mer.predict` as a user and a pipe see it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from typed_command import Typed


@pytest.fixture
def typed(monkeypatch, capsys, exported):
    return Typed(monkeypatch, capsys, exported.folder)


def test_texts_for_people(typed, exported):
    code, out, err = typed("--text", "Oh my God!", "--text", "x" * 200)
    assert code == 0
    first, second = out.splitlines()
    assert first.split()[0] in exported.class_names and "Oh my God!" in first
    assert all(name in first for name in exported.class_names)
    assert f"  {'x' * 38}...{'x' * 38}  " in second
    assert "was told 'Speaker' (--speaker NAME)" in err
    assert typed("--text", "Hi", "--speaker", "Ross")[2].count("told 'Ross'") == 1


def test_lines_from_a_pipe_to_a_pipe(typed, exported):
    code, out, _ = typed("--json", stdin="Oh my God!\r\nça va\n\n".encode())
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == ["Oh my God!", "ça va"]
    assert set(rows[0]) == {"text", "label", "probabilities", "truncated", "fault"}
    assert list(rows[0]["probabilities"]) == list(exported.class_names)


@pytest.mark.slow
def test_a_labelled_file(typed, small_study, exported, tmp_path):
    code, out, err = typed("--file", small_study.dev_csv, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    table = list(csv.DictReader(small_study.dev_csv.open(newline="", encoding="utf-8")))
    assert code == 0 and [row["text"] for row in rows] == [row["Utterance"] for row in table]
    metrics = exported.provenance["dev_metrics"]
    wanted = f"accuracy {100 * metrics['dev_accuracy']:.2f}, weighted-F1 {100 * metrics['dev_weighted_f1']:.2f}"
    assert f"{len(table)} labelled utterances: {wanted}" in err and f"{len(rows)}/" not in out

    for name in ("p.csv", "p.jsonl"):
        code, out, err = typed("--file", small_study.dev_csv, "--out", tmp_path / name)
        assert code == 0 and out == "" and f"{len(rows)} predictions written to {tmp_path / name}" in err
    assert [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()] == rows
    written = list(csv.DictReader((tmp_path / "p.csv").open(newline="", encoding="utf-8")))
    assert [row["predicted"] for row in written] == [row["label"] for row in rows]
    assert [row["Utterance_ID"] for row in written] == [row["Utterance_ID"] for row in table]
    assert float(written[0]["joy"]) == rows[0]["probabilities"]["joy"]


def test_rows_come_back_in_file_order(typed, tmp_path):
    lines = ["Dialogue_ID,Utterance_ID,Speaker,Utterance", "1,1,A,one-one", "0,0,B,zero", "1,0,A,one-zero"]
    (tmp_path / "mixed.csv").write_text("\n".join(lines))
    code, out, err = typed("--file", tmp_path / "mixed.csv", "--json")
    assert code == 0 and "labelled" not in err
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["one-one", "zero", "one-zero"]
    (tmp_path / "mixed.jsonl").write_text(
        '{"text": "b", "dialogue": 2}\n\n{"text": "a"}\n{"text": "c", "dialogue": 2}\n'
    )
    _, out, _ = typed("--file", tmp_path / "mixed.jsonl", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["text"], row["utterance"]) for row in rows] == [("b", 0), ("a", 0), ("c", 1)]


def test_a_long_and_an_empty_row_are_said_aloud(typed, tmp_path):
    code, out, err = typed("--text", "word " * 10_000, "--json")
    assert code == 0 and json.loads(out)["truncated"] is True
    assert "note: 1 utterance is longer than the model reads (at most 256 tokens)" in err
    (tmp_path / "empty.csv").write_text("Dialogue_ID,Utterance_ID,Speaker,Utterance\n0,0,A,Hi\n0,1,B,\n")
    code, _, err = typed("--file", tmp_path / "empty.csv")
    assert code == 0 and "note: 1 utterance is answered from nothing: its text is empty (utterance 2)" in err


@pytest.mark.parametrize("text", ["😂😂😂", "❤️", "嬉", "สวัสดี"])  # case D, and other members of the kind
def test_an_answer_from_nothing_is_marked_in_every_format(typed, tmp_path, text):
    code, out, err = typed("--text", text, "--text", "Hi!")
    marked, plain = out.splitlines()
    assert code == 0 and "[from nothing: the backbone knows none of its tokens (" in marked and "nothing" not in plain
    assert "note: 1 utterance is answered from nothing: the backbone knows none of its tokens (" in err
    _, out, _ = typed("--json", stdin=f"{text}\n\nHi!\n".encode())
    first, second, third = (json.loads(line)["fault"] for line in out.splitlines())
    assert "knows none of its tokens" in first and (second, third) == ("its text is empty", "")
    _, _, _ = typed("--text", text, "--out", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert row["fault"] == first


def bad(tmp_path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


HEADER = b"Dialogue_ID,Utterance_ID,Speaker,Utterance,Emotion\n"
FILES = {
    "columns": ("f.csv", b"x,y\nHi,1\n", "f.csv:1: no column for a model that reads text; the header has x, y"),
    "header": ("f.csv", b"text,text\nHi,Ho\n", "f.csv:1"),
    "twice": ("f.csv", HEADER + b"0,0,A,Hi,joy\n0,0,A,Ho,joy\n", "is there twice"),
    "no-rows": ("f.csv", HEADER, "no utterance in it"),
    "json": ("f.jsonl", b"{\n", "f.jsonl:1: not JSON"),
    "json-text": ("f.jsonl", b'{"speaker": "A"}\n[]\n', "f.jsonl:2: not an object"),
    "json-empty": ("f.jsonl", b'{"text": " "}\n', "f.jsonl: is empty: there is nothing to classify"),
    "json-header": ("f.jsonl", b'{"speaker": "A"}\n', "f.jsonl:1: no column for a model that reads text"),
    "json-none": ("f.jsonl", b"\n", "no utterance in it"),
    "suffix": ("f.txt", b"Hi\n", "is no table of utterances that can be read"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_in_one_message(typed, tmp_path, case):
    name, content, wanted = FILES[case]
    code, out, err = typed("--file", bad(tmp_path, name, content))
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("error: ") == 1
    assert wanted in err and "Traceback" not in err


def table_of(path, *lines, encoding="utf-8"):
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


EMORYNLP = (
    "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode",
    "Hi!,\"['Joey Tribbiani']\",Joyful,1,1,1,1",
    "Hey.,\"['Ross Geller', 'Rachel Green']\",Neutral,1,1,1,2",
    "No!,\"['Joey Tribbiani']\",Mad,1,2,1,1",
)
FILES_OF_TEXTS = {  # case I: what people have, and what is read of it: (text, dialogue, speaker)
    "text-alone": ("t.csv", ("text", "Hi!", "No!"), [("Hi!", "row1", "Speaker"), ("No!", "row2", "Speaker")]),
    "emorynlp": ("e.csv", EMORYNLP, [
        ("Hi!", "s01e01sc01", "Joey Tribbiani"), ("Hey.", "s01e02sc01", "Ross Geller and Rachel Green"),
        ("No!", "s01e01sc01", "Joey Tribbiani"),
    ]),
    "ravdess": ("metadata.csv", (
        "file,actor,gender,emotion,statement,text", "Actor_01/03-01-05-01-01-01-01.wav,1,male,angry,1,Kids are talking",
    ), [("Kids are talking", "03-01-05-01-01-01-01", "1")]),
    "semicolons": ("s.csv", ("\ufeffSatz;Emotion", "Grüß Gott;joy", ";;"), [("Grüß Gott", "row1", "Speaker")]),
    "tabs-and-ids": ("s.TSV", ("id\tsentence", "a7\tHi!"), [("Hi!", "a7", "Speaker")]),
    "json-of-others": ("j.jsonl", ('{"utterance": "Hi!", "conv_id": 7, "speaker": null}',), [("Hi!", "7", "Speaker")]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES_OF_TEXTS)
def test_files_as_people_have_them(typed, tmp_path, case):
    name, lines, expected = FILES_OF_TEXTS[case]
    code, out, err = typed("--file", table_of(tmp_path / name, *lines), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0, err
    assert [(row["text"], row["dialogue"], row["speaker"]) for row in rows] == expected
    assert err.startswith(f"{name}: text from ")


def test_a_foreign_or_blank_label_costs_only_its_score(typed, tmp_path):
    lines = ("text,label", "Great!,Joy", "No!,happy-ish", "Hm.,", "What?,surprise")
    code, out, err = typed("--file", table_of(tmp_path / "f.csv", *lines))
    assert code == 0 and len(out.splitlines()) == 4
    assert "1 row has a label that the model does not know ('happy-ish'): not scored" in err
    assert "2 labelled utterances: accuracy" in err
    code, _, err = typed("--file", table_of(tmp_path / "f.csv", "text,class", "Hi!,A", "Ho!,B"))
    assert code == 0 and "labelled utterances" not in err


def test_the_advice_for_an_unknown_column_works_as_typed(typed, tmp_path):
    path = table_of(tmp_path / "f.csv", "quoi,qui", "Hi!,Ross")
    _, _, err = typed("--file", path)
    advice = err.split("next: name it: ")[1].strip()
    assert advice == "--set data.columns.text=COLUMN"
    code, out, _ = typed(
        "--file", path, *advice.replace("COLUMN", "quoi").split(), "--set", "data.columns.speaker=qui", "--json"
    )
    assert code == 0 and (json.loads(out)["text"], json.loads(out)["speaker"]) == ("Hi!", "Ross")
    code, _, err = typed("--file", path, "--set", "data.columns.text=quo")
    assert code == 2 and "has no column 'quo'. Did you mean 'quoi'?" in err
    code, _, err = typed("--file", path, "--set", "optim.lr=1")
    assert code == 2 and "expected data.KEY=VALUE" in err
    cyrillic = table_of(tmp_path / "c.csv", "text", "Привет", encoding="cp1251")
    _, out, _ = typed("--file", cyrillic, "--set", "data.encoding=cp1251", "--json")
    assert json.loads(out)["text"] == "Привет"


@pytest.mark.parametrize(
    ("arguments", "stdin", "wanted"),
    [
        (("--text", ""), b"", "--text: is empty"),
        ((), b"", "input: there is none"),
        ((), b" \n\n", "input: there is none"),
        (("--text", " ", "--text", "\u200b"), b"", "--text: is empty: there is nothing to classify"),
        ((), b"Hi\ncaf\xe9\n", "standard input:2: byte 0xe9 is not UTF-8"),
        (("--text", "Hi", "--file", "f.csv"), b"", "they exclude each other"),
        (("--text", "Hi", "--audio", "a.flac"), b"", "this model has text only"),
        (("--text", "Hi", "--video", "v.mp4"), b"", "this model has text only"),
        (("--file", "nothing.csv"), b"", "nothing.csv: no such file"),
        (("--text", "Hi", "--out", "p.txt"), b"", "allowed: --out F.csv or F.jsonl"),
        (("--text", "Hi", "--backbone", "/nowhere"), b"", "/nowhere"),
    ],
)
def test_bad_input_in_one_message(typed, arguments, stdin, wanted):
    code, out, err = typed(*arguments, stdin=stdin)
    assert code == 2 and out == "" and err.startswith("error: ") and wanted in err and "Traceback" not in err


def test_an_altered_export(typed, export_copy):
    typed.export = export_copy
    (export_copy / "labels.json").write_text("{}")
    code, _, err = typed("--text", "Hi")
    assert code == 2 and "truncated or edited" in err


@pytest.mark.slow
def test_through_the_console_script(exported):
    """Run the console script in a process of its own: piped in, cut off by `head`, without ray, optuna or mlflow."""
    command = [sys.executable, "-X", "importtime", "-m", "mer", "predict", str(exported.folder), "--json"]
    ended = subprocess.run(command, input="Oh my God!\n", capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["label"] in exported.class_names
    imported = {line.split("|")[-1].strip().split(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert "torch" in imported and not imported & {"ray", "optuna", "mlflow"}
