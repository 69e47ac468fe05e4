"""Every shipped search space with `--sample`, searched to its end in one fresh folder; the link of the chains first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from page_commands import REPOSITORY
from page_door import Door
from page_folder import make_folder, type_page

from mer.study.space.load import load_spec
from mer.study.space.on_sample import sample_name

pytestmark = [pytest.mark.docs, pytest.mark.timeout(1500)]
LINK = "spcl"  # chains read its export
NUMBERS = "ravdess_intensity"  # refused: the sample corpus has classes
IN_TWO_EPOCHS = {  # what a space that wants more epochs than the two of a page is told
    "eacl": " --set loss.contrastive.stage_two_epochs=1 --set training.prediction=nearest_anchor",
}
SPACES = sorted(path.stem for path in (REPOSITORY / "search_spaces").glob("*.yaml"))
Type = Callable[..., Path]


@pytest.fixture(scope="module")
def typed_on_sample(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Type:
    """typed_on_sample("ce") types that space's search, and returns the folder of its study."""
    folder = tmp_path_factory.mktemp("spaces")
    make_folder(folder, door.path)

    def type_lines(*commands: str) -> None:
        page, before = folder / "page.md", len(door.ran)
        page.write_text("".join(f"    {command}\n" for command in commands), encoding="utf-8")
        assert not (ended := type_page(page, folder)).failed, ended.failed
        assert [one.output for one in door.ran[before:] if one.code or "Traceback" in one.output] == []

    def search(name: str) -> Path:
        type_lines(f"python -m mer.tune search_spaces/{name}.yaml --sample{IN_TWO_EPOCHS.get(name, '')}")
        return folder / "studies" / sample_name(load_spec(folder / f"search_spaces/{name}.yaml").study)

    type_lines("python -m mer.data sample datasets/sample")
    made = search(LINK)
    type_lines(f"python -m mer.export studies/{made.name} --out exports/{made.name}")
    return lambda name: made if name == LINK else search(name)


@pytest.mark.parametrize("name", [name for name in SPACES if name != NUMBERS])
def test_a_space_is_searched_to_its_end_on_the_sample_corpus(name: str, typed_on_sample: Type):
    study = typed_on_sample(name)
    told = json.loads((study / "summary.json").read_text(encoding="utf-8"))
    ended = told["trials"].get("finished", 0) + told["trials"].get("stopped early", 0)
    assert told["best"] and ended == 2, told["trials"]
    assert (study / "report.html").exists() and (study / "history.svg").exists()
