"""Frame a plot as SVG, set it on the page as a figure, and build its legends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.page.html import clean, esc
from analysis.page.style import style_sheet

WIDE, NARROW, USUAL = 1220, 390, 398  # pixels: the page, a phone, three beside each other
CHARACTER = 6.6  # pixels, about


def frame(width: float, height: float, title: str, body: str, says: str = "") -> str:
    """Wrap the parts of a plot. Args: says: what it shows, for readers who do not see it; else the title alone."""
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{esc(says or title)}" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">{body}</svg>'
    )


def figure(svg: str, css: str = "") -> str:
    """Set a plot on the page; the script gives it a button that enlarges it."""
    return f'<figure class="figure {css}">{svg}</figure>'


def stand_alone(svg: str) -> str:
    """Make a plot a file of its own, light or dark as its reader has it."""
    ground = '<rect width="100%" height="100%" style="fill:var(--bg)"/>'
    css = style_sheet() + "svg { font-family: system-ui, sans-serif; font-size: 12px; }"
    head, _, rest = svg.partition(">")
    return f"{head}><style><![CDATA[{css}]]></style>{ground}{rest}\n"


def both(draw: Callable[[int], str]) -> str:
    """Draw a plot twice, for a wide page and for a phone; the style sheet shows the one that can be read."""
    return figure(draw(WIDE), "on-wide") + figure(draw(NARROW), "on-narrow")


def scrolling(svg: str) -> str:
    """Set a plot that is never made smaller: where it does not fit, it scrolls by itself."""
    return f'<div class="scroll" tabindex="0">{figure(svg)}</div>'


def mark(tag: str, attributes: str, hint: str, trial: int | None = None) -> str:
    """Build one mark with its tooltip. Args: trial: marks of one trial light up together."""
    owner = "" if trial is None else f' data-t="{trial}"'
    return f"<{tag} {attributes} data-m{owner}><title>{esc(hint)}</title></{tag}>".replace(" data-m", ' data-m=""')


def cut(text: object, most: int) -> str:
    """Shorten a text to at most so many characters."""
    whole = clean(text)
    return whole if len(whole) <= most else whole[: max(1, most - 1)] + "…"


def label(x: float, y: float, text: str, *, anchor: str = "start", css: str = "tick", most: int = 200) -> str:
    """Write text into a plot; what is shortened is whole in its tooltip."""
    shown = cut(text, most)
    hint = f"<title>{esc(text)}</title>" if shown != clean(text) else ""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{esc(shown)}{hint}</text>'


def swatches(items: Sequence[tuple[str, str]], after: str = "") -> str:
    """Build a legend of coloured lines. Args: items: CSS class and text of each."""
    keys = "".join(f'<span class="key"><i class="swatch {css}"></i>{esc(text)}</span>' for css, text in items)
    return f'<p class="legend">{keys}{f"<span class={chr(34)}key{chr(34)}>{esc(after)}</span>" if after else ""}</p>'


def endings_key(pictures: str) -> str:
    """Build the legend of the marks in plots of trials: of those that these plots have, triangles too."""
    words = {"best": "best finished", "done": "finished", "cut": "stopped early", "open": "interrupted"}
    circle = '<svg width="12" height="12" aria-hidden="true"><circle class="{}" cx="6" cy="6" r="4.5"/></svg>'
    cross = '<svg width="12" height="12" aria-hidden="true"><path class="failed" d="M2 2l8 8m0 -8l-8 8"/></svg>'
    drawn = [css for css in (*words, "failed") if f'class="{css}"' in pictures]
    keys = [f"{circle.format(css)}{words[css]}" if css in words else f"{cross}failed" for css in drawn]
    if any(f'<path class="{css}"' in pictures for css in words):
        keys.append("triangle: outside the frame")
    return '<p class="legend">' + "".join(f'<span class="key">{key}</span>' for key in keys) + "</p>"
