"""Read what studies, exports and evaluations leave behind. Writes nothing.

files          JSON and CSV that may be missing, cut short or garbage
predictions    class scores of one split, and what follows from them
targets        predictions of numbers, or of several labels
mlflow_record  a study's records in MLflow
study          a study: its trials, ranges and files
journal        a study as its journal, its folder and MLflow have it
evaluation     results of mer.evaluate, and the predictions of its seeds
bench          a protocol: how its cells stand, and their evaluations
texts          what was said in dev
links          which exports and evaluations belong to a study
"""
