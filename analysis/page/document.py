"""Build the page around its sections: one HTML file with style and script inside, that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.page.html import esc
from analysis.page.style import script, style_sheet
from analysis.page.tables import Table

# The browser is told to load nothing, from here or elsewhere, whatever text from data might have slipped in.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_CLOSING = "</section>"


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Args:
        html: its content; text from data was escaped by who wrote it.
        tables: its numbers, as files beside the page.
    """

    anchor: str
    title: str
    html: str
    tables: Sequence[Table] = field(default_factory=tuple)


def page(title: str, lead: str, sections: Sequence[Section], foot: str, about: str = "") -> str:
    """Assemble the whole document. The first section is the first screen and stands without a heading.

    Args:
        title, lead, foot: plain text.
        about: tells what the page is about from what had the same name before, for `is_about`.
    """
    links = "".join(map(_link, sections[1:]))
    body = "".join(
        _section(section, headed=bool(index)) + (f'<nav aria-label="sections">{links}</nav>' if not index else "")
        for index, section in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"{_about(about) if about else ''}"
        f'<link rel="icon" href="data:,"><title>{esc(title)}</title><style>{style_sheet()}</style></head>\n<body>'
        f'<h1>{esc(title)}</h1><p class="lead">{esc(lead)}</p><main>\n{body}\n</main>'
        f'<p class="note" style="margin-top:40px">{esc(foot)}</p><script>{script()}</script></body></html>\n'
    )


def is_about(html: str, about: str) -> bool:
    """Tell whether a page says that it is about this."""
    return _about(about) in html[: html.find("<body>")]


def with_section(html: str, section: Section, before: str) -> str:
    """Return a page in which a section stands in the place of the former one, else before another.

    Args: before: anchor of that other section.
    Returns: the page as it was where it has neither.
    """
    start = html.find(_opening(section.anchor))
    if start >= 0:
        end = html.index(_CLOSING, start) + len(_CLOSING)
        return html[:start] + _section(section, headed=True) + html[end:]
    link, place = html.find(f'<a href="#{before}">'), html.find(_opening(before))
    if not 0 <= link < place:
        return html
    return html[:link] + _link(section) + html[link:place] + _section(section, headed=True) + html[place:]


def _section(section: Section, *, headed: bool) -> str:
    head = f"<h2>{esc(section.title)}</h2>" if headed else ""
    return f"{_opening(section.anchor)}{head}{section.html}{_CLOSING}"


def _opening(anchor: str) -> str:
    return f'<section id="{anchor}">'


def _link(section: Section) -> str:
    return f'<a href="#{section.anchor}">{esc(section.title)}</a>'


def _about(about: str) -> str:
    return f'<meta name="mer-about" content="{esc(about)}">'


def tables_of(sections: Sequence[Section]) -> list[Table]:
    """List the tables that have rows."""
    return [table for section in sections for table in section.tables if table.rows]
