"""Utterances that a person hands in for prediction.

table  a CSV, TSV or JSON lines file: texts, paths of clips or both, with labels or without
typed  texts, clips and features named one by one
"""

from mer.data.inputs.table import from_table
from mer.data.inputs.typed import Inputs, absent_texts, decode, from_names, from_texts

__all__ = ["Inputs", "absent_texts", "decode", "from_names", "from_table", "from_texts"]
