"""Readers of datasets: files in, dialogues of utterances out.

    csv_dataset   the Reader protocol, and the reader of published datasets with one CSV file per split
    labels        label names of each published dataset, in the order of their numbers
    meld          MELD
    emorynlp      EmoryNLP
    ravdess       RAVDESS speech
    relabelled    the corpus of a published dataset: its classes as train has them
    own           a user's corpus: any CSV, TSV or JSON lines; and every corpus that has a description
    description   what tells one published corpus from another
    corpora       the descriptions: IEMOCAP, CREMA-D, DailyDialog, ...
    layouts       how their files lie
    derived       cells that follow from others
    own_table     a table with the meaning of its columns
    row_cells     what a row of a user's file says
    clip_folder   clips without a table: their names and folders say it
    columns       which column says what: named, or guessed from usual names
    split_files   which file is which split
    made_splits   splits that the data do not have, made once by a rule
    split_record  the file that keeps them
    class_names   which classes there are, merged and in order
    targets       numbers to predict, or several labels of a row

`mer.data.registry` finds them by name.
"""
