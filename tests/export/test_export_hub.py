"""An export on the model hub and back: what goes there, what comes here, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from export_helpers import Made
from fake_hub import TOKEN, FakeHub, hub

import mer
from mer import console
from mer.checkpoints.export_folder import Export
from mer.checkpoints.hub_export import export_folder
from mer.errors import MerError
from mer.export import app
from mer.files import sha256_file
from mer.study.export.push import push

__all__ = ["hub"]
REPO = "lab/small"
TEXTS = ["Oh my God!", "Leave me alone."]


@pytest.fixture
def pushed(hub: FakeHub, exported: Export) -> str:
    return push(exported.folder, REPO).commit


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_what_was_pushed_predicts_the_same_from_its_name(
    pushed: str, exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours, theirs = (mer.load(place).predict(TEXTS) for place in (exported.folder, REPO))
    assert [one.probabilities for one in theirs] == [one.probabilities for one in ours]
    folder = export_folder(f"{REPO}@{pushed}")
    assert folder == tmp_path / "hf/mer/lab--small" / pushed
    assert not [path for path in folder.rglob("*") if path.is_symlink()] and not (folder / ".cache").exists()
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".md", ".csv", ".svg"}


def test_places_of_this_machine_stay_here(hub: FakeHub, pushed: str, small_study: Made, exported: Export) -> None:
    sent = hub.models[REPO][-1][1]
    for name in ("README.md", "config.json", "provenance.json", "MANIFEST.json", "labels.json"):
        assert str(small_study.place).encode() not in sent[name] and b"/tmp/" not in sent[name], name
    assert str(small_study.place) in (exported.folder / "config.json").read_text(), (
        "the export here still finds its data"
    )
    assert json.loads(sent["config.json"])["data"]["root"] == "corpus"
    assert sent["model.safetensors"] == (exported.folder / "model.safetensors").read_bytes()
    assert f'mer.load("{REPO}")' in sent["README.md"].decode()
    assert not any(TOKEN.encode() in content for content in sent.values())


def test_a_revision_pins_what_is_loaded(hub: FakeHub, pushed: str, exported: Export) -> None:
    later = {**hub.models[REPO][0][1], "labels.json": b"{}"}
    hub.commit(REPO, later)
    assert mer.load(REPO, revision=pushed).export.class_names == exported.class_names
    with pytest.raises(MerError, match=r"^lab/small@\w{40}: labels.json: truncated or edited since .*") as refused:
        mer.load(REPO)
    assert "/hf/" not in refused.value.message
    with pytest.raises(MerError, match="revision 'v1' given too"):
        mer.load(f"{REPO}@main", revision="v1")
    with pytest.raises(MerError, match="only with ORG/NAME of the hub"):
        mer.load(exported.folder, revision="v1")


def test_a_second_load_downloads_nothing_and_works_offline(
    hub: FakeHub, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_folder(REPO)
    hub.asked.clear()
    first = export_folder(REPO)
    assert not any("/resolve/" in asked for asked in hub.asked)
    hub.asked.clear()
    assert export_folder(f"{REPO}@{pushed}") == first and hub.asked == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert export_folder(REPO) == first and hub.asked == []


@pytest.mark.parametrize("name", ["evil.bin", "code.py", "model.pkl"])
def test_other_kinds_of_files_are_not_downloaded(hub: FakeHub, pushed: str, name: str) -> None:
    files = dict(hub.models[REPO][0][1])
    manifest = json.loads(files["MANIFEST.json"])
    manifest["sha256"][name] = "0" * 64
    commit = hub.commit(REPO, {"MANIFEST.json": json.dumps(manifest).encode(), name: b"x"})
    hub.asked.clear()
    with pytest.raises(MerError, match=rf"^lab/small@{commit}: it holds {name}, which is not downloaded"):
        export_folder(REPO)
    assert {asked.split("/")[-1] for asked in hub.asked if "/resolve/" in asked} == {"MANIFEST.json"}


def test_what_leads_out_of_the_folder_is_not_downloaded(hub: FakeHub, pushed: str, tmp_path: Path) -> None:
    manifest = json.loads(hub.models[REPO][0][1]["MANIFEST.json"])
    manifest["sha256"]["../../out.json"] = "0" * 64
    hub.commit(REPO, {"MANIFEST.json": json.dumps(manifest).encode()})
    with pytest.raises(MerError, match=r"names '\.\./\.\./out\.json'"):
        export_folder(REPO)
    assert not list(tmp_path.rglob("out.json")) and not list((tmp_path / "hf/mer/lab--small").glob("*.tmp"))


def test_a_name_that_nobody_has_is_one_message(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MerError) as refused:
        mer.load("lab/nothing")
    assert refused.value.where == "lab/nothing"
    assert refused.value.found.startswith("no such folder here, and it cannot be had from the model hub: http://127")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MerError, match="HF_HUB_OFFLINE is set, so the hub was not asked"):
        mer.load("lab/nothing")
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MerError, match="no such folder"):
        mer.load("lab/nothing")  # a mistyped folder is never asked for elsewhere


# ---- the command


def typed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = 0
    try:
        console.run(lambda: app(list(map(str, words)), standalone_mode=True))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


def test_the_command_pushes_an_export_that_is_there(
    hub: FakeHub, export_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(export_copy)
    code, said = typed(capsys, export_copy, "--push", REPO, "--private")
    assert code == 0, said
    sha = hub.models[REPO][-1][0]
    assert said.splitlines()[0] == (
        f"pushed {export_copy} to {hub.url}/{REPO} (commit {sha[:12]}), without places of this machine"
    )
    assert f"mer.load('{REPO}', revision='{sha}')" in said and TOKEN not in said
    assert hub.private == {REPO} and files(export_copy) == before


@pytest.mark.parametrize(
    ("repo", "words"),
    [
        ("small", "error: --push small: is no name of a model\n  allowed: ORG/NAME"),
        ("a/b/c", "error: --push a/b/c: is no name of a model\n  allowed: ORG/NAME"),
        ("../x", "error: --push ../x: is no name of a model\n  allowed: ORG/NAME"),
    ],
)
def test_a_name_must_be_one(repo: str, words: str, export_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = typed(capsys, export_copy, "--push", repo)
    assert code == 2 and said.startswith(words)


def test_no_token_and_no_hub_are_one_message_each(
    hub: FakeHub, export_copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, said = typed(capsys, export_copy, "--push", REPO)
    assert (code, said) == (
        2,
        "error: --push lab/small: HF_HUB_OFFLINE is set, so the hub was not asked\n"
        "  next: push when the hub can be reached: the export is whole without it\n",
    )
    monkeypatch.delenv("HF_TOKEN")
    code, said = typed(capsys, export_copy, "--push", REPO)
    assert code == 2 and said.startswith("error: --push lab/small: no token of the hub is known")
    assert hub.asked == []


def test_a_refusal_that_repeats_the_token_does_not_print_it(
    hub: FakeHub, export_copy: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.refusal = f"the token {TOKEN} may not write here"
    code, said = typed(capsys, export_copy, "--push", REPO)
    assert code == 2 and "may not write here" in said and TOKEN not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == []


def test_an_altered_export_is_not_pushed(hub: FakeHub, export_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(export_copy / "labels.json", export_copy / "config.json")
    code, said = typed(capsys, export_copy, "--push", REPO)
    assert code == 2 and "truncated or edited" in said and REPO not in hub.models
    assert sha256_file(export_copy / "config.json") == sha256_file(export_copy / "labels.json")
