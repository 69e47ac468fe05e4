"""How the files of published corpora lie in their folders, and how they become rows of one table.

    layout       what every layout can do, and what they share
    tables       CSV files of fixed names: one for all rows, or one for each split
    file_names   clips whose names say everything
    lines        text files with a line for each utterance
    tree         a JSON file of nested objects
    turns        a text file with a dialogue in each line, and a file of its labels

A layout knows no columns and no labels: a description (`mer.data.readers.description`) says what they mean.
"""

from mer.data.readers.layouts.file_names import FileNames
from mer.data.readers.layouts.layout import Layout
from mer.data.readers.layouts.lines import Lines
from mer.data.readers.layouts.tables import OneTable, Part, PartTables
from mer.data.readers.layouts.tree import Tree
from mer.data.readers.layouts.turns import Turns

__all__ = ["FileNames", "Layout", "Lines", "OneTable", "Part", "PartTables", "Tree", "Turns"]
