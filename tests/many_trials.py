"""How long pages take over studies of many trials: two studies are made up, then every command is timed as it is typed.

    python tests/many_trials.py                  # 2 000 trials in each
    python tests/many_trials.py --trials 200
    python tests/many_trials.py --keep FOLDER    # a new one, for studies and pictures of MLflow's pages

Trials are made by the real ledger, with the files that trials leave; nothing is trained. The time of MLflow's page runs
from opening the address that `mer.ui` prints in Chromium until the first trial can be read.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import small_study
from small_study import Ending, make_study

FIRST_SIGHT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    trials = asked.trials
    small_study.SPACE = small_study.SPACE.replace("trials: 40", f"trials: {trials}")
    with contextlib.ExitStack() as stack:
        if asked.keep:
            asked.keep.mkdir(parents=True)
        place = str(asked.keep or stack.enter_context(tempfile.TemporaryDirectory()))
        studies = Path(place) / "studies"
        studies.mkdir()
        for name in ("one", "two"):
            _timed(f"make {name}", lambda name=name: _make(studies, name, trials))
        _timed("analysis.report one", lambda: _typed(place, "analysis.report", "studies/one"))
        _timed("analysis.compare one two", lambda: _typed(place, "analysis.compare", "studies/one", "studies/two"))
        _timed("mer.study sync one", lambda: _typed(place, "mer.study", "sync", "one"))
        _timed("mer.study sync one, again", lambda: _typed(place, "mer.study", "sync", "one"))
        _mlflow(place)
        for page in ("studies/one/report.html", "reports/compare.html"):
            if (file := Path(place) / page).exists():
                print(f"{page:30s} {file.stat().st_size / 1024:8.0f} KiB")


def _make(studies: Path, name: str, trials: int) -> None:
    """Make a study in which two trials of five were stopped early and one of a hundred failed."""
    endings = [
        Ending("error", seed=number, reason="out of memory")
        if number % 100 == 99
        else Ending("cut", seed=number, epochs=1)
        if number % 5 < 2
        else Ending("finished", seed=number)
        for number in range(trials)
    ]
    make_study(studies, endings, name=name)


def _timed(what: str, do: Callable[[], object]) -> None:
    """Print wall time, and CPU time of this process and its children."""
    before, started = _cpu(), time.monotonic()
    do()
    print(f"{what:30s} {time.monotonic() - started:8.1f} s {_cpu() - before:8.1f} s of CPU", flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _typed(place: str, module: str, *words: str) -> None:
    ended = subprocess.run([sys.executable, "-m", module, *words], cwd=place, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{module}: {ended.stdout}{ended.stderr}")


def _mlflow(place: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mer.ui", "one", "--port", str(port)]
    server = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert server.stdout is not None
        addresses = re.findall(r"http://\S+", "".join(server.stdout.readline() for _ in range(5)))
        started = time.monotonic()
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None and time.monotonic() - started < 120, "the server does not answer"
        print(f"{'mer.ui one, until it answers':30s} {time.monotonic() - started:8.1f} s")
        for number, address in enumerate(addresses, start=1):
            for visit in ("first", "second"):
                seconds = _first_trial_s(address, Path(place) / f"mlflow-{number}.png")
                print(f"{f'MLflow address {number}, {visit} time':30s} {seconds:8.1f} s", flush=True)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except OSError:
        time.sleep(0.2)
        return False
    return True


def _first_trial_s(address: str, picture: Path) -> float:
    """Return the seconds until the name of a trial can be read on a page, of which a picture is taken later."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.add_init_script(FIRST_SIGHT)
        started = time.monotonic()
        page.goto(address)
        page.get_by_role("link", name=re.compile(r"^\d{5} ")).first.wait_for(timeout=120_000)
        taken = time.monotonic() - started
        page.wait_for_timeout(5_000)  # for its charts
        page.screenshot(path=picture)
        browser.close()
    return taken


if __name__ == "__main__":
    main()
