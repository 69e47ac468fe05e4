"""Write the style sheet: the palette as CSS variables, then `style.css`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from analysis.page.palette import DARK, LIGHT, MODES, SERIES, STEPS, shade


@cache
def style_sheet() -> str:
    """Return the style of a page."""
    marks = "".join(f".s{i} {{ color: var(--s{i}); }}\n" for i in range(1, SERIES + 1))
    shades = "".join(
        f".h{i} {{ background: var(--h{i}); color: var(--i{i}); fill: var(--h{i}); }}\n" for i in range(STEPS)
    )
    return colours() + files("analysis.page").joinpath("style.css").read_text(encoding="utf-8") + marks + shades


@cache
def script() -> str:
    """Return the script of a page."""
    return files("analysis.page").joinpath("script.js").read_text(encoding="utf-8")


def colours() -> str:
    """Return the palette as CSS variables, light, and dark where the reader's system is."""
    light, dark = (_variables(mode, palette) for mode, palette in zip(MODES, (LIGHT, DARK), strict=True))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    )


def _variables(mode: str, palette: dict[str, str]) -> str:
    shades = [(step, *shade(mode, step)) for step in range(STEPS)]
    named = [f"--{name}: {value};" for name, value in palette.items()]
    return " ".join([*named, *(f"--h{step}: {ground}; --i{step}: {text};" for step, ground, text in shades)])
