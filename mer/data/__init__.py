"""Utterances, dialogues and their clips: read, prepared, checked, generated, transcribed.

    types        Utterance, Dialogue, Corpus: what every reader returns
    text         normalisation of text before an encoder reads it
    tables       CSV, TSV and JSON lines as people write them
    media        from a path to samples and frames, with every fault in words
    readers      one reader per dataset: a user's own, MELD, EmoryNLP, RAVDESS
    registry     which datasets there are; open_corpus
    folds        a corpus in parts, each of which is test once
    corpus_file  a corpus described in a YAML file of its own
    settings     the data part of a configuration as people give it
    context      an utterance with its neighbouring turns, as text
    inputs       utterances that a person hands in for prediction
    prepare      from MELD's raw archive to FLAC files and videos in place
    check        counts, hashes and clips of a corpus, for `mer.data check`
    fetch        the official MELD CSV files, downloaded and verified
    sample       a generated corpus in MELD's shape, with voices and faces
    transcribe   text for clips, heard by faster-whisper

Commands: `python -m mer.data get | prepare | check | sample | transcribe`.
"""

from mer.data.context import Window, windows
from mer.data.readers.split_record import keep_splits, refuse_unkeepable
from mer.data.registry import load_corpus, open_corpus
from mer.data.text import normalise
from mer.data.types import Corpus, Dialogue, Utterance

__all__ = [
    "Corpus",
    "Dialogue",
    "Utterance",
    "Window",
    "keep_splits",
    "load_corpus",
    "normalise",
    "open_corpus",
    "refuse_unkeepable",
    "windows",
]
