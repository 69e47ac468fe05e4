"""Text for clips: a data folder in, the same folder with transcripts out.

    corpus       the run: clips, transcripts kept by hash, CSV files
    recogniser   faster-whisper: its options, its model, one transcript
    word_errors  words of a text, and how many differ

`python -m mer.data transcribe FOLDER --out FOLDER` runs it.
"""
