"""The pictures of the README, made from the demo study: `make images` (needs chromium on PATH).

    leaderboard.svg    what the study prints when it ends
    report.png         the first screen of its report

Everything is run anew in a folder of its own, so a picture shows what the program does today.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = REPOSITORY / "docs" / "images"
SPACE = "search_spaces/quickstart.yaml"
COLUMNS = 100  # of the terminal
CHARACTER, LINE, MARGIN = 7.25, 17, 16  # pixels
WIDTH, HEIGHT = 1200, 860  # of the window that shows the report
COLOURS = 64


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copytree(REPOSITORY / "search_spaces", folder / "search_spaces")
        _run(folder, "mer.data", "sample", "datasets/sample", "--modalities", "text")
        printed = _run(folder, "mer.tune", SPACE)
        (IMAGES / "leaderboard.svg").write_text(terminal_svg(end_of(printed)), encoding="utf-8")
        screenshot(folder / "studies/quickstart/report.html", IMAGES / "report.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1024:.0f} KB")


def _run(folder: Path, module: str, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def end_of(printed: str) -> list[str]:
    """Return the lines that a study prints when it has ended: the leaderboard, and what comes next."""
    lines = printed.splitlines()
    first = max(number for number, line in enumerate(lines) if line.startswith("quickstart: "))
    return [f"$ python -m mer.tune {SPACE}", *(line.rstrip() for line in lines[first:])]


def terminal_svg(lines: list[str]) -> str:
    """Draw lines as a terminal shows them. The file names no font and nothing of another machine."""
    width = round(max(map(len, lines)) * CHARACTER) + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    rows = [(MARGIN + LINE * row + 12, line) for row, line in enumerate(lines) if line.strip()]
    kept = 'xml:space="preserve"'
    texts = [
        f'<text x="{MARGIN}" y="{y}" textLength="{len(line) * CHARACTER:.1f}" {kept}>{escape(line)}</text>'
        for y, line in rows
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>A study's leaderboard in the terminal</title>",
            "<style>text { font: 12px monospace; fill: #e6e6e6; white-space: pre; }</style>",
            f'<rect width="{width}" height="{height}" rx="6" fill="#1b1e23"/>',
            *texts,
            "</svg>\n",
        ]
    )


def screenshot(page: Path, picture: Path) -> None:
    """Show a page in Chromium and keep what is seen, in few colours."""
    from PIL import Image

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("chromium is not on PATH: the picture of the report is not made")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", f"--window-size={WIDTH},{HEIGHT}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with Image.open(picture) as seen:
        few = seen.convert("RGB").quantize(COLOURS)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    main()
