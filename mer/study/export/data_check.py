"""What a check says of the data that a model was trained on, for its provenance and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mer.config import DataConfig
from mer.data.check.checked import FORMAT, MADE_BY, as_json, check_rows
from mer.data.folds import POOL
from mer.data.registry import survey_corpus
from mer.read_files import read_object

CHECK_FILE = "check.json"
_ALL = "python -m mer.data check ROOT --json ROOT/check.json"


def data_check(data: DataConfig) -> dict[str, Any]:
    """Describe the data by a whole check that lies beside them, else by a quick one of train and dev.

    `check.json` in the data's folder is taken where it is of the same train and dev; it may cover test and clips. Else
    labels, texts, speakers and dialogues of train and dev are checked now. Test is never read here; data in
    folds are checked as a whole.

    Returns: as `mer.data.check.checked.as_json`, with "source": where it comes from, in words.
    """
    splits = ("train", "dev") if data.folds is None else (POOL,)
    corpus = survey_corpus(data, splits)
    now, kept = as_json(check_rows(corpus)), _read(corpus.root / CHECK_FILE)
    if kept is None:
        source = f"a quick check at the export; `{_ALL}` before it puts a whole one here"
    elif all(kept["data_sha256"].get(split) == now["data_sha256"][split] for split in splits):
        return {**kept, "source": f"{CHECK_FILE} beside the data, of {kept['created'][:10]}"}
    else:
        source = f"a quick check at the export; {CHECK_FILE} beside the data is of other texts or labels"
    return {**now, "source": source}


def data_lines(check: dict[str, Any] | None) -> list[str]:
    """Write a check as lines of Markdown: counts and hashes, the verdict, every finding.

    Args: check: None for an export that was written before data were checked.
    """
    if check is None:
        return ["* The data were not checked when this export was written."]
    splits = [split for split in (POOL, "train", "dev", "test") if split in check["splits"]]  # JSON sorts them
    counts = ", ".join(f"{split} {check['splits'][split]['utterances']}" for split in splits)
    hashes = ", ".join(f"{split} `{check['data_sha256'][split][:16]}`" for split in splits)
    level = {"wrong": "**Makes results wrong:** ", "note": "", "known": "Known of the published data: "}
    return [
        f"* Utterances: {counts}. SHA-256 of ids, speakers, texts and labels: {hashes}.",
        f"* Verdict of `python -m mer.data check`: {check['verdict']}. Clips were {check['clips_were']}. From "
        f"{check['source']}.",
        *(f"* {level[finding['level']]}{_upper(finding['words'])}." for finding in check["findings"]),
    ]


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _read(file: Path) -> dict[str, Any] | None:
    """Read what a check wrote; None for a file that is missing, or that another program or version wrote."""
    try:
        found = read_object(file)
        if found["format"] != FORMAT or found["made_by"] != MADE_BY:
            return None
        data_lines({**found, "source": found["created"][:10]})  # has all that the card says
        found["data_sha256"].get("train")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return dict(found)
