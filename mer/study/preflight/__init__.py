"""Refuse what cannot work, and make sure of all features, before the first trial starts.

check_plan         one check of a study, whose result is passed on
objective_classes  objectives of a class that dev cannot score
teacher            whether a teacher may teach these students
feature_plan       feature files of a study and of one configuration, extracted where missing
pack_plan          which trials will share a worker, and why others cannot
dry_run            `--dry-run`: models are built and costs estimated
"""
