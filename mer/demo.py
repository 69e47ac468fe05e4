"""`python -m mer.demo EXPORT`: a page on this machine on which a model is tried by hand."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from mer.cli_app import Debug, launch

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EPILOG = (
    "The page is served on 127.0.0.1 and loads nothing from elsewhere. What is typed, recorded or uploaded stays on "
    'this machine and is removed when the command ends. Needs the extra: pip install "mer[demo]".'
)


@app.command(epilog=EPILOG)
def demo(
    export: Annotated[Path, typer.Argument(help="folder written by python -m mer.export, or ORG/NAME of the hub")],
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    backbone: Annotated[Path | None, typer.Option(help="folder of the backbone, if it has moved")] = None,
    debug: Debug = False,
) -> None:
    """Try a model by hand: text box, microphone, camera or file, whatever it reads. Ctrl-C ends it."""
    from mer.loopback import refuse_taken_port
    from mer.predictor.demo_page import require_gradio, served

    require_gradio()
    refuse_taken_port(port)
    from mer.checkpoints.ensemble_folder import read_any
    from mer.checkpoints.hub_export import export_folder
    from mer.predictor.given_places import refuse_given
    from mer.predictor.opening import open_any

    opened = read_any(export_folder(export))
    refuse_given(opened)
    predictor = open_any(opened, backbone=backbone)
    with served(predictor, port) as address:
        print(f"{predictor.export.folder} reads {', '.join(predictor.modalities)}\n\n  {address}\n\nCtrl-C ends this.")
        sys.stdout.flush()
        threading.Event().wait()


def main() -> None:
    launch(app, "mer.demo")


if __name__ == "__main__":
    main()
