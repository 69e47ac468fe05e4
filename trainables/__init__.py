"""Ray Trainables: the classes by which Ray Tune runs a TrainingRun.

    base             MerTrainable: sets up, steps and reports one slot after another
    members          the trials that a worker trains together
    hosted           one of them: its run, its files, its reports
    cached           the trial of every modality, fusion and distillation, on cached features
    saving           checkpoints written beside training, those of several trials at once
    shared_table     one split's features as plain arrays, and the data of a run made of them
    fold_data        the rows of each fold, cut from tables of all rows
    shared_features  features and backbone weights in Ray's object store, read by every worker
    proof            that a worker sees the study's folder, and not one of the same name
    trial_files      names of the files that a worker writes into its trial's folder
    wire             messages between the driver and a worker

`TRAINABLES` maps each name that a search space may use under `trainable:` to its class; no other can be named.
"""

_CACHED = "trainables.cached:CachedTrainable"
TRAINABLES = {"text": _CACHED, "audio": _CACHED, "video": _CACHED, "fusion": _CACHED, "distill": _CACHED}

__all__ = ["TRAINABLES"]
