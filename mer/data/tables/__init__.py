"""Text files of rows as people write them: any separator, any usual encoding, a file:line for every complaint.

encodings   bytes to text: UTF-8, UTF-16 or cp1252, or the encoding that the user names
separated   CSV and its like: which character separates, what a header may be
json_lines  one JSON object a line
row         a row and its cells: text, whole numbers, labels, names
times       seconds, from clocks and from numbers
table       a whole file: Table, read_table, read_rows
"""

from mer.data.tables.row import Row, parse_rows, raise_faults
from mer.data.tables.table import ENDINGS, Table, read_rows, read_table, refuse_other_kind

__all__ = ["ENDINGS", "Row", "Table", "parse_rows", "raise_faults", "read_rows", "read_table", "refuse_other_kind"]
