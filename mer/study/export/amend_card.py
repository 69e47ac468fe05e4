"""Test scores of an evaluation, added to the export that was evaluated: `evaluation.json`, and its card anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mer.checkpoints.export_folder import Export
from mer.checkpoints.export_writing import amend_export
from mer.errors import MerError
from mer.study.export.card_on_test import EVALUATION, on_test
from mer.study.export.facts_again import facts_of
from mer.study.export.model_card import model_card


def show_on_card(export: Export, results: Mapping[str, Any]) -> str:
    """Write what an evaluation found into the export. Its weights and configuration stay as they are.

    Args: results: as `results.json` of the evaluation has them.
    Returns: a line for the user; a failure is a note, since the evaluation itself is whole.
    """
    scores = on_test(results)
    try:
        facts = replace(facts_of(export), on_test=scores)
        amend_export(
            export.folder, {EVALUATION: scores.model_dump_json(indent=2) + "\n", "README.md": model_card(facts)}
        )
    except (MerError, OSError, LookupError) as fault:
        words = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        return f"note: {export.folder} does not show these scores: {words}"
    return f"model card:      {export.folder / 'README.md'} shows them, with seeds"
