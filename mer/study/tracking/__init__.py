"""Record every trial in MLflow.

tracker  a parent run per study and a child run per trial, written by one thread
exports  an export as a logged model of its trial's run
store    where the store is, and its tags and status words
"""
