"""A dry run keeps its word: what a study refuses before its first trial, its dry run refuses in the same words."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from preflight_cases import REFUSED, Place, backbone, own_data, place
from rich.console import Console
from study_helpers import write_space

from mer.study.folder.lock import study_lock
from mer.study.preflight.dry_run import dry_run
from mer.study.runner import run_study
from mer.study.space.load import load_spec

__all__ = ["backbone", "place"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.__name__)
def test_the_dry_run_refuses_what_the_study_refuses(place: Place, case: Callable[[Place], str]) -> None:
    words = case(place)
    rehearsed = place.typed(dry_run)
    assert words in rehearsed, rehearsed
    assert rehearsed == place.typed(run_study)


def test_a_dry_run_leaves_no_splits_and_says_which_settings_have_nothing_to_read(place: Place) -> None:
    own_data(place, "text,label", *(f"t{n},{'ab'[n % 2]}" for n in range(20)))
    place.overrides.append("encoders.text.context.past=2")
    path, out = write_space(place.folder, text=place.text), io.StringIO()
    before = place.files()
    dry_run(load_spec(path, tuple(place.overrides)), place.options, Console(file=out, width=300))
    assert place.files() == before
    assert "data: splits by row: train 14, dev 4, test 2 rows, to be kept in own.splits.json" in out.getvalue()
    assert "no dialogues: a text encoder finds no other turns" in out.getvalue()
    assert "--set encoders.text.context.past=0 saves time" in out.getvalue()


def test_a_tracking_server_that_is_not_there_is_named_by_both(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    words = place.typed(dry_run)
    assert words.startswith("MLFLOW_TRACKING_URI: nobody answers at http://127.0.0.1:9: Connection refused")
    assert words == place.typed(run_study)


def test_a_live_driver_is_named_by_both(place: Place) -> None:
    with study_lock(place.options.studies, "small"):
        words = place.typed(dry_run)
        assert "a live driver works on this study: pid " in words and words == place.typed(run_study)
    assert not place.options.studies.exists()


def test_a_study_that_cannot_begin_keeps_the_studies_of_others(tmp_path: Path) -> None:
    (tmp_path / "studies/other").mkdir(parents=True)
    with study_lock(tmp_path / "studies", "small"):
        pass
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["other"]


def test_a_dry_run_says_what_is_not_read(place: Place) -> None:
    table = place.corpus / "train_sent_emo.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Line", "我今天很开心"), encoding="utf-8")
    out = io.StringIO()
    path = write_space(place.folder, text=place.text)
    dry_run(load_spec(path, tuple(place.overrides)), place.options, Console(file=out, width=300))
    assert "of tokens are unknown: backbone 'minilm' does not read Chinese; use " in out.getvalue()
