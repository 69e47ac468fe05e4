"""Search for good configurations: a study runs trials of one search space and keeps what they find.

`python -m mer.study sync STUDY` and `audit STUDY` look after one that exists.

From the top down; each imports from those below it only, and those on one line know nothing of each other.
    bench       a protocol: many studies, from their search to one table
    evaluate    what a result is worth: seeds, the test split, comparisons, re-ranking, verification
    slurm       a study as a job of a SLURM cluster
    runner      one study from spec to summary
    audit       journal, folders, weights and MLflow compared, and mended
    cluster     trials on Ray
    export      a trial as a folder that loads anywhere
    next_steps  what comes after a study, as commands
    preflight   all that can be refused or made sure of before the first trial
    tracking    every trial's files, and its run in MLflow
    show        what a person sees while a study runs and at its end
    folder      what lies in a study's folder, and how its trials stand
    search      what runs next and who is stopped
    space       what a search space may say
    paths       names and places of all files in a folder of studies
    schema      `python -m mer.study.schema` prints the JSON Schema of search spaces
"""
