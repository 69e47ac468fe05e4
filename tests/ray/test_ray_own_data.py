"""docs/own_data.md as it is typed: a CSV with Chinese labels, one by a German Excel, a corpus described in YAML."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from benchmarks.kills.fork_server import ForkServer

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/own_data.md"
TEXTS = {"开心": ("今天真好", "太高兴了"), "难过": ("真难受", "我很伤心"), "生气": ("气死我了", "别惹我")}
SMALL = {
    "mer.tune": ["--workers", "1", "--set", "budget.epochs=2", "--set", "scheduler.kind=none"],
    "mer.evaluate": ["--workers", "1"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own")
    (place / "mydata").mkdir()
    for split, count in (("train", 30), ("dev", 9), ("test", 9)):
        rows = [(f"{texts[n % 2]} {split} {n}", label) for n in range(count) for label, texts in TEXTS.items()]
        lines = [f"{text},{label},speaker{n % 3}" for n, (text, label) in enumerate(rows)]
        (place / f"mydata/{split}.csv").write_text("\n".join(["text,label,speaker", *lines]), encoding="utf-8")
    moods = (("wütend", "Ärger"), ("fröhlich", "Freude"))
    german = [f"Ich bin {moods[n % 2][0]} {n};{moods[n % 2][1]};{n},5" for n in range(60)]
    written = "\r\n".join(["Satz;Gefühl;Start", *german, ";;", ""])
    (place / "recordings.csv").write_bytes(written.encode("cp1252"))
    text = PAGE.read_text(encoding="utf-8")
    (place / "mycorpus.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, re.S)[0], encoding="utf-8")
    (place / "search_spaces").symlink_to(REPOSITORY / "search_spaces")
    return place


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.ray
def test_every_command_of_the_page_works_as_typed(folder: Path, forks: ForkServer) -> None:
    said, environment = {}, {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}
    for line in commands():
        words = shlex.split(line.replace("--trials 20", "--trials 2").replace("--seeds 0 42 43", "--seeds 0"))
        assert words[:2] == ["python", "-m"], line
        process = forks(words[2], [*words[3:], *SMALL.get(words[2], [])], cwd=folder, environment=environment)
        assert process.wait() == 0, f"{line}\n{process.output()}"
        said[line] = process.output()
    of = {" ".join(line.split()[2:4]): text for line, text in said.items()}
    assert "text from text, label from label, speaker from speaker" in said[commands()[0]]
    assert "mean F1 per class" in of["mer.evaluate exports/mydata"] and "开心" in of["mer.evaluate exports/mydata"]
    assert any(label in of["mer.predict exports/mydata"] for label in TEXTS)
    ends = [line for line in said if line.split()[2] in ("mer.tune", "mer.evaluate") and "--dry-run" not in line]
    assert len(ends) == 2
    for text in map(said.__getitem__, ends):  # every command that ends a study says where its picture and its page are
        places = dict(line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("picture:", "report:")))
        assert places.keys() == {"picture:", "report:"}, text
        assert all((folder / place).stat().st_size > 1000 for place in places.values()), places
    kept = next(text for line, text in said.items() if "recordings.csv" in line)
    assert "cp1252, ';' between cells, 1 row without a word passed over" in kept
    assert "kept in recordings.splits.json" in kept and (folder / "recordings.splits.json").is_file()
    assert "text from Satz, label from Gefühl" in said[commands()[-1]]
