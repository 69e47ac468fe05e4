"""Utterances, dialogues and their context: readers, windows, and a generated sample corpus."""

from mer.data.context import Window, windows
from mer.data.registry import load_corpus
from mer.data.text import normalise
from mer.data.types import Corpus, Dialogue, Utterance

__all__ = ["Corpus", "Dialogue", "Utterance", "Window", "load_corpus", "normalise", "windows"]
