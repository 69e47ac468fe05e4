"""The content of a corpus: counts to compare with the published ones, and the state of its clips.

    summary  utterances, dialogues, labels and hashes of each split
    media    which clips are there, how long they are, which cannot be used
    report   both as tables and lines, and the command that comes next

`python -m mer.data check FOLDER` prints it.
"""
