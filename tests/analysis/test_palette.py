"""Contrast of everything that is written or drawn on a page, in light and dark (WCAG 2.2: 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re

import pytest

from analysis.page.palette import MARKS, MODES, STEPS, TEXT, contrast, shade
from analysis.page.style import style_sheet


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("text", "ground"), TEXT)
def test_text_can_be_read(mode, text, ground):
    assert contrast(MODES[mode][text], MODES[mode][ground]) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", range(STEPS))
def test_numbers_on_every_shade_can_be_read(mode, step):
    ground, text = shade(mode, step)
    assert contrast(ground, text) >= 4.5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_lines_and_marks_can_be_seen(mode, mark, ground):
    assert contrast(MODES[mode][mark], MODES[mode][ground]) >= 3.0


def test_the_style_uses_only_pairs_that_are_measured():
    """A colour that text takes is one of the palette's texts, and a ground one of its grounds."""
    texts, grounds = {text for text, _ in TEXT}, {ground for _, ground in TEXT}
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", style_sheet())
    for selector, body in rules:
        for name in re.findall(r"(?<![-\w])color:\s*var\(--(\w+)\)", body):
            assert name in texts or re.fullmatch(r"s\d|i\d", name), f"{selector.strip()}: {name}"
        for name in re.findall(r"background:\s*var\(--(\w+)\)", body):
            assert name in grounds or re.fullmatch(r"h\d", name), f"{selector.strip()}: {name}"
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", body) or ":root" in selector, f"{selector.strip()} names a colour"
