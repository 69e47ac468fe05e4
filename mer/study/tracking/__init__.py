"""Record every trial in MLflow.

tracker    a parent run per study and a child run per trial, written by one thread
run_batch  what is to be written of many runs, in few transactions
exports    an export as a logged model of its trial's run
usable     a store in which MLflow could not record a study is refused
store      where the store is, and its tags and status words
"""
