"""Refuse what cannot work, and make sure of all features, before the first trial starts.

check_plan    one check of a study, whose result is passed on
teacher       whether a teacher may teach these students
feature_plan  feature files of a study and of one configuration, extracted where missing
dry_run       `--dry-run`: models are built and costs estimated
"""
