"""The site in Chromium: contrast in light and dark, phone width, search by the keyboard, nothing asked of others."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from built_site import REPOSITORY, build_site
from seen import faint_texts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PAGES = (
    "index.html", "zh-CN.html", "quick_start.html", "search_spaces.html", "howto/own_loss.html",
    "howto/own_backbone.html", "reference/keys.html", "experiments/fusion.html", "faq.html",
)  # fmt: skip


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built site, served on this machine: its search asks for its own index, which files may not."""
    site: Path = tmp_path_factory.mktemp("site") / "site"
    ended = build_site(REPOSITORY, site)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    handler = functools.partial(_Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def opened(browser, address) -> Iterator[Callable[..., object]]:
    """opened("faq.html", width=390, scheme="dark"): the page; no script may fail, no other machine be asked."""
    wrong: list[str] = []
    contexts = []

    def visit(name: str, *, width: int = 1400, scheme: str = "light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda fault: wrong.append(f"error: {fault}"))
        page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "data:", "blob:")) else wrong.append(asked.url),
        )
        page.goto(f"{address}/{name}", wait_until="networkidle")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_text_stands_out(opened, name, scheme):
    page = opened(name, scheme=scheme)
    assert page.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
    assert faint_texts(page) == {}
    if (links := page.locator("article a:not(.headerlink)")).count():
        links.first.hover()
        page.wait_for_timeout(300)  # the colour fades in
        assert faint_texts(page) == {}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(opened, name):
    page = opened(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("img:not([alt]), img[alt='']").count() == 0


def test_the_search_is_used_by_the_keyboard_alone(opened):
    page = opened("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.trim()") == "Skip to content"
    page.keyboard.press("/")
    page.keyboard.type("calibrate")
    page.locator(".md-search-result__link").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "index.html" not in url)
    assert "calibrat" in page.locator("article").inner_text().lower()
