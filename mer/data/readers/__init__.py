"""One reader per dataset: its files in, dialogues of utterances out.

    csv_dataset  the Reader protocol, and the reader of one CSV file per split
    csv_rows     CSV rows with a file:line for every complaint
    labels       label names of each dataset, in the order of their numbers
    meld         MELD
    emorynlp     EmoryNLP
    ravdess      RAVDESS speech

`mer.data.registry` finds them by name.
"""
