"""Decide what runs next and who is stopped: the search without Ray and without MLflow.

slots           which trial numbers each worker hosts
packs           which trials share a worker, and which wait for the next
pack_sizes      how many trials a worker takes
stop_request    signals and budgets, which end a study early
spending        epochs and money that a study has used up
engine          what a report means: the next trial, a cut, a failure, the end
lacking_files   whether what a worker wrote is there for the driver
epoch_count     epochs of all trials, for budgets
halt            why a study stops: the machine refuses it, or its trials fail alike
live_trial      what is known of a trial until it ends, and who hears of it
early_stopping  rules that cut a trial: successive halving, Hyperband, median
ledger          the search state: Optuna's journal, asked and told
retries         failed trials tried again under new numbers
grid            cells of a grid, in their order
identity        whether a journal is that of this search
storage         Optuna's storage for the one driver that writes
journal         lines of `journal.log`, whole ones only; a study opened for reading
operations      what a line of the journal may say
samplers        Optuna's samplers, seeded so that a draw can be repeated
feasible        draws that keep a study's constraints
stored_trial    a trial of the journal in our words
"""
