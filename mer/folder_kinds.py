"""The file by which each kind of folder is recognised.

The search writes studies and the core reads exports; each has to tell the other's folder from its own, to say which
command is the right one. Both names live here, below both.
"""

STUDY_MARK = "journal.log"
EXPORT_MARK = "MANIFEST.json"
