"""What `python -m benchmarks.run` measures: one file per suite, each with `measure(options)` that returns tables.

study     a whole study on MELD text against a bare loop, plain Optuna and stock Ray Tune
packs     steps per second of packs by size, loss and width, and the machine's arithmetic limit
fusions   the same for models that fuse three modalities, and losses beside them
folds     the folds of a trial as one program, and one after another
ray       Ray Tune's own release tests with MLflow on, driven by trials that do no work
startup   command to first result, and where that time goes
memory    memory of workers, and the driver's growth by trials
thousand  1 000 trials with TPE and ASHA, killed once and resumed
seeds     five seeds trained as one pack against five single runs
"""

SUITES = {
    "study": "a study against a bare loop, plain Optuna and stock Ray Tune",
    "packs": "steps per second by pack size",
    "fusions": "steps per second by pack size, for each fusion, and for losses beside it",
    "folds": "the folds of a trial as one program, and one after another",
    "ray": "Ray Tune's release tests with MLflow on",
    "startup": "command to first result",
    "memory": "memory of workers and driver",
    "thousand": "1 000 trials, killed once and resumed",
    "seeds": "five seeds as one pack",
}
