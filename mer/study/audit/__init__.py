"""Compare all that is recorded of a study: journal, trials' folders, weights and MLflow; mend what can be mended.

command   what `python -m mer.study audit` does and says
repair    mends under the study's lock
examine   all findings of a study, with or without MLflow
journal   what the journal says of its trials
folders   what lies in the trials' folders
weights   tensors files and their links into the store
findings  one thing that is wrong: what, where, what to do
"""
