"""The share of clips that may be unreadable: in the YAML, on the command line, not a part of a study's identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.errors import MerError
from mer.study.space.load import load_spec

SPACE = "study: s\ntrainable: audio\nfixed: {data.dataset: meld, encoders.audio.backbone: melstats}\nparams: {}\n"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(SPACE)
    return path


@pytest.mark.parametrize("written", ["5%", "0.05", '"5 %"'])
def test_a_share_in_the_yaml(space: Path, written: str) -> None:
    space.write_text(SPACE + f"max_failed: {written}\n", encoding="utf-8")
    assert load_spec(space).max_failed == pytest.approx(0.05)


def test_the_command_line_wins_and_identity_stays(space: Path) -> None:
    plain = load_spec(space)
    assert plain.max_failed is None
    stricter = load_spec(space, ("max_failed=20%",), {"max_failed": "5%"})
    assert stricter.max_failed == pytest.approx(0.05) and stricter.fingerprint == plain.fingerprint


@pytest.mark.parametrize("said", ["five", "5", "-1%", "true"])
def test_what_is_no_share_is_refused_where_it_stands(space: Path, said: str) -> None:
    with pytest.raises(MerError, match=r"max_failed.*a share") as caught:
        load_spec(space, (f"max_failed={said}",))
    assert caught.value.message.startswith("--set max_failed=")
    with pytest.raises(MerError, match=r"^--max-failed "):
        load_spec(space, (), {"max_failed": said})
