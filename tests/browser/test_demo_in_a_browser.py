"""The page of `python -m mer.demo` in a browser: a dialogue is typed, labels come, nothing leaves the machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from open_study import begin_study
from seen import faint_texts

import mer
from mer.data.sample.corpus import write_sample
from mer.predictor.demo_page import served

pytestmark = [pytest.mark.browser]
SPACE = """study: talk
trainable: text
budget: {trials: 1, epochs: 2}
scheduler: {kind: none}
fixed:
  data: {root: CORPUS}
  encoders: {text: {backbone: minilm, pooler: target, context: {past: 2}, speaker: name}}
params:
  optim.head_lr: {float: [1e-3, 2e-3]}
"""


def test_a_dialogue_is_typed_and_every_turn_has_its_label(browser, tmp_path: Path) -> None:
    write_sample(tmp_path / "corpus", dialogues_per_split={"train": 8, "dev": 4})
    study = begin_study(SPACE, tmp_path, CORPUS=tmp_path / "corpus")
    study.train_next()
    study.export(tmp_path / "model")
    predictor = mer.load(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away, wrong = [], []
    with served(predictor, port) as address:
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.on("request", lambda asked: away.append(asked.url))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(address)
        said = [("Ross", "Hi."), ("Monica", "Oh my God!")]
        for speaker, text in said:
            page.get_by_label("Speaker").fill(speaker)
            page.get_by_label("Text").fill(text)
            page.get_by_role("button", name="Say it").click()
            page.get_by_role("gridcell", name=text).wait_for(timeout=20_000)
        last = predictor.predict_dialogue(said)[-1]
        bars = page.get_by_test_id("label-output-value")
        assert bars.inner_text() == last.label
        assert page.get_by_label("Text").input_value() == ""
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)
            assert faint_texts(page) == {}, scheme
        page.get_by_label("Text").fill("")
        page.get_by_role("button", name="Say it").click()
        page.get_by_text("nothing was given of text").wait_for(timeout=20_000)
        page.get_by_role("button", name="New dialogue").click()
        page.get_by_role("gridcell", name="Oh my God!").wait_for(state="detached", timeout=20_000)
        page.close()
    assert [url for url in away if not url.startswith((address, "data:", "blob:"))] == [] and wrong == []
