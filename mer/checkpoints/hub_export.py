"""An export by name: a folder on this machine, or ORG/NAME of the model hub, downloaded once into a plain folder.

A download holds what its MANIFEST names: weights as safetensors, JSON, and texts that people read. No links, nothing
that runs. Every file is compared with its hash before the folder gets its name, `HF_HOME/mer/ORG--NAME/COMMIT`.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mer.checkpoints.export_manifest import MAKE, MANIFEST, check_files, read_manifest
from mer.errors import MerError
from mer.files import write_text
from mer.model_hub import answer_of, is_hub_id, refusals, why_not_asked
from mer.places import home

ENDINGS = (".safetensors", ".json", ".md", ".csv", ".svg", ".txt", ".model", ".onnx")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_TIMEOUT_S = 20.0
_ALLOWED = "a folder that python -m mer.export wrote, or ORG/NAME of the model hub, with @REVISION where one is meant"


@dataclass(frozen=True)
class HubName:
    """A model of the hub.

    Args:
        repo: ORG/NAME.
        revision: branch, tag or commit; None: the main branch as it is now.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def export_folder(place: Path | str, revision: str | None = None) -> Path:
    """Return the folder of an export, downloaded if it is on the hub only.

    A folder that is here, and a path below a folder that is here, is never asked for elsewhere.

    Args:
        place: a folder, ORG/NAME or ORG/NAME@REVISION.
        revision: of the hub; not together with @REVISION.
    Raises: MerError when it is neither here nor to be had.
    """
    name = _hub_name(str(place), revision)
    if name is None:
        if revision is not None:
            raise MerError(place, f"revision {revision!r} given for a folder", allowed="only with ORG/NAME of the hub")
        return home(place)
    return _downloaded(name)


def _hub_name(text: str, revision: str | None) -> HubName | None:
    """Read ORG/NAME[@REVISION]; None for a path."""
    repo, at, said = text.partition("@")
    if not is_hub_id(repo) or Path(text).exists() or Path(repo.split("/")[0]).exists():
        return None
    if at and revision is not None:
        raise MerError(text, f"revision {revision!r} given too", then="give one of the two")
    wanted = said if at else revision
    if wanted is not None and not (_REVISION.fullmatch(wanted) and ".." not in wanted):
        raise MerError(text, f"{wanted!r} is no revision", allowed="a branch, a tag or a commit")
    return HubName(repo, wanted)


def _downloaded(name: HubName) -> Path:
    from huggingface_hub import HfApi, constants

    kept = Path(constants.HF_HOME) / "mer" / name.repo.replace("/", "--")
    seen = kept / "refs" / (name.revision or "main").replace("/", "--")
    if name.revision and _COMMIT.fullmatch(name.revision) and _is_whole(kept / name.revision):
        return kept / name.revision
    if reason := why_not_asked():
        commit = seen.read_text(encoding="utf-8").strip() if seen.is_file() else ""
        if _COMMIT.fullmatch(commit) and _is_whole(kept / commit):
            return kept / commit  # what the hub had when it was asked last
        raise _not_had(name, reason)
    try:
        found = HfApi().model_info(name.repo, revision=name.revision, timeout=_TIMEOUT_S)
    except refusals() as fault:
        raise _not_had(name, answer_of(fault)) from None
    commit = str(found.sha)
    if not _COMMIT.fullmatch(commit):
        raise _not_had(name, "the hub names no commit of it")
    if not _is_whole(kept / commit):
        _fetch(name, commit, kept / commit)
    write_text(seen, f"{commit}\n")
    return kept / commit


def _is_whole(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _fetch(name: HubName, commit: str, folder: Path) -> None:
    """Download one commit; its folder is whole or absent."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{uuid.uuid4().hex[:8]}.tmp")
    where = f"{name.repo}@{commit}"
    try:
        _get(name.repo, commit, MANIFEST, temporary)
        hashes = read_manifest(temporary)
        _refuse_other_kinds(where, hashes)
        for file in hashes:
            _get(name.repo, commit, file, temporary)
        shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the library's notes on the download
        if links := [path for path in temporary.rglob("*") if path.is_symlink()]:
            raise MerError(where, f"{links[0].name} came as a link", allowed="plain files")
        check_files(temporary, hashes)
        _put(temporary, folder)
    except refusals() as fault:
        raise _not_had(name, answer_of(fault)) from None
    except MerError as fault:
        found = f"{fault.where.removeprefix(f'{temporary}/')}: {fault.found}" if fault.where != where else fault.found
        raise MerError(
            where, found, allowed=fault.allowed, then="tell who published it, or name another revision: ORG/NAME@COMMIT"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _get(repo: str, commit: str, file: str, into: Path) -> None:
    from huggingface_hub import constants, hf_hub_download

    hf_hub_download(repo, file, revision=commit, local_dir=into, endpoint=constants.ENDPOINT)


def _put(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not _is_whole(folder):  # else another process was faster with the same commit
            raise


def _refuse_other_kinds(where: str, hashes: Mapping[str, str]) -> None:
    if other := [file for file in hashes if not file.endswith(ENDINGS)]:
        raise MerError(
            where, f"it holds {other[0]}, which is not downloaded", allowed=f"files that end in {', '.join(ENDINGS)}"
        )


def _not_had(name: HubName, reason: str) -> MerError:
    return MerError(
        name,
        f"no such folder here, and it cannot be had from the model hub: {reason}",
        allowed=_ALLOWED,
        then=f"check the name, or make an export: {MAKE}; HF_HOME says where downloads are kept",
    )
