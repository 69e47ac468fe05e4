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
    assert "x" * 77 + "..." in second and "x" * 78 not in second
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
    "columns": ("f.csv", b"text\nHi\n", "missing columns Utterance, Speaker, Dialogue_ID, Utterance_ID"),
    "latin": ("f.csv", HEADER + b"0,0,A,caf\xe9\xe8,joy\n", "f.csv:2: byte 0xe9 is not UTF-8"),
    "label": ("f.csv", HEADER + b"0,0,A,Hi,happy\n", "f.csv:2: Emotion is 'happy'"),
    "number": ("f.csv", HEADER + b"x,0,A,Hi,joy\n", "Dialogue_ID is 'x'"),
    "twice": ("f.csv", HEADER + b"0,0,A,Hi,joy\n0,0,A,Ho,joy\n", "is there twice"),
    "no-rows": ("f.csv", HEADER, "a header and no rows"),
    "json": ("f.jsonl", b"{\n", "f.jsonl:1: not JSON"),
    "json-text": ("f.jsonl", b'{"speaker": "A"}\n[]\n', 'f.jsonl:1: no "text" in it'),
    "json-empty": ("f.jsonl", b'{"text": " "}\n', "f.jsonl: is empty: there is nothing to classify"),
    "json-type": ("f.jsonl", b'{"text": "a", "speaker": []}\n', "speaker is []"),
    "json-none": ("f.jsonl", b"\n", "no utterance in it"),
    "json-latin": ("f.jsonl", b'{"text": "caf\xe9"}\n', "f.jsonl:1: byte 0xe9 is not UTF-8"),
    "suffix": ("f.txt", b"Hi\n", "unknown format '.txt'"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_in_one_message(typed, tmp_path, case):
    name, content, wanted = FILES[case]
    code, out, err = typed("--file", bad(tmp_path, name, content))
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("error: ") == 1
    assert wanted in err and "Traceback" not in err


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
