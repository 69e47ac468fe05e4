"""An export and its backbones become a Predictor, an ensemble several; what was altered is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mer.checkpoints.ensemble_folder import Ensemble, read_any
from mer.checkpoints.export_folder import MODEL, Export, is_export, read_export, trained_sha256
from mer.checkpoints.hub_export import export_folder
from mer.config import EncoderConfig, TextEncoderConfig, is_given
from mer.data.text import NORMALISATION_VERSION
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder, fingerprint, locate
from mer.features.from_clips.live import LiveClips, LiveClipSequences, LiveClipSteps
from mer.features.from_files.live import LiveGiven
from mer.features.from_text.live import LiveTexts, LiveTextSequences, LiveTokens
from mer.features.given.source import VERSION
from mer.features.modalities import locate_clip_backbone, preprocessing_words
from mer.features.text.turn_tokenizer import PREPROCESSING_VERSION
from mer.files import sha256_json
from mer.predictor.ensemble import EnsemblePredictor
from mer.predictor.given_places import Places, checked_places
from mer.predictor.predictor import Predictor
from mer.predictor.scorer import Live, LiveModel

_NORMALISATION = {"normalisation_version": NORMALISATION_VERSION}


def load(
    folder: Path | str,
    *,
    revision: str | None = None,
    backbone: Path | str | None = None,
    device: str = "cpu",
    features: Places | None = None,
) -> Predictor | EnsemblePredictor:
    """Open an export, or an ensemble of exports; every file is checked against the hash it was exported with.

    Args:
        folder: written by `python -m mer.export`; or ORG/NAME of the model hub, where it was pushed.
        revision: branch, tag or commit of ORG/NAME; None: the main branch as it is now.
        backbone: the backbone's folder, if it is no longer where the configuration or the bundle says.
        device: where the head runs; the backbone takes a GPU if there is one.
        features: folder or table of new features, or one by modality, for a model of features that others extracted.
    Raises: MerError when a file is missing or altered, or the backbone is another one.
    """
    found = read_any(export_folder(folder, revision))
    return open_any(found, backbone=backbone, device=device, features=checked_places(features, found))


def open_any(
    found: Export | Ensemble,
    *,
    backbone: Path | str | None = None,
    device: str = "cpu",
    features: Mapping[str, Path] | None = None,
) -> Predictor | EnsemblePredictor:
    """`load`, for an export or an ensemble that was read already. Members that read alike share an encoder.

    Args: features: modality -> folder or table of new features.
    """
    if isinstance(found, Export):
        return open_predictor(found, backbone=backbone, device=device, features=features)
    opened: dict[str, Live] = {}
    members = [
        open_predictor(one, backbone=backbone, device=device, opened=opened, features=features) for one in found.members
    ]
    return EnsemblePredictor(found, members)


def open_predictor(
    export: Export,
    *,
    backbone: Path | str | None = None,
    device: str = "cpu",
    opened: dict[str, Live] | None = None,
    features: Mapping[str, Path] | None = None,
) -> Predictor:
    """`load`, for an export that was read already.

    Args:
        opened: encoders by what they read and how; those that are there are used, others are added.
        features: as for `open_any`.
    """
    if backbone is not None and len(export.inputs) > 1:
        raise MerError("--backbone", "a fused model has several backbones", then="put them where config.json says")
    encoders: dict[str, Live] = {}
    known = {} if opened is None else opened
    for modality, config in export.config.encoders.present.items():
        place = backbone if backbone is not None else export.backbone_folder
        key = sha256_json([config.model_dump(mode="json"), export.inputs[modality], str(place)])
        if key not in known:
            known[key] = _open_encoder(export, modality, config, backbone, features or {})
        encoders[modality] = known[key]
    return Predictor(export, encoders, device)


def _open_encoder(
    export: Export,
    modality: str,
    config: EncoderConfig,
    backbone: Path | str | None,
    features: Mapping[str, Path],
) -> Live:
    reads = export.inputs[modality]
    if is_given(config):
        _check_versions(export, reads, {"version": VERSION})
        return LiveGiven(config, int(reads["width"]), export.folder, features.get(modality))
    encoder = _encoder_config(export, reads, config, backbone)
    if is_export(encoder.backbone):
        return _open_model(export, reads, encoder.backbone)
    if isinstance(encoder, TextEncoderConfig):
        _check_versions(export, reads, {"preprocessing_version": PREPROCESSING_VERSION, **_NORMALISATION})
        found = locate(encoder, weights=True)
        _check_backbone(reads, found)
        if encoder.keeps_states:
            return LiveTokens(encoder, found)
        return LiveTexts(encoder, found) if encoder.mode == "frozen" else LiveTextSequences(encoder, found)
    place = locate_clip_backbone(encoder)
    _check_versions(export, reads, preprocessing_words(encoder, place))
    if place is not None:
        _check_backbone(reads, place)
    if encoder.keeps_states:
        return LiveClipSteps(encoder, place)
    if encoder.mode == "frozen" or place is None:
        return LiveClips(encoder, place)
    return LiveClipSequences(encoder, place)


def _open_model(export: Export, reads: Mapping[str, Any], place: str) -> LiveModel:
    """Open an export in the place of an encoder. Raises: MerError when it is not the one of the training."""
    inner = read_export(place)
    found, wanted = trained_sha256(inner.folder), reads["backbone"]["weights_sha256"]
    if found != wanted:
        raise MerError(
            inner.folder / MODEL,
            f"{export.folder} was trained on another model at this place: sha256 {found}",
            allowed=f"sha256 {wanted}",
            then="bring that export back, or train and export again",
        )
    return LiveModel(open_predictor(inner))


def _encoder_config(
    export: Export, reads: Mapping[str, Any], config: EncoderConfig, backbone: Path | str | None
) -> EncoderConfig:
    place = backbone if backbone is not None else export.backbone_folder
    if place is not None:
        return config.model_copy(update={"backbone": str(place), "revision": None})
    revision = reads["backbone"].get("revision")  # the commit that was used, also if none was asked for
    return config.model_copy(update={"revision": revision}) if revision else config


def _check_versions(export: Export, reads: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    for name, version in mine.items():
        if reads["input"].get(name) != version:
            raise MerError(
                export.folder / "preprocessor.json",
                f"{name} {reads['input'].get(name)}: the model was trained on inputs prepared in another way",
                allowed=f"{name} {version}",
                then="use the version of mer that wrote the export, or train and export again",
            )


def _check_backbone(reads: Mapping[str, Any], found: BackboneFolder) -> None:
    expected, now = reads["backbone"], fingerprint(found, None)
    for what, hash_now in (("weights", now.weights), ("tokenizer", now.tokenizer)):
        wanted = expected.get(f"{what}_sha256")
        if hash_now != wanted:
            raise MerError(
                found.folder,
                f"the {what} of backbone {expected['name']!r} are not those the model was trained on: "
                f"sha256 {hash_now}",
                allowed=f"sha256 {wanted}",
                then="give the right folder (--backbone DIR, mer.load(..., backbone=DIR)), or export with --bundle",
            )
