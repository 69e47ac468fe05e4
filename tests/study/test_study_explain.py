"""`mer.tune --explain KEY`, key=value without --set, misspelt files, what a refusal costs, completion of the shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mer import console
from mer.cli import COMMANDS
from mer.completion import command_options, script
from mer.errors import MerError
from mer.study.space.explain import explain
from mer.study.space.keys import RESERVED, known_keys
from mer.study.space.load import load_spec
from mer.tune import app

SPACES = Path(__file__).parents[2] / "search_spaces"


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = 0
    try:
        console.run(lambda: app(list(map(str, words)), standalone_mode=True))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


# ---- --explain


def test_a_key_is_explained_with_who_searches_it(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("study: a\nparams: {optim.head_lr: {float: [1e-4, 1e-2], log: true}}\n")
    (tmp_path / "other.yaml").write_text("study: b\nfixed: {optim: {head_lr: 1e-3}}\n")
    (tmp_path / "broken.yaml").write_text("study: [\n")
    assert explain("optim.head_lr", tmp_path).splitlines() == [
        "optim.head_lr",
        "  meaning    learning rate of the head, the fusion and the losses' weights",
        "  allowed    number > 0",
        "  default    0.001",
        "  searched by mine {float: [0.0001, 0.01], log: true}",
        "  fixed in   other",
    ]


def test_a_key_of_several_kinds_is_explained_for_each() -> None:
    said = explain("loss.contrastive.temperature", SPACES)
    assert "divides (1 + cos) / 2, so 0.08 here equals 0.16 for the plain cosine (kind spcl)" in said
    assert "default    0.1 (kind eacl)" in said and "only with  loss.contrastive.kind: supcon, spcl" in said
    said = explain("loss.contrastive.kind", SPACES)
    assert "allowed    none | apcl | eacl | spcl | supcon" in said and "fixed in   apcl, eacl, spcl, supcon" in said


def test_parts_of_the_file_groups_and_reserved_keys_are_explained() -> None:
    assert "allowed    whole number >= 1" in explain("budget.trials")
    assert explain("loss.contrastive").startswith("loss.contrastive is a group of ")
    assert "set by     budget.epochs: write that instead" in explain("training.epochs")
    assert "allowed    tpe | gp | cmaes | random | grid | qmc" in explain("sampler.kind")
    assert "allowed    last | all or list of whole number" in explain("encoders.text.layers")


@pytest.mark.parametrize(("key", "meant"), [("head_lr", "optim.head_lr"), ("optim.hed_lr", "optim.head_lr")])
def test_an_unknown_key_is_one_message(key: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, "--explain", key)
    assert code == 2 and said.startswith(f"error: --explain {key}: unknown key. Did you mean {meant!r}?\n")


def test_every_key_can_be_explained() -> None:
    for key in sorted(known_keys() | set(RESERVED)):
        assert explain(key, Path("nowhere")).startswith(key)


# ---- key=value


def test_pairs_without_set_are_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, SPACES / "quickstart.yaml", "optim.hed_lr=1")
    assert code == 2 and "optim.hed_lr: unknown key. Did you mean 'optim.head_lr'?" in said
    code, said = typed(capsys, SPACES / "quickstart.yaml", "extra")
    assert code == 2 and "expected key=value" in said


# ---- files


@pytest.mark.parametrize("name", ["search_spaces/spclx.yaml", "spcl", "spcl.yml", "search_space/spcl.yaml"])
def test_a_misspelt_file_is_asked_about(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SPACES.parent)
    with pytest.raises(MerError, match=r"no such file\. Did you mean 'search_spaces/spcl\.yaml'\?"):
        load_spec(Path(name))


def test_every_space_names_its_schema() -> None:
    for path in SPACES.glob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n"), path


HEAVY = {"torch", "ray", "optuna", "mlflow", "transformers", "peft", "sklearn", "scipy", "pandas", "av", "cv2"}
LOADED = """
import sys
sys.argv = ["mer.tune", *sys.argv[1:]]
from mer.tune import main
try:
    main()
finally:
    print("LOADED", *{name.split(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize(
    "words", [["search_spaces/nothing.yaml"], ["search_spaces/spcl.yaml", "optim.hed_lr=1"], ["--explain", "nothing"]]
)
def test_a_refusal_waits_for_no_heavy_library(words: list[str]) -> None:
    """A second at most, which is seconds of imports; on a busy machine the clock says nothing, so they are counted."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        cwd=SPACES.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2 and ended.stderr.startswith("error: "), ended.stderr
    loaded = set(ended.stdout.split("LOADED")[1].split())
    assert "mer" in loaded and loaded & HEAVY == set()


# ---- completion


def test_completion_knows_every_command_and_its_options() -> None:
    options = command_options()
    assert options.keys() == COMMANDS.keys()
    assert {"--resume", "--explain", "--help"} <= set(options["tune"]) and "check" in options["data"]


def test_bash_completes_commands_options_keys_and_files(tmp_path: Path) -> None:
    (tmp_path / "mer.sh").write_text(script("bash"))
    (tmp_path / "mine.yaml").touch()

    def complete(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        ask = (
            f'. ./mer.sh; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mer; printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        ended = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
        return ended.stdout.split()

    assert complete("mer", "tu") == ["tune"]
    assert complete("mer", "tune", "--retry") == ["--retry-failed"]
    assert complete("mer", "tune", "--explain", "optim.head") == ["optim.head_lr"]
    assert complete("mer", "tune", "mi") == ["mine.yaml"]


def test_the_other_shells_have_one_too() -> None:
    assert script("zsh").startswith("autoload -U +X bashcompinit && bashcompinit\n")
    assert "complete -c mer -n '__fish_seen_subcommand_from tune' -l resume\n" in script("fish")
    with pytest.raises(MerError, match=r"'bsh' is not known\. Did you mean 'bash'"):
        script("bsh")
