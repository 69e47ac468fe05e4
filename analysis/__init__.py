"""Report on finished and running studies from the stores they leave behind. Changes none of them.

report           `python -m analysis.report STUDY`: one page about a study or an evaluation, and its tables as files
compare          `python -m analysis.compare STUDY STUDY ...`: several of them on one page
seeds            `python -m analysis.seeds RESULTS.json ...`: tables from the results of `mer.evaluate`, as Markdown
at_the_end       picture and page of what has just ended, and links to it on pages that are there
study_page       the page about one study
evaluation_page  the page about one evaluation
comparison_page  the page about several of both
bench_page       the page and the tables of a protocol
findings         what the numbers support: chance, luck, importance, calibration, costs
plots            plots as SVG
stores           studies and evaluations as read from journal, folder and MLflow
page             the HTML file: style, script, tables, words
"""
