"""Say what a result is worth: over several seeds, on test once per seed, against others, and run again.

exports         exports over seeds, compared with one another
rerank          the best trials of a study, each over several seeds
seeds           one configuration over several seeds
compare         two configurations over the same seeds and utterances
report_on_test  the evaluation's table and files
report_on_dev   the same for data without a test split
mlflow_scores   test scores in MLflow
verify_trial    a trial run again from its provenance
"""
