"""What goes to a terminal, a log or a spreadsheet, and what a terminal sends.

escapes   control characters shown instead of obeyed, spreadsheet cells that are no formulas
streams   standard output and error that survive odd characters and readers that have gone
page      rich's console, on which tables and live tables are drawn
endings   signals that ask a command to end
commands  commands that are printed for the user to paste

Everything that a command prints passes `streams` or `page`, so no call site has to think of escape sequences.
"""
