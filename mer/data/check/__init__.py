"""The content of a corpus: counts to compare with the published ones, the state of its clips, what splits share.

    summary   utterances, dialogues, labels, speakers and hashes of each split
    media     which clips are there, how long they are, which cannot be used
    leakage   speakers, dialogues, texts and clips that two splits share
    known     faults that published data are known to have
    finding   one thing that a person should read, and how serious it is
    in_rows   findings of labels, texts and what splits share
    in_clips  findings of clips
    checked   the whole check, its verdict, its JSON
    report    the page, and the command that comes next

`python -m mer.data check FOLDER` prints it. `mer.export` stamps it on model cards.
"""
