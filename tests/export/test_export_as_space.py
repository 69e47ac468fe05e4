"""`mer.export --as-space`: the search space whose only point is a trial's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from export_helpers import ANCHOR, HEAD, Made
from open_study import begin_study

from mer import console
from mer.export import app
from mer.study.folder.recorded import read_config
from mer.study.preflight.check_plan import reachable_configs
from mer.study.space.load import load_spec


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = 0
    try:
        console.run(lambda: app(list(map(str, words)), standalone_mode=True))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("number", [HEAD, ANCHOR])
def test_its_only_point_is_the_configuration_of_the_trial(
    small_study: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    file = tmp_path / "again.yaml"
    code, said = typed(capsys, small_study.folder, "--as-space", "--trial", number, "--out", file)
    assert (code, said) == (0, f"written: {file}; run it: python -m mer.tune {file}\n")
    spec = load_spec(file)
    assert len(spec.points) == 1 and spec.budget.trials == 1 and spec.study == f"small-{number:05d}"
    wanted = small_study.spec.trial_config(small_study.record().find(number).params)
    assert spec.trial_config(spec.points[0]) == wanted
    assert read_config(small_study.record().trial_folder(number)) == wanted


def test_the_trial_trains_again_to_the_same_number(
    small_study: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `mer.tune` does it: the file is read, and its first trial trained."""
    code, text = typed(capsys, small_study.folder, "--as-space", "--trial", ANCHOR)
    assert code == 0 and text.splitlines()[0].startswith("# Trial 2 of small (finished, dev_weighted_f1 ")
    assert yaml.safe_load(text)["params"]["optim.head_lr"] == {"choice": [4e-3]}
    again = begin_study(text, tmp_path, small_study.cache).train_next()
    assert again.history[-1]["epoch"] == 3
    first = small_study.runs[ANCHOR]
    for now, then in zip(again.history, first.history, strict=True):
        assert {k: v for k, v in now.items() if k.startswith("dev_")} == {
            k: v for k, v in then.items() if k.startswith("dev_")
        }


def test_the_best_is_taken_where_no_trial_is_named(small_study: Made, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = typed(capsys, small_study.folder, "--as-space")
    assert code == 0 and yaml.safe_load(text)["study"] == f"small-{small_study.record().ranked[0].number:05d}"


def test_an_editor_finds_the_schema(
    small_study: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces/schema.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    typed(capsys, small_study.folder, "--as-space", "--out", "spaces/a.yaml")
    assert (
        Path("spaces/a.yaml")
        .read_text(encoding="utf-8")
        .startswith("# yaml-language-server: $schema=../search_spaces/schema.json\n# Trial ")
    )


def test_what_cannot_be_is_one_message(small_study: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, small_study.folder, "--as-space", "--out", tmp_path / "folder")
    assert code == 2 and "is no name of a search space" in said
    (tmp_path / "a.yaml").write_text("mine")
    code, said = typed(capsys, small_study.folder, "--as-space", "--out", tmp_path / "a.yaml")
    assert code == 2 and "is there already" in said and (tmp_path / "a.yaml").read_text() == "mine"
    code, said = typed(capsys, small_study.folder, "--as-space", "--trial", 99)
    assert code == 2 and "there is no trial 99" in said


def test_a_kind_that_is_searched_may_have_its_other_keys_fixed(tmp_path: Path) -> None:
    """As a trial of SPCL is written: no combination of encoder keys alone is a configuration."""
    space = tmp_path / "a.yaml"
    space.write_text(
        "study: a\ntrainable: text\n"
        "fixed: {encoders: {text: {backbone: minilm}}, loss: {contrastive: {pool_size: 64}}}\n"
        "params:\n  loss.contrastive.kind: {choice: [spcl]}\n  loss.contrastive.support_size: {choice: [8]}\n"
    )
    (config,) = reachable_configs(load_spec(space))
    assert config.loss.contrastive.kind == "spcl"
