"""Tables as spreadsheets, pandas and people write them (cases H and T, and the garbage of kind V)."""

from __future__ import annotations

import csv
import json

import pytest

from mer.config import DataConfig
from mer.data import open_corpus
from mer.data.tables import read_table
from mer.data.tables.row import names_in, whole_number
from mer.data.tables.times import seconds
from mer.errors import MerError

ROWS = "text,label\nÄrger überall,wütend\nwie schön,froh\n"


def table_of(tmp_path, content, name="f.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, "mend it", **options)


def refused(tmp_path, content, name="f.csv", **options) -> str:
    with pytest.raises(MerError) as caught:
        table_of(tmp_path, content, name, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("cp1252", ("cp1252",)),
        ("utf-16", ("UTF-16",)),
        ("utf-16-le", ("UTF-16",)),
        ("utf-16-be", ("UTF-16",)),
        ("utf-32", ("UTF-32",)),
    ],
)
def test_the_encoding_is_found_out_and_said(tmp_path, encoding, said):
    table = table_of(tmp_path, ROWS.encode(encoding))
    assert [row.cells for row in table.rows] == [
        {"text": "Ärger überall", "label": "wütend"},
        {"text": "wie schön", "label": "froh"},
    ]
    assert table.unusual == said


@pytest.mark.parametrize(
    ("content", "encoding"), [("text,label\n我很开心,开心\n", "gb18030"), ("text,label\nя рад,радость\n", "cp1251")]
)
def test_another_encoding_is_named_not_guessed(tmp_path, content, encoding):
    written = content.encode(encoding)
    assert "is not UTF-8" in refused(tmp_path, written) and "data.encoding" in refused(tmp_path, written)
    assert table_of(tmp_path, written, encoding=encoding).rows[0].cells["label"] in content


def test_an_encoding_that_is_none_and_one_bad_byte(tmp_path):
    assert "'utf-9' is no encoding" in refused(tmp_path, "a,b\n1,2\n", encoding="utf-9")
    mixed = "text,label\nschön und größer,froh\n".encode() + b"sch\xf6n,froh\n"
    assert "f.csv:3: byte 0xf6 is not UTF-8" in refused(tmp_path, mixed)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_blank_rows_and_cells_beyond(tmp_path, separator):
    rows = ['"text, quoted; here"', "label"], ["a; b, c\td|e", "joy"], ["", ""], [" ", " "], ["x", "sad", "", ""]
    text = "\ufeff" + "".join(
        separator.join(f'"{c}"' if c and c[0] != '"' else c for c in row) + "\r\n" for row in rows
    )
    table = table_of(tmp_path, text)
    assert table.columns == ("text, quoted; here", "label") and len(table.rows) == 2
    assert [row.line for row in table.rows] == [2, 5] and "2 rows without a word passed over" in table.unusual


def test_excel_says_its_separator_and_indices_have_no_name(tmp_path):
    table = table_of(tmp_path, "sep=;\r\n;text;label\r\n0;hi, you;joy\r\n")
    assert table.columns == ("text", "label") and table.rows[0].line == 3
    assert table.rows[0].cells == {"text": "hi, you", "label": "joy"}


def test_one_column_and_blank_lines_before_the_header(tmp_path):
    assert table_of(tmp_path, "\n\ntext\nhello\n").rows[0].cells == {"text": "hello"}


@pytest.mark.parametrize(
    "header", ["text,Utterance,label,Utterance", "a;b;a", '{"a": 1, "a": 2}'], ids=["commas", "semicolons", "json"]
)
def test_a_repeated_header_is_refused(tmp_path, header):
    name = "f.jsonl" if header.startswith("{") else "f.csv"
    assert "is there twice" in refused(tmp_path, f"{header}\n1,2,3,4\n" if name == "f.csv" else f"{header}\n", name)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (json.dumps({"text": "a" * 200_000}), "text has 200000 characters"),
        ('{"text": "\\ud800"}', "a lone surrogate"),
        ('{"text": "a\\udfffb"}', "a lone surrogate"),
        ('{"text": ' + "[" * 20_000, "nested without end"),
        ('["text"]', "not an object"),
        ("text", "not JSON"),
    ],
)
def test_garbage_in_json_lines_is_one_message(tmp_path, content, found):
    assert found in refused(tmp_path, content + "\n", "f.JSONL")


def test_a_quote_that_swallows_the_file_is_one_message(tmp_path):
    text = 'text,label\n"' + "a\n" * (csv.field_size_limit() // 2 + 1) + '",joy\n'
    assert "is a quote not closed?" in refused(tmp_path, text)


def test_json_lines_are_rows(tmp_path):
    lines = '{"text": "hi", "n": 3, "ok": true, "who": ["A", "B"]}\n\n{"label": "joy", "text": null, "x": {"y": 1}}\n'
    first, second = table_of(tmp_path, lines, "f.jsonl").rows
    assert first.cells == {"text": "hi", "n": "3", "ok": "true", "who": "['A', 'B']", "label": "", "x": ""}
    assert second.cells["label"] == "joy" and second.line == 3


@pytest.mark.parametrize(
    ("cell", "number"),
    [("7", 7), (" 007 ", 7), ("0.0", 0), ("12,00", 12), ("1.5", None), ("-1", None), ("", None), ("9" * 5000, None)],
)
def test_whole_numbers_as_spreadsheets_write_them(cell, number):
    assert whole_number(cell) == number


@pytest.mark.parametrize(
    ("cell", "expected"), [("407,28", 407.28), ("3.5", 3.5), ("12", 12.0), ("06:47,5", 407.5), ("1.2.3", None)]
)
def test_times_with_a_decimal_comma(cell, expected):
    assert seconds(cell) == expected


def test_names_in_a_list():
    assert names_in("['Joey', \"Ross' Mom\"]") == ["Joey", "Ross' Mom"]
    assert names_in("Joey") is None and names_in("[1]") is None and names_in("[" * 5000) is None


@pytest.mark.parametrize("name", ["données", "数据 с пробелом", "a'b"])
def test_the_same_in_any_folder_and_any_ending(tmp_path, name):
    for ending, separator in ((".csv", ","), (".CSV", ";"), (".Tsv", "\t")):
        file = tmp_path / name / f"échantillon{ending}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(ROWS.replace(",", separator), encoding="utf-16")
        corpus = open_corpus(DataConfig(dataset="csv", root=str(file)), ["train"])
        assert corpus.label_names["emotion"] == ("froh", "wütend")
