"""Decide what runs next and who is stopped: the search without Ray and without MLflow.

slots           which trial numbers each worker hosts
packs           which trials share a worker, and which wait for the next
pack_sizes      how many trials a worker takes
stop_request    signals and the time budget, which end a study early
engine          what a report means: the next trial, a cut, a failure, the end
early_stopping  rules that cut a trial: successive halving, Hyperband, median
ledger          the search state: Optuna's journal, asked and told
storage         Optuna's storage for the one driver that writes
journal         lines of `journal.log`, whole ones only
samplers        Optuna's samplers, seeded so that a draw can be repeated
stored_trial    a trial of the journal in our words
"""
