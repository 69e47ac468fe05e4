"""Make text from files harmless before a terminal or a log takes it for commands.

A file's text may hold escape sequences (clear the screen, set the title, write to the clipboard), signs that reverse
the direction of reading, and line ends that fake another line.
"""

from __future__ import annotations

import re

# C0 without tab and newline, DEL, C1 (its 0x9b is ESC [ in one byte), bidirectional overrides and isolates, line and
# paragraph separators, and lone surrogates, which no encoding can write.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


def neutral(text: str) -> str:
    """Write control characters as `\\u001b`. Tabs and newlines stay. JSON text keeps its meaning: this is its own
    notation for them."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
