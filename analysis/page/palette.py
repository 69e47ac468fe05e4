"""Colours of the page for light and dark, and which text stands on which of them.

WCAG 2.2 asks for a contrast of 4.5 between text and what is behind it, and of 3 for lines and marks.
`tests/analysis/test_palette.py` measures every pair that is listed here.
"""

from __future__ import annotations

LIGHT = {
    "bg": "#fdfdfc", "card": "#f1f3f0", "ink": "#1d2327", "soft": "#566069", "rule": "#dadedb", "edge": "#7d868c",
    "accent": "#0b62a4", "good": "#146c43", "warn": "#8a5200", "bad": "#b3261e",
    "s1": "#0b62a4", "s2": "#c2410c", "s3": "#146c43", "s4": "#8b3fa0", "s5": "#7a6000", "s6": "#006d77",
    "s7": "#a11d5b", "s8": "#4a5568", "bar": "#9cc3e4", "heat": "#0b4f8a", "band": "#dbe9f5",
}  # fmt: skip
DARK = {
    "bg": "#14181b", "card": "#1e2428", "ink": "#e6e9ea", "soft": "#a8b2b9", "rule": "#333b41", "edge": "#78838b",
    "accent": "#79b8f0", "good": "#62c796", "warn": "#e0ac57", "bad": "#f28b82",
    "s1": "#79b8f0", "s2": "#f5975f", "s3": "#62c796", "s4": "#d29be3", "s5": "#dcc65a", "s6": "#5bc8d1",
    "s7": "#f58fbc", "s8": "#a9b4c2", "bar": "#2c5f8f", "heat": "#5aa9ee", "band": "#22384b",
}  # fmt: skip
MODES = {"light": LIGHT, "dark": DARK}
SERIES = 8

# Text, and what it stands on.
TEXT = [(text, ground) for text in ("ink", "soft", "accent", "good", "warn", "bad") for ground in ("bg", "card")]
TEXT += [("ink", "bar"), ("ink", "band")]
# Lines and marks, on the page.
MARKS = [
    (mark, "bg") for mark in ("accent", "good", "warn", "bad", "soft", "edge", *(f"s{i + 1}" for i in range(SERIES)))
]

STEPS = 9  # shades of a share, from none to all


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def shade(mode: str, step: int) -> tuple[str, str]:
    """Return the ground of a share and the text that reads best on it. Args: step: 0 for none to STEPS - 1 for all."""
    colours = MODES[mode]
    ground = _mixed(colours["card"], colours["heat"], step / (STEPS - 1))
    return ground, max(("#ffffff", "#000000"), key=lambda text: contrast(text, ground))


def step_of(share: float) -> int:
    """Return the shade of a share in [0, 1]."""
    return round(min(max(share, 0.0), 1.0) * (STEPS - 1))


def _mixed(one: str, other: str, share: float) -> str:
    parts = [round(a + (b - a) * share) for a, b in zip(_channels(one), _channels(other), strict=True)]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [
        (c / 255 / 12.92) if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in _channels(colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
