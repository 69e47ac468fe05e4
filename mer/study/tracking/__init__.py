"""Record every trial in MLflow.

tracker    a run per trial, written by one thread
study_run  the run of a study, their parent
run_batch  what is to be written of many runs, in few transactions
exports    an export as a logged model of its trial's run
usable     a store in which MLflow could not record a study is refused
store      where the store is, and its tags and status words
"""
