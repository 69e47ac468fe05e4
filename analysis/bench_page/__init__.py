"""The page and the tables of a protocol.

tables  scores of every cell, average ranks of methods
build   the page, and the tables as files
"""
