"""From MELD's raw archive to a corpus: a FLAC file and a video per utterance.

    from_archive  the run: all utterances in threads, continued where an earlier run ended
    raw_clips     where the archive's clips lie; which of two clips is an utterance's
    out_folder    the folder that is written: locked for one run, known for its own, its CSV files
    placing       videos linked or copied to their place
    manifest      manifest.json: what was made from which raw file
    report        the log and the summary in words

`python -m mer.data prepare RAW --out FOLDER` runs it.
"""
