"""README and the other pages, typed: each from top to bottom in a fresh folder.

README begins with nothing, the others where the quick start ends. In `make test` README's commands are parsed, their
search spaces loaded with what is set, and their order is looked at (tests/test_readme.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from page_commands import REPOSITORY, commands_of
from page_typist import Page

pytestmark = [pytest.mark.docs, pytest.mark.timeout(1800)]
TYPED_ELSEWHERE = ("README.md", "docs/quick_start.md")


def test_the_readme_works_as_printed(typed: Callable[..., Page]):
    page = typed("README.md")
    ran = [one.program for one in page.ran if one.level == "run"]
    assert ran.count("mer.tune") >= 10 and {"mer.ui", "analysis.report", "mer.extract", "mer.evaluate"} <= set(ran)
    for made in ("studies/distill-meld/report.html", "exports/lora-meld-text/README.md", "exports/mine/README.md"):
        assert (page.folder / made).exists(), made


def _has_commands(page: Path) -> bool:
    try:
        return bool(commands_of(page))
    except AssertionError:  # test_pages_read says what is wrong with it
        return False


PAGES = [
    str(page.relative_to(REPOSITORY))
    for page in [REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    if _has_commands(page)
]


@pytest.mark.parametrize("name", [one for one in PAGES if one not in TYPED_ELSEWHERE], ids=lambda name: Path(name).stem)
def test_a_page_works_as_printed(name: str, typed: Callable[..., Page], request: pytest.FixtureRequest):
    """A page that prepares the sample corpus from raw clips begins with nothing."""
    makes_its_own = "--out datasets/sample" in (REPOSITORY / name).read_text(encoding="utf-8")
    assert typed(name, after=None if makes_its_own else request.getfixturevalue("quick_start")).ran
