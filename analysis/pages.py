"""Build the page around the report: one HTML file with its style inside, for light and dark, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --bg: #fdfdfc; --card: #f3f4f1; --ink: #1d2327; --soft: #59636b; --rule: #dcdfda;
  --accent: #0b62a4; --good: #18794e; --warn: #9a5b00; --bad: #b3261e;
  --s1: #0b62a4; --s2: #c2410c; --s3: #18794e; --s4: #8b3fa0; --s5: #8a6d00; --bar: 11 98 164; --heat: #0b62a4; }
@media (prefers-color-scheme: dark) { :root { --bg: #14181b; --card: #1e2428; --ink: #e6e9ea; --soft: #a2adb4;
  --rule: #343c42; --accent: #79b8f0; --good: #62c796; --warn: #e0ac57; --bad: #f28b82;
  --s1: #79b8f0; --s2: #f5975f; --s3: #62c796; --s4: #d29be3; --s5: #dcc65a; --bar: 86 160 224; --heat: #2a72b5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1280px; padding: 28px 28px 60px; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 27px; margin: 0 0 2px; } h2 { font-size: 19px; margin: 38px 0 8px; padding-top: 10px;
  border-top: 1px solid var(--rule); } h3 { font-size: 15px; margin: 20px 0 6px; } p { margin: 6px 0; max-width: 85ch; }
a { color: var(--accent); }
nav { font-size: 13.5px; margin: 12px 0 0; display: flex; flex-wrap: wrap; gap: 2px 16px; }
.lead, .note, .small { color: var(--soft); } .note { font-size: 13.5px; }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 18px 0; }
.tile { background: var(--card); border-radius: 8px; padding: 10px 16px; min-width: 150px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.say { background: var(--card); border-left: 4px solid var(--accent); padding: 8px 14px; border-radius: 0 6px 6px 0;
  margin: 12px 0; max-width: 100%; } .say.warn { border-color: var(--warn); } .say.bad { border-color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: 8px 0; }
th, td { padding: 4px 10px 4px 0; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
.n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; } tr.cut td { color: var(--soft); } tr.failed td { color: var(--bad); }
th.n { white-space: normal; } tr.best td { font-weight: 650; } .tight td { white-space: nowrap; }
.tight td, .tight th { padding-right: 8px; font-size: 12.5px; }
pre { background: var(--card); padding: 12px 14px; border-radius: 6px; overflow-x: auto; font-size: 13px;
  margin: 8px 0; }
.plots { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: flex-start; }
svg.plot { max-width: 100%; height: auto; font-size: 12px; }
svg .title { fill: var(--ink); font-size: 13px; font-weight: 600; }
svg .tick { fill: var(--ink); } svg .small { fill: var(--soft); } svg .tiny { font-size: 10.5px; }
svg .grid { stroke: var(--rule); fill: none; } svg .band { fill: rgb(var(--bar) / 0.13); }
svg .cell { fill: var(--card); } svg .bar { fill: rgb(var(--bar)); } svg .heat { fill: var(--heat); }
svg .onbar { fill: #fff; }
svg .line { fill: none; stroke-width: 1.8; stroke: currentColor; } svg .dot { fill: currentColor; stroke: var(--bg); }
.done { fill: var(--s1); } .best { fill: var(--good); stroke: var(--ink); stroke-width: 1.2; }
.cut { fill: var(--bg); stroke: var(--soft); stroke-width: 1.5; } .open { fill: var(--warn); }
path.failed { stroke: var(--bad); stroke-width: 2; fill: none; }
.legend { font-size: 13px; color: var(--soft); } .key { margin-right: 16px; white-space: nowrap; }
.swatch { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; background: currentColor; } .key svg { vertical-align: -2px; margin-right: 5px; }
""" + "".join(f".s{i} {{ color: var(--s{i}); }} .b{i} {{ color: var(--s{i}); }}\n" for i in range(1, 6))


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    html: str


def page(title: str, lead: str, sections: Sequence[Section], foot: str) -> str:
    """Assemble the whole document. `title` and `lead` are plain text, sections hold HTML."""
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections[1:])
    body = "".join(
        f'<section id="{section.anchor}">'
        + (f"<h2>{escape(section.title)}</h2>" if index else "")
        + f"{section.html}</section>"
        for index, section in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>'
        f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><nav>{links}</nav>\n{body}\n'
        f'<p class="note" style="margin-top:40px">{escape(foot)}</p></body></html>\n'
    )


def say(text: str, kind: str = "") -> str:
    """Mark up a sentence as a warning box."""
    return f'<div class="say {kind}">{escape(text)}</div>'


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def tiles(items: Sequence[tuple[str, str]]) -> str:
    inner = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in items
    )
    return f'<div class="tiles">{inner}</div>'


def endings_key() -> str:
    """Build the legend of the marks in plots of trials."""
    circle = '<svg width="12" height="12"><circle class="{}" cx="6" cy="6" r="4.5"/></svg>'
    cross = '<svg width="12" height="12"><path class="failed" d="M2 2l8 8m0 -8l-8 8"/></svg>'
    words = [("best", "best finished"), ("done", "finished"), ("cut", "stopped early"), ("open", "interrupted")]
    keys = "".join(f'<span class="key">{circle.format(css)}{text}</span>' for css, text in words)
    return (
        f'<p class="legend">{keys}<span class="key">{cross}failed</span>'
        '<span class="key">triangle: outside the frame</span></p>'
    )
