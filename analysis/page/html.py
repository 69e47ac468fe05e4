"""Make text from data harmless, and build the small pieces of markup of a page.

Every text that comes from data (utterances, class names, keys, paths, reasons) passes through `esc`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from mer.terminal.escapes import neutral

_NO_CHARACTERS = re.compile("[\ufffe\uffff]")  # XML takes none of them


def clean(value: object) -> str:
    """Return the text with every control character written out instead of obeyed."""
    return _NO_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", neutral(str(value)))


def esc(value: object) -> str:
    """Return the text as it may stand in HTML and in an attribute."""
    return escape(clean(value))


def _prose(text: str) -> str:
    """Return a sentence whose numbers keep their unit on the same line."""
    return re.sub(r" (?=%)|(?<=\bp) (?=[=<&])|(?<=\bp =) |(?<=\bp &lt;) ", "\N{NO-BREAK SPACE}", esc(text))


def say(text: str, kind: str = "") -> str:
    """Mark up a sentence that stands out. Args: kind: "", "good", "warn" or "bad"."""
    return f'<div class="say {kind}">{_prose(text)}</div>'


def paragraph(text: str) -> str:
    return f"<p>{_prose(text)}</p>"


def headline(text: str) -> str:
    """Mark up the sentence that says the result."""
    return f'<p class="result">{_prose(text)}</p>'


def note(text: str) -> str:
    return f'<p class="note">{_prose(text)}</p>'


def tiles(items: Sequence[tuple[str, str]]) -> str:
    """Build the row of large numbers, each with its label."""
    inner = "".join(f'<div class="tile"><b>{esc(value)}</b><span>{esc(label)}</span></div>' for value, label in items)
    return f'<div class="tiles">{inner}</div>'


def commands(lines: Sequence[str]) -> str:
    """Build a block of shell commands with a button that copies it."""
    return f'<div class="code"><pre tabindex="0">{esc(chr(10).join(lines))}</pre></div>'


def folded(summary: str, html: str) -> str:
    """Fold a part away under its heading."""
    return f"<details><summary>{esc(summary)}</summary>{html}</details>"


def plots(*pictures: str) -> str:
    """Set pictures beside each other where there is room."""
    return f'<div class="plots">{"".join(pictures)}</div>'


def link(address: str, text: str) -> str:
    """Link to a file near the page. An address that is no relative path is not linked."""
    if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*:", address) or address.startswith("//"):
        return esc(text)
    return f'<a href="{esc(address)}">{esc(text)}</a>'
