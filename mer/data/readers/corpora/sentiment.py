"""CMU-MOSI, CMU-MOSEI, CH-SIMS and CH-SIMS v2 as MMSA lays them out: scored clips of videos (`label.csv`, `Raw/`)."""

from __future__ import annotations

from dataclasses import replace

from mer.data.readers.derived import sign_of
from mer.data.readers.description import Description
from mer.data.readers.layouts import OneTable

MOSI = Description(
    name="mosi",
    title="CMU-MOSI (Zadeh et al. 2016)",
    layouts=(OneTable(("label.csv", "meta.csv"), ("video_id", "clip_id", "text", "label", "mode")),),
    columns={
        "id": "{video_id}_{clip_id}",
        "dialogue": "video_id",
        "turn": "clip_id",
        "label": "sentiment",
        "text": "text",
        "split": "mode",
        "audio": "Raw/{video_id}/{clip_id}.mp4",
        "video": "Raw/{video_id}/{clip_id}.mp4",
    },
    classes=("negative", "neutral", "positive"),
    task="sentiment",
    derived={"sentiment": sign_of("label")},
    scores={"score": "label"},  # of each modality alone, where it was scored: label_T, label_A, label_V
    range=(-3, 3),
)
MOSEI = replace(MOSI, name="mosei", title="CMU-MOSEI (Zadeh et al. 2018)")
# Scores of CH-SIMS are multiples of 0.2 in [-1, 1]; its papers call (-0.1, 0.1] neutral.
SIMS = replace(
    MOSI, name="sims", title="CH-SIMS (Yu et al. 2020)", derived={"sentiment": sign_of("label", 0.1)}, range=(-1, 1)
)
SIMS_V2 = replace(SIMS, name="simsv2", title="CH-SIMS v2 (Liu et al. 2022)")
