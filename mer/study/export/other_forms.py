"""The same model in forms that other programs read, added to an export: an ONNX graph, a folder of transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from mer.checkpoints.export_folder import read_export
from mer.checkpoints.export_writing import amend_export
from mer.study.export.card_facts import FORM_FILES
from mer.study.export.facts_again import facts_of
from mer.study.export.model_card import model_card


def add_forms(folder: Path, forms: Sequence[str]) -> list[str]:
    """Make each form, compare its scores with those of the export, then add all of them, and the card anew.

    Args: forms: of FORM_FILES.
    Returns: lines that say what was added.
    Raises: MerError when the model cannot have a form; then nothing was added.
    """
    export = read_export(folder)
    with tempfile.TemporaryDirectory(prefix="mer-forms-") as name:
        place = Path(name)
        for form in forms:
            if form == "onnx":
                from mer.study.export.onnx_graph import write_onnx

                write_onnx(export, place)
            else:
                from mer.study.export.for_transformers import write_transformers

                write_transformers(export, place)
        files = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
        amended = amend_export(folder, {}, files)
    amend_export(folder, {"README.md": model_card(facts_of(amended))})
    return [f"  {form}: {folder / FORM_FILES[form]}" for form in forms]
