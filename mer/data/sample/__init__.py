"""A generated corpus in MELD's shape: free data to try everything on, and to test with.

    corpus       the folder: CSV files, marker, README, clips
    plan         who says something, with which emotion, and which modalities show it
    text         the words
    voice        the voices: vowels on a pitch curve
    face         the faces: a cartoon head that moves
    media        FLAC and mp4 files of voices and faces
    raw_archive  the same clips laid out as in MELD's raw archive, faults included

`python -m mer.data sample FOLDER` writes it.
"""
