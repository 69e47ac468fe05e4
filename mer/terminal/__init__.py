"""What goes to a terminal, a log or a spreadsheet, and what a terminal sends.

escapes      control characters shown instead of obeyed
streams      standard output and error that survive odd characters and readers that have gone
encoding     the same behaviour in every locale
page         rich's console, on which tables and live tables are drawn
resized      what a live table leaves on a terminal that became narrower
spark        numbers as a line of small bars
endings      signals that ask a command to end
commands     commands that are printed for the user to paste
spreadsheet  CSV files without formulas

Everything that a command prints passes `streams` or `page`, so no call site has to think of escape sequences.
"""
