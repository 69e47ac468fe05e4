"""Refuse what cannot work, and make sure of all features, before the first trial starts.

check_study        whatever is refused before the first trial, as one list for the study and its dry run
check_plan         one check of a search space, whose result is passed on
objective_classes  objectives of a class that dev cannot score
dialogues          models that read dialogues, where the data have none
tools              packages and compilers that only some settings need
teacher            whether a teacher may teach these students
machine            what a study may use of this machine, and whether its trials fit
object_store       whether the features fit into shared memory
run_options        how the command that runs a study was called
interruption       how to go on after a command was interrupted
feature_plan       feature files of a study and of one configuration, extracted where missing
pack_plan          which trials will share a worker, and why others cannot
timed_trial        epochs of trials and packs on made-up rows, timed
dry_run            `--dry-run`: models are built and costs estimated
"""
