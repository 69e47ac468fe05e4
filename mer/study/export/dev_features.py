"""Find or extract the dev features on which an export is compared with its trial."""

from __future__ import annotations

from mer.config import EARLIER, SPEAKERS, STAGES, TEACHER, settings_of
from mer.errors import MerError
from mer.features import FeatureTable, load_features
from mer.model_outputs import ensure_encoder, ensure_speakers
from mer.places import home
from mer.study.export.choose import ExportOptions
from mer.study.export.trained_weights import Trained
from mer.study.folder.read_study import StudyRecord


def dev_features(
    record: StudyRecord, trained: Trained, options: ExportOptions
) -> tuple[dict[str, FeatureTable], dict[str, str]]:
    """Load the dev features of every modality; those that are not cached are extracted.

    Returns: modality, or SPEAKERS -> features, and split -> names of its feature files, for train and dev.
    Raises: MerError when the data are not there, or they or the backbone are not those of the study.
    """
    config = trained.config
    data = config.data if options.data_root is None else config.data.model_copy(update={"root": options.data_root})
    if not home(data.root).exists():
        raise MerError(
            data.root,
            "there is no such file or folder: the data of the study are needed to compare the export with the trial",
            allowed="the data that the study was trained on",
            then="run from where the study was run, or say where they are: --data-root FOLDER_OR_FILE",
        )
    tables: dict[str, FeatureTable] = {}
    names: dict[str, list[str]] = {"train": [], "dev": []}
    for name, setting in settings_of(config).items():
        known = record.features.get(setting.recorded, {})
        if name in (TEACHER, STAGES, EARLIER):  # named, not read: an export needs none of them
            for split in names:
                names[split] += [known[split]] if known else []
            continue
        splits = ("dev",) if known else ("train", "dev")
        if name == SPEAKERS:
            paths = ensure_speakers(data, splits, cache=options.cache).paths
        else:
            paths = ensure_encoder(data, config.encoders.present[name], splits, cache=options.cache).paths
        if known and paths["dev"].name != known["dev"]:
            raise MerError(
                record.folder,
                f"the dev split in {data.root}, or the backbone, is not the one the study was trained with "
                f"({paths['dev'].name} instead of {known['dev']})",
                then="bring the former data or backbone back, or say where it is: --data-root FOLDER_OR_FILE",
            )
        tables[name] = load_features(paths["dev"])
        for split in names:
            names[split].append({**known, **{s: path.name for s, path in paths.items()}}[split])
    return tables, {split: " + ".join(files) for split, files in names.items()}
