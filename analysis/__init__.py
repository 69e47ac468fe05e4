"""Report on finished and running studies from the stores they leave behind. Changes none of them.

report        `python -m analysis.report STUDY`: one page about a study, and its tables as files
seeds         `python -m analysis.seeds RESULTS.json`: tables from the results of `mer.evaluate`
sections      sections of the report, from a study to HTML and tables
details       its later sections: parameters, classes, failures, how to run it again
two_classes   its section of a study with two classes: ROC, precision and recall
figures       its pictures
findings      statistics of a study: noise of dev, importances, ranges that were too narrow
plots         small SVG pictures in the colours of the page
pages         the HTML page around the sections
tables        one table as HTML, CSV or Markdown
stores        a study as read from Optuna's journal, the study folder and MLflow
mlflow_store  the part of it that comes from MLflow
"""
