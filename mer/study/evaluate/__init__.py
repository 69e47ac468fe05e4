"""Scores of a configuration over seeds, read on test once per seed and compared with other configurations.

    seeds             the study in which seeds are trained, and the one reading of the test split
    compare           two configurations, paired by seed and by the dataset's independent unit
    report_on_test    table, results.json, .md and .csv of an evaluation
    seed_table        a row for each seed, mean, sd and intervals, as wide as the console
    at_threshold      test at the decision threshold that dev chose for each seed
    at_temperature    probabilities on test at the temperature that dev chose for each seed
    report_on_dev     the same on dev, for data without a test split
    mlflow_scores     test scores on each seed's MLflow run
    fold_scores       the folds of every seed on their test parts, and both spreads
    on_corpus         the same configuration, scored on another corpus
    label_map         which class of a model stands for which label of that corpus
    target_map        which number, or which of several labels
    corpus_scores     scores of what both have
    report_on_corpus  the table of these scores
    same_utterances   the same utterances in both corpora: their scores, paired
    ensembles         an ensemble over groups of seeds, one run for each member
    exports           the whole evaluation of one export against others
    candidate_study   several configurations of one shape over seeds, in one study
    rerank            the best trials of a study again, over seeds on dev
    verify_trial      trials trained again, and every number compared

`python -m mer.evaluate EXPORT` and `python -m mer.verify STUDY` run it.
"""
