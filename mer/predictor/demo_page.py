"""A page on which a model is tried by hand, drawn by gradio: it reads what the model reads, and sends nothing away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from mer.errors import MerError
from mer.loopback import HOST
from mer.predictor.answers import SOMEBODY
from mer.predictor.conversation import Turn, answer
from mer.predictor.demo_answers import nothing, shown, turn_cells, turn_columns, what, widget, words_on
from mer.predictor.ensemble import EnsemblePredictor
from mer.predictor.predictor import Predictor

# Read when gradio is imported. Uploads and recordings lie in a private folder while the page is served.
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_SERVER_NAME": HOST,
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# gradio's page names fonts and a script of other machines: a browser must not ask for them
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "form-action 'self'; frame-ancestors 'none'"
)
_MOST_BYTES = "200mb"


def require_gradio() -> None:
    """Raise MerError when the extra is missing."""
    if find_spec("gradio") is None:
        raise MerError("mer.demo", "needs the package gradio", then='pip install "mer[demo]"')


@contextmanager
def served(predictor: Predictor | EnsemblePredictor, port: int) -> Iterator[str]:
    """Serve the page on this machine until the block ends. Yields its address."""
    with tempfile.TemporaryDirectory(prefix="mer-demo-") as place:
        os.environ.update({**QUIET, "GRADIO_TEMP_DIR": place})
        from starlette.middleware import Middleware

        if "text" in predictor.modalities:
            answer(predictor, [Turn(text="hello")])  # loads the encoder: nobody waits for it on the page
        page = build(predictor)
        try:
            _, address, _ = page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                theme=_theme(),
                quiet=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                footer_links=[],
                max_file_size=_MOST_BYTES,
                app_kwargs={"middleware": [Middleware(_Policy)]},
            )
            yield address
        finally:
            page.close(verbose=False)


class _Policy:
    """Tell the browser to load nothing from other machines."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self.app(scope, receive, with_policy)


def build(predictor: Predictor | EnsemblePredictor) -> Any:
    """Draw the page: inputs for what the model reads, its answer, the dialogue where it matters."""
    os.environ.update(QUIET)
    import gradio

    export, reads = predictor.export, predictor.modalities
    keeps, name = export.reads_context, export.title
    with gradio.Blocks(analytics_enabled=False, title=f"mer: {name}") as page:
        gradio.Markdown(
            f"## {name}\nThe {what(export)} of {'a turn in its dialogue' if keeps else 'an utterance'}, from "
            f"{', '.join(reads)}. The model runs on this machine; nothing is sent away, nothing is kept."
        )
        turns = gradio.State([])
        with gradio.Row():
            with gradio.Column():
                speaker = gradio.Textbox(value=SOMEBODY, label="Speaker", visible=keeps and "text" in reads)
                given = {modality: _input(gradio, modality) for modality in reads}
                with gradio.Row():
                    ask = gradio.Button("Say it" if keeps else "What is it?", variant="primary")
                    anew = gradio.Button("New dialogue", visible=keeps)
            with gradio.Column():
                place = widget(gradio, export)
                note = gradio.Markdown()
        columns, types = turn_columns(export)
        said = gradio.Dataframe(
            headers=["speaker", "turn", *columns],
            datatype=["str", "str", *types],
            interactive=False,
            visible=keeps,
            label="dialogue, oldest first",
            wrap=True,
        )
        inputs = [turns, speaker, *given.values()]

        def respond(before: list[Turn], who: str, *values: Any) -> tuple[Any, ...]:
            now = _turn(who, dict(zip(given, values, strict=True)))
            try:
                all_turns = [*before, now] if keeps else [now]
                answers = answer(predictor, all_turns)
            except MerError as fault:
                return before, nothing(export), f"**{fault.found}**", gradio.skip(), *(gradio.skip() for _ in given)
            last = answers[-1]
            rows = [
                [turn.speaker, turn.text or "(a clip)", *turn_cells(export, one)]
                for turn, one in zip(all_turns, answers, strict=True)
            ]
            cleared = [None if keeps else gradio.skip() for _ in given]
            return all_turns if keeps else [], shown(export, last), words_on(last), rows, *cleared

        outputs = [turns, place, note, said, *given.values()]
        ask.click(respond, inputs, outputs, concurrency_limit=1, api_name="answer")
        if "text" in given:
            given["text"].submit(respond, inputs, outputs, concurrency_limit=1, api_name=False)
        anew.click(lambda: ([], nothing(export), "", []), None, [turns, place, note, said], api_name=False)
    return page


def _theme() -> Any:
    """Return gradio's usual theme in blue: on its orange buttons white text would not stand out by 4.5 to 1."""
    import gradio

    return gradio.themes.Default(primary_hue="blue")


def _input(gradio: Any, modality: str) -> Any:
    """Return a text box, a microphone or a camera; the latter two take files as well."""
    if modality == "text":
        return gradio.Textbox(label="Text", placeholder="Oh my God!", lines=2, max_length=2**18, autofocus=True)
    if modality == "audio":
        return gradio.Audio(sources=["microphone", "upload"], type="filepath", format="wav", label="Sound")
    return gradio.Video(sources=["webcam", "upload"], label="Picture", include_audio=True)


def _turn(speaker: str, given: dict[str, Any]) -> Turn:
    clips = {name: str(value) for name, value in given.items() if name != "text" and value}
    return Turn(speaker.strip() or SOMEBODY, str(given.get("text") or ""), clips)
