"""An export on the model hub: one commit with its files, without places of this machine.

The token is the one that huggingface_hub knows (HF_TOKEN, or `hf auth login`). It is handed to that library alone.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mer.checkpoints.export_folder import Export, read_export
from mer.checkpoints.export_manifest import MANIFEST, read_manifest
from mer.checkpoints.export_writing import copy_export
from mer.config import is_given
from mer.errors import MerError
from mer.model_hub import answer_of, is_hub_id, refusals, why_not_asked
from mer.places import home, shown_place
from mer.study.export.facts_again import facts_of
from mer.study.export.machine_paths import json_without_places
from mer.study.export.model_card import model_card


@dataclass(frozen=True)
class Pushed:
    """An export on the hub.

    Args:
        repo: ORG/NAME.
        commit: which pins it.
        url: page of the model.
        notes: what its users will lack.
    """

    repo: str
    commit: str
    url: str
    notes: tuple[str, ...]


def require_hub(repo: str) -> None:
    """Refuse a push that cannot work, before anything is made for it. Raises: MerError."""
    from huggingface_hub import get_token

    if not is_hub_id(repo):
        raise MerError(f"--push {repo}", "is no name of a model", allowed="ORG/NAME, e.g. --push mylab/spcl-meld-text")
    if get_token() is None:
        raise MerError(
            f"--push {repo}",
            "no token of the hub is known, so nothing can be written there",
            allowed="HF_TOKEN in the environment, or a login that huggingface_hub keeps",
            then="log in once: hf auth login",
        )
    if reason := why_not_asked():
        then = "push when the hub can be reached: the export is whole without it"
        raise MerError(f"--push {repo}", reason, then=then)


def push(folder: Path, repo: str, *, private: bool = False) -> Pushed:
    """Copy an export without places of this machine, and put the copy on the hub in one commit.

    Args:
        repo: ORG/NAME; made if it is not there.
        private: of a model that is made now.
    Raises: MerError when the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants

    require_hub(repo)
    export = read_export(folder)
    with tempfile.TemporaryDirectory(prefix="mer-push-") as place:
        copy = shareable(export, repo, Path(place) / folder.resolve().name)
        files = [*read_manifest(copy.folder), MANIFEST]
        adds = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=copy.folder / name) for name in files]
        message = f"{export.provenance['study']}, trial {export.provenance['trial']}"
        try:
            api = HfApi()
            api.create_repo(repo, private=private or None, exist_ok=True)
            done = api.create_commit(repo, adds, commit_message=message)
        except refusals(ValueError) as fault:  # ValueError: a card whose front matter it does not take
            raise MerError(
                f"--push {repo}",
                answer_of(fault),
                then="check the name, and that the token may write there; the export itself is whole",
            ) from None
    return Pushed(repo, done.oid, f"{constants.ENDPOINT}/{repo}", tuple(_notes(export)))


def shareable(export: Export, repo: str, to: Path) -> Export:
    """Copy an export to a new folder; card, configuration and provenance say nothing of where things lie here."""
    config = json.loads((export.folder / "config.json").read_text(encoding="utf-8"))
    documents = {
        "config.json": json_without_places(config),
        "provenance.json": json_without_places(export.provenance),
    }
    words = {name: json.dumps(said, indent=2, ensure_ascii=False, sort_keys=True) for name, said in documents.items()}
    facts = facts_of(export, place=Path(shown_place(to.name)), hub=repo)
    return copy_export(export.folder, to, {**{k: f"{v}\n" for k, v in words.items()}, "README.md": model_card(facts)})


def _notes(export: Export) -> list[str]:
    """Say what whoever loads the model needs besides."""
    if export.backbone_folder is not None:
        return []
    told = [
        f"its {modality} encoder is {encoder.backbone}, features that others extracted: the model can be "
        "looked at, and scored on utterances whose features whoever loads it has"
        for modality, encoder in export.config.encoders.present.items()
        if is_given(encoder)
    ]
    return told + [
        f"its {modality} encoder is the folder {encoder.backbone} of this machine: others need it too, and say "
        "where it is, mer.load(..., backbone=FOLDER); --bundle puts it into the export"
        for modality, encoder in export.config.encoders.present.items()
        if home(encoder.backbone).is_dir()
    ]
