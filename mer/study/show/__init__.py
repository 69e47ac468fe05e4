"""Show a study to people: while it runs and at its end.

live_table   a live table on a terminal, plain lines elsewhere
leaderboard  the best trials, `summary.json` and the note in MLflow
dashboard    optuna-dashboard on a study's journal
words        metrics, values and run names as people read them
"""
