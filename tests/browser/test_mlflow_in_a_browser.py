"""MLflow's page of a study in Chromium: from the printed address to the best trial, its picture and its export."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import ONE, Ending, make_study, write_spec

from mer.files import write_json
from mer.study.folder.artifacts import draw_picture
from mer.study.folder.read_study import read_record
from mer.study.paths import SPACE, trial_folder
from mer.study.tracking.command import sync_command
from mer.study.tracking.exports import Registration, register
from mer.study.tracking.store import TrackingStore

pytestmark = pytest.mark.browser
WAIT_MS = 30_000
OWN_404 = "/mlflow/users/current"  # MLflow asks itself who is there, and nobody is
FIRST_SIGHT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"  # it covers the page


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Trials that finished, were stopped early and failed, in MLflow; the best has its picture and an export."""
    root = tmp_path_factory.mktemp("mlflow")
    endings = [Ending("finished", seed=i) if i % 2 else Ending("cut", seed=i, epochs=1) for i in range(10)]
    endings += [Ending("error", seed=0, reason="out of luck"), Ending("finished", seed=11)]
    folder = make_study(root / "studies", endings)
    space = write_spec(folder.parent, "small", ONE).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    write_json(folder / SPACE, space)
    best = read_record(folder).ranked[0]
    draw_picture(trial_folder(folder, best.number), "small", int(best.best["epoch"]))
    sync_command(str(folder), folder.parent, thorough=False)
    export = root / "exports/small"
    export.mkdir(parents=True)
    (export / "config.json").write_text("{}")
    record = read_record(folder)
    register(
        TrackingStore.under(folder.parent, None),
        Registration(export, "small", record.generation, best.number, best.best, best.params),
    )
    return folder


@pytest.fixture(scope="module")
def addresses(study) -> Iterator[list[str]]:
    """What `mer.ui` prints: with charts, and as a table."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mer.ui", str(study), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ, start_new_session=True)
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(5)]
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).close()
                break
            except OSError:
                if server.poll() is not None:
                    break
                time.sleep(0.5)
        yield re.findall(r"http://\S+", "".join(lines))
    finally:
        os.killpg(server.pid, 15)
        server.communicate(timeout=30)


@pytest.fixture
def opened(browser) -> Iterator:
    """opened(address): the page; no script may fail, and nothing is asked of another machine."""
    wrong: list[str] = []
    contexts = []

    def visit(address: str):
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        contexts.append(context)
        context.add_init_script(FIRST_SIGHT)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on(
            "pageerror", lambda fault: wrong.append(f"error: {fault}") if "ResizeObserver" not in str(fault) else None
        )
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
                else wrong.append(f"request: {asked.url}")
            ),
        )
        page.on(
            "response",
            lambda said: (
                wrong.append(f"{said.status} {said.url}") if said.status >= 400 and OWN_404 not in said.url else None
            ),
        )
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


def trial_links(page) -> list[str]:
    page.get_by_role("link", name=re.compile(r"^000\d\d ")).first.wait_for()
    return page.get_by_role("link", name=re.compile(r"^000\d\d ")).all_inner_texts()


def test_the_best_trial_is_one_click_from_the_printed_address(opened, addresses, study):
    page = opened(addresses[0])
    best = read_record(study).ranked[0]
    names = trial_links(page)
    assert names[0].startswith(f"{best.number:05d} ") and not any(name.startswith("00010 ") for name in names)
    page.get_by_text("Parallel Coordinates").first.wait_for()
    page.get_by_text("dev_weighted_f1", exact=True).first.wait_for()
    page.get_by_role("link", name=names[0]).first.click()
    page.get_by_text("mer.result").first.wait_for()
    metrics = page.get_by_role("link", name=re.compile("^(best_)?dev_")).all_inner_texts()
    assert metrics[0] == "best_dev_weighted_f1" and metrics.index("best_dev_loss") < metrics.index("dev_loss")
    page.get_by_text(f"small-{best.number:05d}").first.wait_for()  # its export


def test_its_confusion_picture_is_shown(opened, addresses, study):
    page = opened(addresses[0])
    page.get_by_role("link", name=trial_links(page)[0]).first.click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("confusion.svg").first.click()
    picture = page.locator("img[src*='confusion'], img[src^='blob:'], img[src^='data:image/svg']").first
    picture.wait_for()
    assert picture.evaluate("one => one.complete && one.naturalWidth > 100")


def test_the_table_shows_scores_and_endings_and_nothing_red(opened, addresses):
    page = opened(addresses[1])
    trial_links(page)
    for column in ("metrics.`best_dev_weighted_f1`", "metrics.`best_epoch`", "params.`optim.head_lr`"):
        page.locator(f'.ag-header-cell[col-id="{column}"]').wait_for()
    icons = page.locator(".ag-row svg").evaluate_all("all => all.map((one) => getComputedStyle(one).color)")
    colours = {tuple(map(int, re.findall(r"\d+", icon)[:3])) for icon in icons}
    assert len(icons) > 10 and all(green >= red for red, green, _ in colours), "a red cross"
