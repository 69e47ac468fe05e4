"""Turn one utterance into text, through the transcript cache."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mer.data.media import ClipFinder, MediaFault
from mer.data.transcribe.recogniser import Recogniser, SpeechModel, brief, transcript
from mer.data.transcribe.tally import SplitTally
from mer.data.transcribe.transcript_cache import TranscriptCache
from mer.data.types import Utterance
from mer.errors import MerError
from mer.files import sha256_file

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Listener:
    """Transcribes utterances and keeps the transcripts.

    Args:
        finder: finds clips in the folder of the data.
        asr: the recogniser, resolved.
        cache: of this recogniser.
        model: the loaded model; None loads it for the first clip that is not in the cache.
    """

    finder: ClipFinder
    asr: Recogniser
    cache: TranscriptCache
    model: SpeechModel | None

    def hear(self, utterance: Utterance, tally: SplitTally) -> str | None:
        """Return the text of an utterance, from its audio file or else from the sound track of its video.

        Args: tally: counts what was done.
        Returns: None, with a warning in the log, when no clip can be used.
        """
        from mer.data.media.audio import read_audio

        faults = []
        for relative in filter(None, (utterance.audio, utterance.video)):
            try:
                path = self.finder.find("audio", relative).path
                sha256 = _sha256(path)
                if (known := self.cache.get(sha256)) is not None:
                    tally.from_cache += 1
                    return known
                samples = read_audio(path, max_seconds=self.asr.max_seconds).samples
            except MediaFault as fault:
                faults.append(f"{relative}: {fault}")
                continue
            text = self._transcribe(samples, path)
            self.cache.add(sha256, text)
            tally.transcribed += 1
            return text
        log.warning("%s: no sound, so no text: %s", utterance.id, "; ".join(faults) or "the data name no clip")
        return None

    def _transcribe(self, samples: np.ndarray, path: Path) -> str:
        """Run the model on float32 samples (S,) at 16 kHz. Raises: MerError when the model fails."""
        self.model = self.model or self.asr.load()
        try:
            return transcript(self.model, samples, self.asr.decoding())
        except Exception as fault:  # an unknown language, a missing CUDA library, no memory
            raise MerError(
                path,
                f"the model {self.asr.model!r} failed on this clip: {brief(fault)}",
                then="run the same command again, it goes on after the last transcript (they are in "
                f"{self.cache.path}); if it is the device, with --device cpu",
            ) from fault


def _sha256(path: Path) -> str:
    """Hash a clip. Raises: MediaFault when it cannot be opened."""
    try:
        return sha256_file(path)
    except OSError as fault:
        raise MediaFault(f"cannot be opened: {fault.strerror}") from fault
