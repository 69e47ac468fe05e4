"""The facts of a model card, read back from an export, so that the card can be written again."""

from __future__ import annotations

from pathlib import Path

from mer.checkpoints.export_folder import Export
from mer.read_files import read_model
from mer.study.export.card_facts import FORM_FILES, CardFacts
from mer.study.export.card_on_test import EVALUATION, OnTest
from mer.study.folder.recorded import read_scores
from mer.study.paths import DEV_PREDICTIONS


def facts_of(export: Export, *, place: Path | None = None, hub: str = "") -> CardFacts:
    """Read what an export's card says from its other files.

    Args:
        place: the folder's name on the card; None: where the export lies.
        hub: ORG/NAME under which the model is on the hub.
    Raises: MerError for files that are not as an export has them; KeyError for those of a much older version.
    """
    said = export.provenance
    tested = export.folder / EVALUATION
    return CardFacts(
        folder_name=str(place or export.folder),
        study=said["study"],
        number=said["trial"],
        state=said["trial_state"],
        config=export.config,
        scores=read_scores(export.folder / DEV_PREDICTIONS),
        row=said["dev_metrics"],
        sampled=said["params"],
        provenance=said,
        layers={modality: [int(layer) for layer in reads["layers"]] for modality, reads in export.inputs.items()},
        bundled=bool(export.preprocessor.get("bundled")),
        merged=bool(said.get("merged")),
        hub=hub,
        forms=tuple(form for form, name in FORM_FILES.items() if (export.folder / name).exists()),
        on_test=read_model(tested, OnTest) if tested.is_file() else None,
    )
