"""The site of docs/: it builds without a broken link, its references are what the code says, and the FAQ quotes."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from built_site import REPOSITORY, build_site

from mer.cli import COMMANDS
from mer.study.space.keys import known_keys

DOCS = REPOSITORY / "docs"


@pytest.fixture(scope="module")
def pages() -> Any:
    """docs/site_pages.py, as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("site_pages", DOCS / "site_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_key(pages: Any):
    named = set(re.findall(r"^\| `([\w.]+)`", pages.keys_page(), re.MULTILINE))
    lacking = {key for key in known_keys() - named if not key.endswith(".kind")}
    assert lacking == set()
    assert {"budget.trials", "resources.pack", "sampler.kind"} <= named  # keys of the file itself


def test_the_reference_has_every_command_and_its_options(pages: Any):
    text = pages.commands_page()
    assert [name for name in COMMANDS if f"\n## mer {name}\n" not in text] == []
    for option in ("`--dry-run`", "`--explain`", "`--optuna`", "`--push`", "### mer data sample", "### mer study sync"):
        assert option in text, option


def test_bounds_in_the_reference_are_read_as_typed(pages: Any):
    assert "\\<" not in pages.keys_page() and "&lt;= " in pages.keys_page()


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r"[\w/-]+\.md", (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")))
    lie = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert lie - named == set()


def test_links_from_page_to_page_lead_somewhere():
    broken = []
    for page in [REPOSITORY / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            made = target.endswith(("reference/keys.md", "reference/commands.md"))
            if not made and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_faq_quotes_messages_that_there_are():
    headings = re.findall(r'^## "([^"]+)"', (DOCS / "faq.md").read_text(encoding="utf-8"), re.MULTILINE)
    code = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "mer").rglob("*.py"))
    assert len(headings) > 8
    assert [words for words in headings if words not in code] == []


def test_the_how_to_pages_name_files_that_there_are():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "howto").glob("*.md"))
    named = set(re.findall(r"`((?:mer|tests|search_spaces)/[\w/.]+)`", text)) - {"search_spaces/mine.yaml"}
    assert len(named) > 20
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(tmp_path: Path):
    ended = build_site(REPOSITORY, tmp_path / "site")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    first = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<(?:script|link)[^>]+(?:src|href)="https?:', first) == []  # nothing from other machines


@pytest.mark.slow
def test_a_broken_link_ends_thebuild_site(tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(DOCS, copy / "docs")
    for name in ("mkdocs.yml", "README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(REPOSITORY / name, copy / name)
    page = copy / "docs" / "faq.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n[x](concepts.md#nowhere) [y](nothing.md)\n", encoding="utf-8")
    ended = build_site(copy, tmp_path / "site")
    assert ended.returncode == 1
    assert "nothing.md" in ended.stderr and "#nowhere" in ended.stderr


def test_every_key_of_the_file_says_what_it_means(pages: Any):
    of_the_file = pages.keys_page().split("## Keys of a configuration")[0]
    assert re.findall(r"^\| (`[^|]*) \|.*\|  \|$", of_the_file, re.MULTILINE) == []
