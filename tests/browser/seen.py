"""What a browser shows of a page: the contrast of every text with what lies behind it."""

from __future__ import annotations

from typing import Any

from analysis.page.palette import contrast

LEAST = 4.5  # WCAG 2.2, AA; large text could do with 3

# Colours are painted over each other on a canvas, so that shares of transparency and any notation count as they look.
_PAIRS = """() => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const painted = (layers) => {
    pen.globalAlpha = 1;
    pen.fillStyle = '#fff';
    pen.fillRect(0, 0, 1, 1);
    layers.forEach(([css, share]) => { pen.globalAlpha = share; pen.fillStyle = css; pen.fillRect(0, 0, 1, 1); });
    const seen = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    return '#' + seen.map((n) => n.toString(16).padStart(2, '0')).join('');
  };
  const found = {};
  document.querySelectorAll('body *').forEach((node) => {
    if (node.closest('svg, script, style, noscript, template')) return;
    if (![...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) return;
    if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return;
    const place = node.getBoundingClientRect();
    if (place.width < 2 || place.height < 2) return; // for readers that hear the page
    const grounds = [];
    let share = 1;
    for (let at = node; at; at = at.parentElement) {
      const css = getComputedStyle(at);
      grounds.unshift([css.backgroundColor, 1]);
      share *= +css.opacity;
    }
    const text = [getComputedStyle(node).color, share];
    found[painted([...grounds, text]) + ' ' + painted(grounds)] = node.outerHTML.slice(0, 120);
  });
  return found;
}"""


def faint_texts(page: Any) -> dict[str, str]:
    """Return the texts whose contrast is too low: an element -> its contrast and both colours."""
    pairs = page.evaluate(_PAIRS)
    assert len(pairs) > 3, "a page without text"
    told = {html: (contrast(*pair.split()), pair) for pair, html in pairs.items()}
    return {html: f"{value:.2f}: {pair}" for html, (value, pair) in told.items() if value < LEAST}
