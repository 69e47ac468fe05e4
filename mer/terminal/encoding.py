"""The same behaviour in every locale."""

from __future__ import annotations

import codecs
import os
import sys


def leave_ascii() -> None:
    """Where names of files would be ASCII, start the command again in Python's UTF-8 mode.

    Python does so by itself in the C locale, unless PYTHONUTF8=0 and PYTHONCOERCECLOCALE=0 forbid it. Names with other
    letters would be no text then: neither JSON nor MLflow nor Ray takes them. Workers and other children inherit the
    mode; the terminal still gets ASCII only. Does not return if it starts the command again.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "ascii":
        return
    environment = os.environ | {"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:backslashreplace"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
