"""Reads the stores that studies leave behind (MLflow, Optuna's journal, artifacts, results of `mer.evaluate`) and
changes nothing: `python -m analysis.report STUDY`, `python -m analysis.seeds RESULTS.json`."""
