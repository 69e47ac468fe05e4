"""The report in Chromium: tooltips, sorting, zoom, keyboard, phone width, both colour schemes, and no script at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from seen import faint_texts
from small_evaluation import make_evaluation
from small_study import Ending, make_study

from analysis.compare import write_comparison
from analysis.report import write_evaluation_report, write_report
from analysis.stores.evaluation import load_evaluation
from analysis.stores.journal import load_study

pytestmark = pytest.mark.browser
WIDTHS = (320, 390, 768, 1400)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("report")
    endings = [Ending("finished" if index % 3 else "cut", seed=index) for index in range(24)]
    endings += [Ending("error", reason="<script>alert(1)</script> & a long reason " * 8, epochs=0), Ending(None)]
    study = load_study(make_study(root / "studies", endings), with_mlflow=False)
    write_report(study, root / "report.html")
    return root / "report.html"


@pytest.fixture(scope="module")
def pages(page_file) -> dict[str, Path]:
    """The page of a study, of an evaluation, and of several of both."""
    root = page_file.parent
    found = [
        load_evaluation(make_evaluation(root / name, strength=strength, export=f"exports/{name}-{'long' * 20}"))
        for name, strength in (("eval-a", 2.0), ("eval-b", 0.5))
    ]
    write_evaluation_report(found[0], root / "evaluation.html")
    write_comparison([load_study(root / "studies" / "small", with_mlflow=False)], found, root / "comparison.html")
    return {"study": page_file, "evaluation": root / "evaluation.html", "comparison": root / "comparison.html"}


@pytest.mark.parametrize("which", ["study", "evaluation", "comparison"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_never_scrolls_sideways(visit, pages, which, width):
    page = visit(pages[which], width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_marks_are_named_when_they_are_pointed_at(visit, page_file):
    page = visit(page_file)
    mark = page.locator("#top .on-wide svg [data-t='7']").first
    mark.hover()
    assert page.locator("#tip").inner_text().startswith("trial 7, finished\nweighted-F1 ")
    assert page.locator("svg [data-t='7'].hot").count() > 3  # the same trial lights up in the other plots
    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden() and page.locator(".hot").count() == 0


def test_marks_are_reached_by_the_keyboard(visit, page_file):
    page = visit(page_file)
    plot = page.locator("#top .on-wide svg.plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator("#tip").inner_text()
    assert first.startswith("trial ") and second.startswith("trial ") and first != second
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_tables_are_sorted_by_a_click_and_by_the_keyboard(visit, page_file):
    page = visit(page_file)
    numbers = lambda: [int(text) for text in page.locator("#leaderboard tbody tr td:nth-child(2)").all_inner_texts()]  # noqa: E731
    before = numbers()
    head = page.locator("#leaderboard thead th:nth-child(2)")
    head.locator("button").click()
    assert numbers() == sorted(before, reverse=True) and head.get_attribute("aria-sort") == "descending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert numbers() == sorted(before) and head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert numbers() == before and head.get_attribute("aria-sort") is None


def test_empty_cells_stay_last(visit, page_file):
    page = visit(page_file)
    button = page.locator("#leaderboard thead th:nth-child(1) button")
    for _ in range(2):
        button.click()
        ranks = page.locator("#leaderboard tbody tr th").all_inner_texts()
        there = [rank for rank in ranks if rank]
        assert ranks[: len(there)] == there and len(there) < len(ranks)


def test_a_plot_is_enlarged_and_zoomed(visit, page_file):
    page = visit(page_file)
    page.locator("#top figure.on-wide").hover()
    page.locator("#top figure.on-wide button").click()
    box = lambda: [float(part) for part in page.locator("dialog svg").get_attribute("viewBox").split()]  # noqa: E731
    whole = box()
    page.get_by_label("zoom in").click()
    assert box()[2] == pytest.approx(0.7 * whole[2])
    page.locator("dialog svg").hover()
    page.mouse.wheel(0, -100)
    assert box()[2] < 0.7 * whole[2]
    page.keyboard.press("-")
    page.get_by_label("show the whole plot").click()
    assert box() == whole
    page.locator("dialog svg [data-t='7']").hover(force=True)
    assert page.locator("dialog #tip").inner_text().startswith("trial 7")
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    page.locator("#top .on-wide svg [data-t='8']").hover()
    assert page.locator("#tip").inner_text().startswith("trial 8")


def test_text_from_data_stays_text(visit, page_file):
    page = visit(page_file)
    assert page.evaluate("document.scripts.length") == 1
    assert "<script>alert(1)</script>" in page.locator("#failures").inner_text()


def test_without_a_script_all_is_there(visit, page_file):
    page = visit(page_file, script=False)
    assert page.locator("#top .on-wide svg.plot circle").count() > 15
    assert page.locator("#leaderboard tbody tr").count() == 26
    page.locator("#facts summary").first.click()
    assert page.locator("#facts table").first.is_visible()


@pytest.mark.parametrize("width", [390, 1400])
def test_plots_can_be_read(visit, page_file, width):
    """No text of a plot is smaller than 9 pixels where it is shown."""
    page = visit(page_file, width=width)
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('svg.plot')].filter((svg) => svg.getClientRects().length).map((svg) => {
          const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
          return [svg.getAttribute('aria-label'), scale * 12];
        })"""
    )
    assert len(sizes) > 8
    assert [name for name, size in sizes if size < 9] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["study", "evaluation", "comparison"])
def test_text_is_seen_on_its_ground(visit, pages, which, scheme):
    """The palette is measured by itself; here every text with the ground that the browser gives it."""
    page = visit(pages[which], scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert faint_texts(page) == {}


def test_every_plot_has_a_text_and_every_control_a_name(visit, page_file):
    page = visit(page_file)
    assert all(page.locator("svg.plot").evaluate_all("all => all.map((svg) => svg.getAttribute('aria-label'))"))
    nameless = "all => all.filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim())).length"
    assert page.locator("button").evaluate_all(nameless) == 0


def test_nothing_moves_for_who_wants_it_so(visit, page_file):
    page = visit(page_file, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    moving = "all => all.filter((one) => getComputedStyle(one).animationName !== 'none').length"
    assert page.locator("body *").evaluate_all(moving) == 0
