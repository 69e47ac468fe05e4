"""Text for clips: a data folder in, the same folder with transcripts out.

    corpus             the run, from the clips of a folder to its CSV files
    out_folder         the folder that is written: whose it is, links to the clips
    listener           one utterance to text, through the cache
    transcript_cache   transcripts by the hash of their clip
    recogniser         faster-whisper: its options, its model, one transcript
    speech_models      models by name: their language, checkpoints that must be converted first
    tally              what became of the utterances of a split
    word_errors        words of a text, and how many differ

`python -m mer.data transcribe FOLDER --out FOLDER` runs it.
"""
