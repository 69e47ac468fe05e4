"""Backbones of the Hugging Face hub: from its local cache if they are there, else downloaded, else one message.

huggingface_hub caches and downloads. Ours is the question that it does not answer: whether a cached snapshot has every
file an encoder reads.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from mer.errors import MerError, did_you_mean
from mer.features.backbone.content import index_names
from mer.model_hub import answer_of, why_not_asked

# Everything an encoder needs at the top of a repository; never pickled weights, never code.
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
NOT_FILES = ["*/*", "adapter_config.json", "*.fp16.safetensors", "*.fp32.safetensors"]
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)


def find_or_download(
    name: str,
    revision: str | None,
    *,
    weights: bool,
    complete: Callable[[Path], bool],
    offline: Sequence[str],
    convert: str,
) -> Path:
    """Find the snapshot folder of a hub id, whose name is the commit, or download it.

    A cached snapshot is used without asking the network, so that a second run behaves the same offline.

    Args:
        complete: says whether a folder has the files besides weights that its modality reads (tokenizer, preprocessor).
        offline: the backbones of this modality that need no hub, for messages; the first is the usual one.
        convert: how to make safetensors of pickled weights, for messages.
    Raises: MerError that lists the places that were tried and the alternatives.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        if (folder := _cached(name, revision, weights=weights, complete=complete)) is not None:
            return folder
    except ValueError as fault:
        raise _unavailable(name, revision, offline, ["not a valid Hugging Face id"], answered=True) from fault
    tried = _require_hub(name, revision, offline)
    if weights:
        require_safetensors(name, revision, offline=offline, convert=convert)
    try:
        if weights:
            return Path(snapshot_download(name, revision=revision, allow_patterns=FILES, ignore_patterns=NOT_FILES))
        return Path(hf_hub_download(name, "config.json", revision=revision)).parent
    except (OSError, HfHubHTTPError) as fault:
        if isinstance(fault, OSError) and fault.errno in DISK_FAULTS:
            raise
        raise _unavailable(name, revision, offline, [*tried, answer_of(fault)], answered=True) from fault


def is_cached(name: str, revision: str | None, *, complete: Callable[[Path], bool]) -> bool:
    """True when a snapshot with weights, and with what `complete` asks for, needs no download."""
    try:
        return _cached(name, revision, weights=True, complete=complete) is not None
    except ValueError:  # no Hugging Face id at all: asking for it says so
        return False


def require_safetensors(name: str, revision: str | None, *, offline: Sequence[str], convert: str) -> None:
    """Refuse a repository without safetensors before anything is downloaded; arguments are those of `find_or_download`.

    Raises: MerError.
    """
    from huggingface_hub import list_repo_files
    from huggingface_hub.errors import HfHubHTTPError

    _require_hub(name, revision, offline)
    try:
        files = list_repo_files(name, revision=revision)
    except (OSError, HfHubHTTPError):  # the download that follows says why
        return
    if not any(file.endswith(".safetensors") and "/" not in file for file in files):
        pickled = any(file.endswith(".bin") for file in files)
        raise no_safetensors(f"backbone {name!r}", pickled=pickled, convert=convert)


def no_safetensors(where: object, *, pickled: bool, convert: str) -> MerError:
    """Word the refusal of a backbone without safetensors. Args: convert: how to make them of pickled weights."""
    found = " (pickled weights are there, which can run code when read)" if pickled else ""
    return MerError(
        where,
        f"no model.safetensors{found}",
        allowed="safetensors weights",
        then=f"convert once, where you trust the file: {convert}" if pickled else "fetch the backbone again, whole",
    )


def kinds_of_backbone(offline: Sequence[str], folder: str) -> str:
    """Say what a backbone may be, for messages. Args: offline: those without a hub. folder: words for a local one."""
    return f"{', '.join(map(repr, offline))}, {folder}, file:PATH, or a Hugging Face id"


def _require_hub(name: str, revision: str | None, offline: Sequence[str]) -> list[str]:
    """Return the places that were tried in vain before the hub. Raises: MerError when the hub cannot be asked."""
    from huggingface_hub import constants

    tried = [
        f"not a folder here ({Path(name).absolute()})",
        f"not complete in the hub's cache ({constants.HF_HUB_CACHE})",
    ]
    if reason := why_not_asked():
        raise _unavailable(name, revision, offline, [*tried, reason])
    return tried


def _cached(name: str, revision: str | None, *, weights: bool, complete: Callable[[Path], bool]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return folder if not weights or (_has_weights(folder) and complete(folder)) else None


def _has_weights(folder: Path) -> bool:
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = set(index_names(index))
    return all((folder / name).is_file() for name in names)


def _unavailable(
    name: str, revision: str | None, offline: Sequence[str], tried: list[str], *, answered: bool = False
) -> MerError:
    at = f" at revision {revision!r}" if revision else ""
    if answered:
        then = f"check the id and the revision, name a local folder, or set backbone: {offline[0]}"
    else:
        then = (
            f"copy the backbone's folder here and name it, or set backbone: {offline[0]}; "
            "HF_HUB_OFFLINE=1 keeps the hub out of it and HF_HOME says where its cache is"
        )
    return MerError(
        f"backbone {name!r}{at}",
        "cannot be had: " + "; ".join(tried) + "." + did_you_mean(name, offline),
        allowed=kinds_of_backbone(offline, "a local folder with config.json and model.safetensors"),
        then=then,
    )
